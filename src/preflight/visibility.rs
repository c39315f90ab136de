//! Rows that the user does not see, because a row policy hides them: the rows of the parts are
//! compared with those that a SELECT counts.
//!
//! Both count all versions, and rows that a lightweight DELETE has marked. Parts that come and go
//! between the two are met by counting again.

use serde::Deserialize;

use super::check::{Check, Finding, ask, ask_one, ask_one_with, of_table};
use crate::clickhouse::{Connection, Servers, Settings, TableName, TableSchema, quote_literal};
use crate::job::BoundJob;
use crate::units::count;

pub(super) const ROW_POLICIES: &str = "row-policies";

/// How often the rows are counted while parts change.
const ATTEMPTS: u32 = 5;

/// Checks that the user sees every row of the source's partition and of the lookup.
pub(crate) async fn check_visible_reads(
    servers: &Servers,
    job: &BoundJob,
    partition_id: &str,
) -> Check {
    let lookup = async {
        match &job.lookup {
            Some(lookup) => sight(&servers.source, &lookup.table, None).await,
            None => Ok(None),
        }
    };
    let (source, lookup) =
        tokio::join!(sight(&servers.source, &job.source, Some(partition_id)), lookup);
    judge([source, lookup])
}

/// Checks that the user sees every row of the target.
pub(crate) async fn check_visible_target(target: &Connection, job: &BoundJob) -> Check {
    judge([sight(target, &job.target, None).await])
}

fn judge(found: impl IntoIterator<Item = Sight>) -> Check {
    Check::of_findings(ROW_POLICIES, found, "no row policy hides rows from the user")
}

/// What the user does not see of a table, or why that is not known.
type Sight = Result<Option<Finding>, String>;

#[derive(Clone, Deserialize, PartialEq)]
struct Parts {
    rows: u64,
    state: String,
}

#[derive(Deserialize)]
struct Rows {
    rows: u64,
}

async fn sight(connection: &Connection, table: &TableSchema, partition_id: Option<&str>) -> Sight {
    // The rows of other tables are not known otherwise than by reading them.
    if !table.is_merge_tree() {
        return Ok(None);
    }
    let name = &table.name;
    let of_partition = |column: &str| {
        let of = |id| format!("{column} = {}", quote_literal(id));
        partition_id.map_or_else(|| "1".to_owned(), of)
    };
    let parts = format!(
        "SELECT sum(parts.rows) AS rows, toString(sum(cityHash64(name, parts.rows))) AS state FROM system.parts AS parts \
         WHERE active AND NOT startsWith(partition_id, 'patch-') AND {} AND {}",
        of_table(name),
        of_partition("partition_id")
    );
    let seen = format!(
        "SELECT count() AS rows FROM {} WHERE {}",
        name.quoted(),
        of_partition("_partition_id")
    );
    let settings = Settings::common().with("apply_deleted_mask", "0");
    let place =
        partition_id.map_or_else(|| name.to_string(), |id| format!("partition {id} of {name}"));
    for _ in 0..ATTEMPTS {
        let before = match ask_one::<Parts>(connection, "system.parts", &parts).await {
            Ok(parts) => parts,
            Err(reason) => return without_parts(connection, name, &reason).await,
        };
        let counted = ask_one_with::<Rows>(connection, &name.to_string(), &seen, &settings).await;
        let seen = match counted {
            Ok(counted) => counted.rows,
            Err(reason) => return without_parts(connection, name, &reason).await,
        };
        if ask_one::<Parts>(connection, "system.parts", &parts).await? != before {
            continue;
        }
        if seen >= before.rows {
            return Ok(None);
        }
        let user = connection.endpoint().user();
        let words = format!(
            "the user {user} sees {} of {} rows in {place}: {}",
            count(seen),
            count(before.rows),
            policies(connection, name).await
        );
        return Ok(Some(hidden(words, name)));
    }
    let reason = format!("the parts of {place} changed while its rows were counted");
    without_parts(connection, name, &reason).await
}

/// Where rows and parts cannot be compared, the plan of a SELECT tells whether a policy filters rows.
async fn without_parts(connection: &Connection, name: &TableName, reason: &str) -> Sight {
    #[derive(Deserialize)]
    struct Line {
        explain: String,
    }
    let sql = format!("EXPLAIN actions = 1 SELECT * FROM {}", name.quoted());
    let lines = ask::<Line>(connection, &name.to_string(), &sql).await?;
    if !lines.iter().any(|line| line.explain.contains("Row level filter")) {
        return Err(reason.to_owned());
    }
    let user = connection.endpoint().user();
    let policies = policies(connection, name).await;
    let words = format!(
        "the rows of {name} that the user {user} sees cannot be compared with its parts ({reason}), and {policies}"
    );
    Ok(Some(hidden(words, name)))
}

fn hidden(detail: String, name: &TableName) -> Finding {
    let means = format!(
        "use a user to whom no row policy of {name} applies; rows to leave out belong into an exclusion of the job"
    );
    Finding { detail, lifted_by: vec![means] }
}

/// The policies of a table in words.
async fn policies(connection: &Connection, name: &TableName) -> String {
    #[derive(Deserialize)]
    struct Policy {
        name: String,
        filter: String,
    }
    // A policy of a whole database has no table.
    let sql = format!(
        "SELECT name, ifNull(select_filter, '') AS filter FROM system.row_policies WHERE database = {} AND table IN ({}, '') \
         AND (apply_to_all AND NOT hasAny(apply_to_except, subjects) OR hasAny(apply_to_list, subjects)) ORDER BY name",
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    let subjects = "WITH arrayConcat([currentUser()], currentRoles()) AS subjects";
    match ask::<Policy>(connection, "system.row_policies", &format!("{subjects} {sql}")).await {
        Ok(policies) if !policies.is_empty() => {
            let named = |policy: &Policy| format!("{} ({})", policy.name, policy.filter);
            let named: Vec<_> = policies.iter().map(named).collect();
            let (noun, verb) =
                if named.len() == 1 { ("policy", "applies") } else { ("policies", "apply") };
            format!("the row {noun} {} {verb}", named.join(", "))
        }
        Ok(_) => "a row policy applies".to_owned(),
        Err(reason) => format!("a row policy applies, whose name is unknown ({reason})"),
    }
}
