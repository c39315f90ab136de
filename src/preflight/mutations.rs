//! Mutations that are not done: of the source, what is read may be from before or after; of the
//! target, they compete with merges.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Check;
use super::ask::{ask, of_table};
use crate::clickhouse::{Connection, Servers, TableName, quote_literal};
use crate::job::BoundJob;

pub(super) const NAME: &str = "mutations";

/// So many letters of a mutation's command are shown.
const COMMAND: usize = 60;

#[derive(Deserialize)]
struct Mutation {
    database: String,
    table: String,
    #[serde(rename = "mutation_id")]
    id: String,
    command: String,
    parts_to_do: i64,
    failure: String,
}

/// Names the mutations that are not done, of all of the job's tables.
pub(super) async fn check(servers: &Servers, job: &BoundJob) -> Check {
    let mut reading = vec![&job.source.name];
    reading.extend(job.lookup.as_ref().map(|lookup| &lookup.table.name));
    let writing = [&job.target.name];
    let (of_source, of_target) =
        tokio::join!(unfinished(&servers.source, &reading), unfinished(&servers.target, &writing));
    let mut found = match (of_source, of_target) {
        (Ok(mut source), Ok(target)) => {
            source.extend(target);
            source
        }
        (Err(reason), _) | (_, Err(reason)) => return Check::unknown(NAME, reason),
    };
    let Some(last) = found.pop() else {
        return Check::ok(NAME, "none under way in source, lookup and target");
    };
    let mut tables: BTreeMap<String, u64> = BTreeMap::new();
    for mutation in found.iter().chain([&last]) {
        *tables.entry(format!("{}.{}", mutation.database, mutation.table)).or_default() += 1;
    }
    let tables: Vec<_> =
        tables.into_iter().map(|(table, count)| format!("{count} of {table}")).collect();
    let Mutation { database, table, id, command, parts_to_do, failure } = &last;
    let table = TableName { database: database.clone(), table: table.clone() };
    let mut detail = format!(
        "not done: {}; the last is {id} ({}), with {parts_to_do} parts to do",
        tables.join(", "),
        cut(command)
    );
    if !failure.is_empty() {
        detail.push_str(", and fails: ");
        detail.push_str(&cut(failure));
    }
    Check::warning(NAME, detail)
        .lifted_by("wait: SELECT * FROM system.mutations WHERE NOT is_done")
        .lifted_by(format!(
            "KILL MUTATION WHERE {} AND mutation_id = {}",
            of_table(&table),
            quote_literal(id)
        ))
}

async fn unfinished(
    connection: &Connection,
    tables: &[&TableName],
) -> Result<Vec<Mutation>, String> {
    let tables: Vec<_> = tables.iter().map(|table| format!("({})", of_table(table))).collect();
    let sql = format!(
        "SELECT database, table, mutation_id, command, parts_to_do, latest_fail_reason AS failure FROM system.mutations \
         WHERE NOT is_done AND ({}) ORDER BY create_time",
        tables.join(" OR ")
    );
    ask(connection, "system.mutations", &sql).await
}

fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= COMMAND {
        line
    } else {
        line.chars().take(COMMAND).chain(['…']).collect()
    }
}
