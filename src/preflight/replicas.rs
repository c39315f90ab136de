//! Replicas that are behind, or cannot be written to.
//!
//! From [system.replicas](https://clickhouse.com/docs/operations/system-tables/replicas), without
//! the columns for which the server would ask its Keeper.

use std::time::Duration;

use serde::Deserialize;

use super::Check;
use super::ask::{ask, of_table};
use crate::clickhouse::{Connection, Servers, TableSchema};
use crate::job::BoundJob;
use crate::units::{count, duration};

pub(super) const NAME: &str = "replicas";

/// Seconds that a replica may be behind without a word.
const BEHIND: u64 = 60;

#[derive(Deserialize)]
struct Replica {
    is_readonly: u8,
    absolute_delay: u64,
    queue_size: u64,
}

/// Looks at the replicas of the job's tables on the servers that are asked.
pub(super) async fn check(servers: &Servers, job: &BoundJob) -> Check {
    let mut reading = vec![&job.source];
    reading.extend(job.lookup.as_ref().map(|lookup| &lookup.table));
    let reading: Vec<_> = reading.into_iter().filter(|table| is_replicated(table)).collect();
    let writing: Vec<_> = [&job.target].into_iter().filter(|table| is_replicated(table)).collect();
    if reading.is_empty() && writing.is_empty() {
        return Check::ok(NAME, "none of the tables is replicated");
    }
    let mut behind = Vec::new();
    for (table, is_target) in
        reading.iter().map(|table| (table, false)).chain(writing.iter().map(|table| (table, true)))
    {
        let connection = if is_target { &servers.target } else { &servers.source };
        let replica = match state(connection, table).await {
            Ok(Some(replica)) => replica,
            Ok(None) => {
                return Check::unknown(
                    NAME,
                    format!("system.replicas does not know {}", table.name),
                );
            }
            Err(reason) => return Check::unknown(NAME, reason),
        };
        if is_target && replica.is_readonly != 0 {
            return Check::forbids(
                NAME,
                format!("the replica of {} on this server can only be read", table.name),
            )
            .lifted_by(format!(
                "find out why: SELECT * FROM system.replicas WHERE {}",
                of_table(&table.name)
            ))
            .lifted_by(format!(
                "SYSTEM RESTART REPLICA {}, or another replica as --clickhouse-url",
                table.name.quoted()
            ));
        }
        if replica.absolute_delay > BEHIND {
            let (delay, queue) =
                (duration(Duration::from_secs(replica.absolute_delay)), count(replica.queue_size));
            let effect = if is_target {
                "what is inserted is merged late"
            } else {
                "its newest rows are missing"
            };
            behind.push(format!(
                "the replica of {} is {delay} behind, with {queue} entries in its queue: {effect}",
                table.name
            ));
        }
    }
    if behind.is_empty() {
        return Check::ok(NAME, "the replicas that are asked are not behind");
    }
    Check::warning(NAME, behind.join("; "))
        .lifted_by("wait: SELECT database, table, absolute_delay, queue_size FROM system.replicas")
        .lifted_by("another replica as --source-url or --clickhouse-url")
}

async fn state(connection: &Connection, table: &TableSchema) -> Result<Option<Replica>, String> {
    let sql = format!(
        "SELECT is_readonly, toUInt64(absolute_delay) AS absolute_delay, toUInt64(queue_size) AS queue_size FROM system.replicas WHERE {}",
        of_table(&table.name)
    );
    Ok(ask(connection, "system.replicas", &sql).await?.into_iter().next())
}

fn is_replicated(table: &TableSchema) -> bool {
    table.engine.starts_with("Replicated")
}
