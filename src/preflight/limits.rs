//! Limits, timeouts and memory of the users and of the server that a run would meet.

use std::time::Duration;

use serde::Deserialize;

use super::check::{Check, ask_one, ask_with};
use crate::clickhouse::{Connection, Servers, Settings};
use crate::engine::Engine;
use crate::engine::server::chunk_memory_bytes;
use crate::engine::stream::{PipelineOptions, insert_memory_bytes, read_memory_bytes};
use crate::job::{BoundJob, statements};
use crate::plan::Plan;
use crate::units::{bytes, count, counted, duration};

pub(super) const LIMITS: &str = "limits";

/// Seconds that a statement may take: the source is read only as fast as rows are inserted.
const LONG: f64 = 3600.0;
/// A reader that waits for inserts needs at least this send timeout in seconds.
const SHORT: f64 = 10.0;
/// Statements beside readers and inserters: the lookup of a wave, deferred look-ups, the count, the
/// ledger.
const OTHERS: usize = 4;

/// See [query complexity](https://clickhouse.com/docs/operations/settings/query-complexity).
const QUESTION: &str = "SELECT toFloat64(getSetting('max_execution_time')) AS seconds, toFloat64(getSetting('http_send_timeout')) AS send, \
    toUInt64(getSetting('max_rows_to_read')) AS read, toUInt64(getSetting('max_result_rows')) AS result, \
    toUInt64(getSetting('max_bytes_to_read')) AS read_bytes, toUInt64(getSetting('max_result_bytes')) AS result_bytes, \
    toUInt64(getSetting('max_concurrent_queries_for_user')) AS at_once";

#[derive(Deserialize)]
struct StatementLimits {
    seconds: f64,
    send: f64,
    read: u64,
    result: u64,
    read_bytes: u64,
    result_bytes: u64,
    at_once: u64,
}

/// The limits of one kind of statement.
struct StatementKind {
    /// Its name under `[settings]` of the job file.
    name: &'static str,
    limits: StatementLimits,
    /// Rows that one statement reads.
    rows: u64,
}

/// Compares the limits of each kind of statement with what the run needs.
pub(super) async fn check_limits(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
) -> Check {
    let insert = options.insert_settings(job);
    let (source, lookup) = (statements::source_settings(job), statements::lookup_settings(job));
    let (source, lookup, insert) = tokio::join!(
        limits_of(&servers.source, &source),
        limits_of(&servers.source, &lookup),
        limits_of(&servers.target, &insert)
    );
    let (source, lookup, insert) = match (source, lookup, insert) {
        (Ok(source), Ok(lookup), Ok(insert)) => (source, lookup, insert),
        (Err(reason), ..) | (_, Err(reason), _) | (.., Err(reason)) => {
            return Check::unknown(LIMITS, reason);
        }
    };
    let mut statements =
        vec![StatementKind { name: "source", limits: source, rows: plan.stored_rows }];
    if job.lookup.is_some() {
        statements.push(StatementKind { name: "lookup", limits: lookup, rows: 0 });
    }
    statements.push(StatementKind { name: "insert", limits: insert, rows: 0 });
    let at_once = options.readers.most() + options.inserters.most() + OTHERS;
    let found: Vec<_> =
        statements.iter().flat_map(|statement| meets(statement, plan, at_once as u64)).collect();
    let send = statements.first().map_or(0.0, |statement| statement.limits.send);
    let Some((_, setting, name)) = found.first() else {
        let waits = format!("the server waits {} for a reader (http_send_timeout)", seconds(send));
        return Check::ok(LIMITS, format!("no limit of the users is too low; {waits}"));
    };
    let detail = found.iter().map(|(words, ..)| words.as_str()).collect::<Vec<_>>().join("; ");
    Check::warning(LIMITS, detail)
        .lifted_by(format!(
            "{setting} = 0 under [settings.{name}] of the job, if the profile allows it"
        ))
        .lifted_by("raise the limit in the user's profile")
}

async fn limits_of(
    connection: &Connection,
    settings: &Settings,
) -> Result<StatementLimits, String> {
    let rows =
        ask_with::<StatementLimits>(connection, "the user's settings", QUESTION, settings).await?;
    rows.into_iter().next().ok_or_else(|| "the server does not tell the user's settings".to_owned())
}

/// The limits that are too low for a statement: message, setting, and the job's section for it.
fn meets(
    statement: &StatementKind,
    plan: &Plan,
    at_once: u64,
) -> Vec<(String, &'static str, &'static str)> {
    let StatementKind { name, limits, rows } = statement;
    let mut found = Vec::new();
    let mut say = |setting, words: String| found.push((words, setting, *name));
    if limits.seconds > 0.0 && limits.seconds < LONG {
        say(
            "max_execution_time",
            format!("max_execution_time ends a {name} statement after {}", seconds(limits.seconds)),
        );
    }
    if limits.read > 0 && limits.read < *rows {
        let (limit, rows) = (count(limits.read), count(*rows));
        say(
            "max_rows_to_read",
            format!("max_rows_to_read is {limit}, and the count of the {name} reads {rows} rows"),
        );
    }
    let chunk = rows / (plan.chunks.len().max(1) as u64);
    if limits.result > 0 && limits.result < chunk {
        say(
            "max_result_rows",
            format!(
                "max_result_rows is {}, and a chunk has about {} rows",
                count(limits.result),
                count(chunk)
            ),
        );
    }
    let all = if *rows > 0 { plan.stored_bytes } else { 0 };
    let chunk = all / (plan.chunks.len().max(1) as u64);
    for (setting, limit, size, what) in [
        ("max_bytes_to_read", limits.read_bytes, all, "the partition"),
        ("max_result_bytes", limits.result_bytes, chunk, "a chunk"),
    ] {
        if limit > 0 && limit < size {
            let (limit, size) = (bytes(limit), bytes(size));
            say(setting, format!("{setting} is {limit}, and {what} has about {size}"));
        }
    }
    if *rows > 0 && limits.send > 0.0 && limits.send < SHORT {
        let words = format!(
            "http_send_timeout is {}: chunks whose inserts take longer may be cut off, divided and read again",
            seconds(limits.send)
        );
        say("http_send_timeout", words);
    }
    if limits.at_once > 0 && limits.at_once < at_once {
        let words = format!(
            "max_concurrent_queries_for_user is {}, and up to {at_once} {name} and other statements run at once",
            limits.at_once
        );
        say("max_concurrent_queries_for_user", words);
    }
    found
}

fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

pub(super) const MEMORY: &str = "memory";

#[derive(Deserialize)]
struct MemoryLimits {
    query: u64,
    user: u64,
}

impl MemoryLimits {
    /// The first limit that is lower than what one insert takes, or all of them at once.
    fn below(&self, one: u64, all: u64) -> Option<(&'static str, u64)> {
        [("max_memory_usage", self.query, one), ("max_memory_usage_for_user", self.user, all)]
            .into_iter()
            .find(|(_, limit, needed)| *limit > 0 && limit < needed)
            .map(|(name, limit, _)| (name, limit))
    }
}

#[derive(Deserialize)]
struct ServerMemory {
    allowed: u64,
    used: u64,
}

/// The memory of the server that a run takes.
struct MemoryNeed {
    /// One insert, or the insert of a chunk.
    one: u64,
    /// All at once.
    all: u64,
    words: String,
}

impl MemoryNeed {
    fn of(job: &BoundJob, plan: &Plan, options: &PipelineOptions) -> Self {
        let row = if plan.stored_bytes == 0 {
            options.batch_bytes
        } else {
            plan.stored_bytes / plan.stored_rows.max(1)
        };
        let batch =
            row.saturating_mul(options.batch_rows.min(plan.stored_rows)).min(options.batch_bytes);
        // A dry run writes no part.
        let columns = if options.dry_run { 0 } else { job.target.columns.len() };
        let source_columns = job.source_columns.len();
        let read = read_memory_bytes(plan.parts, plan.stored_bytes, source_columns, job.collapse);
        let one = match options.engine {
            Engine::Stream => insert_memory_bytes(batch, columns),
            Engine::Server => chunk_memory_bytes(batch, columns, read),
        };
        let inserters = options.inserters.most() as u64;
        let all = one.saturating_mul(inserters);
        let at_once =
            format!("about {} of server memory, {inserters} at once {}", bytes(one), bytes(all));
        let words = match options.engine {
            Engine::Stream => format!(
                "one insert needs {at_once}; each of {} about {}",
                counted(options.readers.most() as u64, "reader"),
                bytes(read)
            ),
            Engine::Server => format!("the insert of a chunk needs {at_once}"),
        };
        Self { one, all, words }
    }
}

/// Compares the memory that inserts need with the limits of the user and of the server.
pub(super) async fn check_memory(
    target: &Connection,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
) -> Check {
    let MemoryNeed { one, all, words: takes } = MemoryNeed::of(job, plan, options);
    let settings = options.insert_settings(job);
    let limits = "SELECT toUInt64(getSetting('max_memory_usage')) AS query, toUInt64(getSetting('max_memory_usage_for_user')) AS user";
    let server = "SELECT (SELECT toUInt64(sum(toFloat64(value))) FROM system.server_settings WHERE name = 'max_server_memory_usage') AS allowed, \
        toUInt64(greatest(sum(value), 0)) AS used FROM system.metrics WHERE metric = 'MemoryTracking'";
    let (limits, server) = tokio::join!(
        ask_with::<MemoryLimits>(target, "the user's settings", limits, &settings),
        ask_one::<ServerMemory>(target, "system.metrics", server)
    );
    let smaller = "lower --batch-bytes or --inserters";
    let limits = limits.ok().and_then(|limits| limits.into_iter().next());
    if let Some((name, limit)) = limits.and_then(|limits| limits.below(one, all)) {
        return Check::warning(MEMORY, format!("{takes}; {name} of the user is {}", bytes(limit)))
            .lifted_by(smaller)
            .lifted_by(format!(
                "raise {name} under [settings.insert] of the job, or in the user's profile"
            ));
    }
    match server {
        // 0 means that only the machine sets a limit.
        Ok(ServerMemory { allowed: 0, used }) => {
            Check::ok(MEMORY, format!("{takes}; the server uses {} without a limit", bytes(used)))
        }
        Ok(ServerMemory { allowed, used }) => {
            let free = allowed.saturating_sub(used);
            let words = format!("{takes}; the server uses {} of {}", bytes(used), bytes(allowed));
            if free < all {
                Check::warning(MEMORY, words).lifted_by(smaller)
            } else {
                Check::ok(MEMORY, words)
            }
        }
        Err(reason) => Check::unknown(MEMORY, reason),
    }
}
