//! Other work on the job's tables: merges, mutations, concurrent writes, materialized views.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::check::{Check, ask, ask_one, of_table, words};
use crate::clickhouse::{
    Connection, QUERY_ID_PREFIX, Servers, TableName, deduplication, quote_literal,
};
use crate::job::BoundJob;
use crate::plan::Plan;
use crate::units::{bytes, counted, duration};

pub(super) const MERGES: &str = "merges";

#[derive(Deserialize)]
struct RunningMerges {
    merges: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct MergePool {
    used: u64,
    size: u64,
}

/// Counts the target's merges and the used slots of the merge pool.
pub(super) async fn check_merges(target: &Connection, job: &BoundJob) -> Check {
    let name = &job.target.name;
    let merges = format!(
        "SELECT count() AS merges, sum(total_size_bytes_compressed) AS bytes FROM system.merges WHERE {}",
        of_table(name)
    );
    // system.metrics: https://clickhouse.com/docs/operations/system-tables/metrics
    let pool = "SELECT toUInt64(greatest(sumIf(value, metric = 'BackgroundMergesAndMutationsPoolTask'), 0)) AS used, \
        toUInt64(greatest(sumIf(value, metric = 'BackgroundMergesAndMutationsPoolSize'), 0)) AS size FROM system.metrics";
    let (merges, pool) = tokio::join!(
        ask_one::<RunningMerges>(target, "system.merges", &merges),
        ask_one::<MergePool>(target, "system.metrics", pool)
    );
    let RunningMerges { merges, bytes: size } = match merges {
        Ok(merges) => merges,
        Err(reason) => return Check::unknown(MERGES, reason),
    };
    let here = match merges {
        0 => format!("no merge is running in {name}"),
        1 => format!("1 merge of {} is running in {name}", bytes(size)),
        _ => format!("{merges} merges of {} are running in {name}", bytes(size)),
    };
    match pool {
        Ok(MergePool { used, size }) if size > 0 && used >= size => {
            let detail = format!(
                "{here}; all {size} slots of the server's merge pool are in use, so parts of the run would pile up"
            );
            Check::warning(MERGES, detail)
                .lifted_by("wait: SELECT database, table, elapsed, progress FROM system.merges")
                .lifted_by("raise background_pool_size of the server")
        }
        Ok(MergePool { used, size }) if size > 0 => Check::ok(
            MERGES,
            format!("{here}; {used} of {size} slots of the server's merge pool are in use"),
        ),
        _ => Check::ok(MERGES, here),
    }
}

pub(super) const MUTATIONS: &str = "mutations";

/// At most this many letters of a mutation's command are shown.
const COMMAND_LETTERS: usize = 60;

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

/// Names the unfinished mutations of the job's tables.
pub(super) async fn check_mutations(servers: &Servers, job: &BoundJob) -> Check {
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
        (Err(reason), _) | (_, Err(reason)) => return Check::unknown(MUTATIONS, reason),
    };
    let Some(last) = found.pop() else {
        return Check::ok(MUTATIONS, "source, lookup and target have no unfinished mutation");
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
        "unfinished: {}; the last is {id} ({}), with {parts_to_do} parts to do",
        tables.join(", "),
        cut(command)
    );
    if !failure.is_empty() {
        detail.push_str(", which fails: ");
        detail.push_str(&cut(failure));
    }
    Check::warning(MUTATIONS, detail)
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
    if line.chars().count() <= COMMAND_LETTERS {
        line
    } else {
        line.chars().take(COMMAND_LETTERS).chain(['…']).collect()
    }
}

pub(super) const LIVE_WRITES: &str = "live-writes";

/// How many seconds back writes count.
const LOOK_BACK: u64 = 600;

#[derive(Deserialize)]
struct RecentInserts {
    inserts: u64,
    rows: u64,
    seconds_ago: u64,
}

/// Reports recent inserts of other clients into the source's partition.
pub(super) async fn check_live_writes(source: &Connection, job: &BoundJob, plan: &Plan) -> Check {
    let name = &job.source.name;
    let partition =
        format!("{} AND partition_id = {}", of_table(name), quote_literal(plan.partition.id()));
    let figures = |time: &str| {
        format!(
            "count() AS inserts, sum(rows) AS rows, toUInt64(greatest(now() - max({time}), 0)) AS seconds_ago"
        )
    };
    let of_log = format!(
        "SELECT {} FROM system.part_log WHERE event_date >= toDate(now() - {LOOK_BACK}) AND event_time > now() - {LOOK_BACK} \
         AND event_type = 'NewPart' AND {partition} AND NOT startsWith(query_id, '{QUERY_ID_PREFIX}')",
        figures("event_time")
    );
    let of_parts = format!(
        "SELECT {} FROM system.parts WHERE min_block_number = max_block_number AND data_version = max_block_number AND modification_time > now() - {LOOK_BACK} AND {partition}",
        figures("modification_time")
    );
    let written = match ask_one::<RecentInserts>(source, "system.part_log", &of_log).await {
        Ok(written) if written.inserts > 0 => written,
        // The log is written every few seconds, and may have been enabled a moment ago.
        _ => match ask_one::<RecentInserts>(source, "system.parts", &of_parts).await {
            Ok(written) => written,
            Err(reason) => return Check::unknown(LIVE_WRITES, reason),
        },
    };
    let (place, minutes) = (format!("partition {} of {name}", plan.partition), LOOK_BACK / 60);
    if written.inserts == 0 {
        return Check::ok(
            LIVE_WRITES,
            format!("no other client wrote to {place} in the last {minutes} min"),
        );
    }
    let detail = format!(
        "{} of {} into {place} in the last {minutes} min, the latest {} ago: rows that change after they were read keep their old values in the target",
        counted(written.inserts, "insert"),
        counted(written.rows, "row"),
        duration(Duration::from_secs(written.seconds_ago))
    );
    Check::warning(LIVE_WRITES, detail).lifted_by(
        "fill a partition that is no longer written to, or run `verify` and `repair` afterwards",
    )
}

pub(super) const VIEWS: &str = "views";

/// Names the views that every insert into the target triggers, and the tables that they fill.
pub(super) async fn check_views(target: &Connection, job: &BoundJob) -> Check {
    let tables = match deduplication(target, &job.target.name).await {
        Ok(tables) => tables,
        Err(error) => {
            return Check::unknown(VIEWS, words(&error, "system.tables", target.endpoint().user()));
        }
    };
    let fed: Vec<_> = tables
        .iter()
        .filter_map(|table| {
            let view = table.view.as_ref()?;
            Some(if *view == table.name {
                view.to_string()
            } else {
                format!("{view}, which fills {}", table.name)
            })
        })
        .collect();
    if fed.is_empty() {
        return Check::ok(
            VIEWS,
            format!("no materialized view that the user can see reads {}", job.target.name),
        );
    }
    Check::warning(
        VIEWS,
        format!(
            "every batch triggers {}; check that each view should receive these rows",
            fed.join(", ")
        ),
    )
}
