//! Limits and timeouts of the users' profiles that a long query, or many at once, would meet.
//!
//! They are asked for under the settings of each statement, so that what the job says of them
//! counts.

use serde::Deserialize;

use super::Check;
use super::ask::ask_with;
use crate::clickhouse::{Connection, Servers, Settings};
use crate::engine::stream::PipelineOptions;
use crate::job::{BoundJob, statements};
use crate::plan::Plan;
use crate::units::{count, duration};
use std::time::Duration;

pub(super) const NAME: &str = "limits";

/// Seconds that a statement may well take: the source is read as slowly as its rows are inserted,
/// and a view may be slow.
const LONG: f64 = 3600.0;
/// Seconds after which the server gives a reader up that waits for inserts; it is read again then.
const SHORT: f64 = 10.0;
/// Statements beside readers and inserters: the lookup of a wave, late look-ups, the count, the
/// record.
const OTHERS: usize = 4;

/// See [query complexity](https://clickhouse.com/docs/operations/settings/query-complexity).
const QUESTION: &str = "SELECT toFloat64(getSetting('max_execution_time')) AS seconds, toFloat64(getSetting('http_send_timeout')) AS send, \
    toUInt64(getSetting('max_rows_to_read')) AS read, toUInt64(getSetting('max_result_rows')) AS result, \
    toUInt64(getSetting('max_concurrent_queries_for_user')) AS at_once";

#[derive(Deserialize)]
struct Limits {
    seconds: f64,
    send: f64,
    read: u64,
    result: u64,
    at_once: u64,
}

/// One kind of statement, and what is asked of the server by it.
struct Statement {
    /// As the job's file names its settings.
    name: &'static str,
    limits: Limits,
    /// Rows that one of them reads.
    rows: u64,
}

/// Asks for the limits of each kind of statement.
pub(super) async fn check(
    servers: &Servers,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
) -> Check {
    let insert = options.insert_settings(job);
    let (source, lookup) = (statements::source_settings(job), statements::lookup_settings(job));
    let (source, lookup, insert) = tokio::join!(
        ask(&servers.source, &source),
        ask(&servers.source, &lookup),
        ask(&servers.target, &insert)
    );
    let (source, lookup, insert) = match (source, lookup, insert) {
        (Ok(source), Ok(lookup), Ok(insert)) => (source, lookup, insert),
        (Err(reason), ..) | (_, Err(reason), _) | (.., Err(reason)) => {
            return Check::unknown(NAME, reason);
        }
    };
    let mut statements = vec![Statement { name: "source", limits: source, rows: plan.stored_rows }];
    if job.lookup.is_some() {
        statements.push(Statement { name: "lookup", limits: lookup, rows: 0 });
    }
    statements.push(Statement { name: "insert", limits: insert, rows: 0 });
    let at_once = options.readers.most() + options.inserters.most() + OTHERS;
    let found: Vec<_> =
        statements.iter().flat_map(|statement| meets(statement, plan, at_once as u64)).collect();
    let send = statements.first().map_or(0.0, |statement| statement.limits.send);
    let Some((_, setting, name)) = found.first() else {
        let waits = format!("the server waits {} for a reader (http_send_timeout)", seconds(send));
        return Check::ok(NAME, format!("none of the users' limits is in the way; {waits}"));
    };
    let detail = found.iter().map(|(words, ..)| words.as_str()).collect::<Vec<_>>().join("; ");
    Check::warning(NAME, detail)
        .lifted_by(format!(
            "{setting} = 0 under [settings.{name}] of the job, where the profile lets it"
        ))
        .lifted_by("a larger limit in the user's profile")
}

async fn ask(connection: &Connection, settings: &Settings) -> Result<Limits, String> {
    let rows = ask_with::<Limits>(connection, "the user's settings", QUESTION, settings).await?;
    rows.into_iter().next().ok_or_else(|| "the server does not tell the user's settings".to_owned())
}

/// The limits that a statement would meet, as words, the setting, and where the job says it.
fn meets(
    statement: &Statement,
    plan: &Plan,
    at_once: u64,
) -> Vec<(String, &'static str, &'static str)> {
    let Statement { name, limits, rows } = statement;
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
    if *rows > 0 && limits.send > 0.0 && limits.send < SHORT {
        let words = format!(
            "http_send_timeout is {}: chunks whose inserts take longer are read again and again",
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
