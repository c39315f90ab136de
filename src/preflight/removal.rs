//! Whether rows can be deleted from the target and from what its materialized views fill.

use serde::Deserialize;

use super::check::{Check, ask_one, words};
use crate::clickhouse::{Connection, TableName};
use crate::job::removal::DeleteTables;
use crate::job::target_key::TargetKey;
use crate::job::{BoundJob, RemovalMethod};

pub(super) const REMOVAL: &str = "removal";

/// Checks the tables from which a job with `removal = "delete"` deletes rows, and the rights; `None`
/// for other jobs.
pub(super) async fn check_removal(target: &Connection, job: &BoundJob) -> Option<Check> {
    if job.removal != RemovalMethod::Delete || !job.target.is_merge_tree() {
        return None;
    }
    let user = target.endpoint().user();
    let tables = async {
        let key = TargetKey::read(target, job, &job.columns, &[]).await?;
        DeleteTables::read(target, job, &key).await
    };
    let DeleteTables { tables, unreachable } = match tables.await {
        Ok(tables) => tables,
        Err(error) => return Some(Check::unknown(REMOVAL, words(&error, "system.tables", user))),
    };
    let (mut grants, mut stay): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for table in unreachable {
        stay.push(format!("{} ({})", table.name, table.reason));
        grants.extend(table.grant);
    }
    for table in &tables {
        match may_delete(target, &table.name).await {
            Ok(true) => {}
            Ok(false) => {
                stay.push(format!("{} (the user {user} has no right to delete)", table.name));
                grants.push(format!("GRANT ALTER DELETE ON {} TO {user}", table.name));
            }
            Err(reason) => return Some(Check::unknown(REMOVAL, reason)),
        }
    }
    if stay.is_empty() {
        let names: Vec<_> = tables.iter().map(|table| table.name.to_string()).collect();
        let detail = format!("rows are removed by DELETE from {}", names.join(", "));
        return Some(Check::ok(REMOVAL, detail));
    }
    let detail =
        format!("rows that are removed or deleted in the source stay in {}", stay.join(", "));
    let check = Check::warning(REMOVAL, detail);
    Some(grants.into_iter().fold(check, Check::lifted_by))
}

/// The check where rights are missing: rows cannot be removed.
pub(crate) async fn blocked_removal(target: &Connection, job: &BoundJob) -> Option<Check> {
    let check = check_removal(target, job).await?;
    let Check { name, detail, lifted_by, .. } = check;
    (!lifted_by.is_empty()).then(|| Check::refused(name, detail, lifted_by))
}

/// Whether the user may delete rows of a table. A server that does not know the question is an error.
async fn may_delete(target: &Connection, table: &TableName) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Granted {
        result: u8,
    }
    let sql = format!("CHECK GRANT ALTER DELETE ON {}", table.quoted());
    let granted = ask_one::<Granted>(target, "the user's grants", &sql).await?;
    Ok(granted.result != 0)
}
