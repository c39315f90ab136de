//! Whether the target's TTL removes rows that a run would insert.

use serde::Deserialize;

use super::check::{Check, ask_one_with, words};
use crate::clickhouse::{Servers, TableName};
use crate::job::statements::{finished, join_settings};
use crate::job::{BoundJob, table_ttl};
use crate::plan::Plan;
use crate::units::{count, counted};

pub(super) const TTL: &str = "ttl";

#[derive(Deserialize)]
struct Expired {
    expired: u64,
    rows: u64,
}

/// Counts the rows of the partition that are past the target's TTL; `None` without such a TTL.
pub(super) async fn check_ttl(servers: &Servers, job: &BoundJob, plan: &Plan) -> Option<Check> {
    let target = &job.target.name;
    let ttl = match table_ttl(&servers.target, &job.target).await {
        Ok(ttl) => ttl,
        Err(error) => {
            let user = servers.target.endpoint().user();
            return Some(Check::unknown(TTL, words(&error, "system.tables", user)));
        }
    };
    let condition = ttl.expired_by(ttl.now)?;
    let mut narrow = job.narrowed_to(|name| ttl.columns.iter().any(|column| column == name));
    if let Some(name) =
        ttl.columns.iter().find(|name| narrow.columns.iter().all(|column| column.name != **name))
    {
        return Some(Check::unknown(
            TTL,
            format!("the TTL of {target} reads {name}, which the job does not fill"),
        ));
    }
    // Superseded versions are counted too: collapsing them would cost more than the answer is worth.
    narrow.collapse = false;
    let sql = format!(
        "SELECT countIf({condition}) AS expired, count() AS rows\nFROM (\n{}\n)",
        finished(&narrow, &plan.scope)
    );
    let source = job.source.name.to_string();
    let answer = ask_one_with::<Expired>(&servers.source, &source, &sql, &join_settings(job)).await;
    Some(match answer {
        Ok(Expired { expired, rows }) => judge(target, expired, rows),
        Err(reason) => Check::unknown(TTL, reason),
    })
}

fn judge(target: &TableName, expired: u64, rows: u64) -> Check {
    let remedy = format!("ALTER TABLE {target} MODIFY TTL … keeps them longer");
    match expired {
        0 => Check::ok(TTL, format!("no row is past the TTL of {target}")),
        _ if expired == rows => Check::blocked(
            TTL,
            format!(
                "all {} are past the TTL of {target}, and its merges remove them",
                counted(rows, "row")
            ),
        )
        .lifted_by(remedy),
        _ => Check::warning(
            TTL,
            format!(
                "{} of {} are past the TTL of {target}, and its merges remove them",
                count(expired),
                counted(rows, "row")
            ),
        )
        .lifted_by(remedy),
    }
}
