//! The blocks of text that say what a run is about to do, and what may be done after it stopped.

use std::fmt::Write;

use super::session::Session;
use crate::clickhouse::Endpoint;
use crate::engine::stream::{Concurrency, PipelineOptions, RowFormat};
use crate::job::BoundJob;
use crate::ledger::Slot;
use crate::load::Load;
use crate::progress::{bytes, count, counted};

/// The configuration of a run. No password is in it.
pub(crate) fn configuration(
    session: &Session,
    options: &PipelineOptions,
    run_id: &str,
    load: Option<&Load>,
    slot: Slot,
) -> String {
    let counts = load.map(Load::chunk_counts).unwrap_or_default();
    let mut text =
        format!("{} {}, run {run_id}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    text.push_str(&tables(session));
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    let format =
        if matches!(options.format, RowFormat::Native(_)) { "native blocks" } else { "RowBinary" };
    let (readers, inserters) =
        (at_once(options.readers, "reader"), at_once(options.inserters, "inserter"));
    line(
        "batches",
        format!(
            "{} rows or {} as {format}; {readers}, {inserters}, {}",
            count(options.batch_rows),
            bytes(options.batch_bytes),
            counted(u64::from(options.retry.max_retries), "retry")
        ),
    );
    let memory = &session.plan.memory;
    line(
        "memory",
        format!(
            "at most {}, of which {} for attributes",
            bytes(memory.total),
            bytes(memory.attributes)
        ),
    );
    if let Some(place) = load.and_then(Load::recorded_in) {
        line("ledger", place);
    }
    if counts.before > 0 {
        line(
            "resumed",
            format!(
                "{} of {} chunks were completed before",
                count(counts.before),
                count(counts.total)
            ),
        );
    }
    if slot.workers > 1 {
        let part = slot.part_of(session.plan.chunks.len());
        line("worker", format!("{slot}, chunks {} to {}", part.start + 1, part.end));
    }
    line(
        "dry run",
        if options.dry_run { "yes, nothing is written".to_owned() } else { "no".to_owned() },
    );
    text
}

/// How many at once, in words.
fn at_once(concurrency: Concurrency, who: &str) -> String {
    match concurrency {
        Concurrency::Fixed(number) => counted(number as u64, who),
        Concurrency::Auto { most, .. } => format!("up to {}", counted(most as u64, who)),
    }
}

/// The server, the job and its tables.
pub(crate) fn tables(session: &Session) -> String {
    let Session { servers, server_version, source_version, job, plan, .. } = session;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    let (source, target) = (
        at(servers.source.endpoint(), source_version),
        at(servers.target.endpoint(), server_version),
    );
    if servers.is_one_server() {
        line("server", target);
    } else {
        line("from server", source);
        line("to server", target);
        if source_version != server_version {
            line("note", "the servers' versions differ; expressions are evaluated by the one that is written to".to_owned());
        }
    }
    line(
        "job",
        if job.name == job.origin {
            job.name.clone()
        } else {
            format!("{} ({})", job.name, job.origin)
        },
    );
    line(
        "source",
        format!(
            "{}, partition {}: {} in {}, {}, {}",
            job.source.name,
            plan.partition,
            counted(plan.stored_rows, "stored row"),
            counted(plan.parts, "part"),
            if plan.stored_bytes == 0 && plan.stored_rows > 0 {
                "of unknown size".to_owned()
            } else {
                bytes(plan.stored_bytes)
            },
            counted(plan.chunks.len() as u64, "chunk")
        ),
    );
    if let Some(lookup) = &job.lookup {
        let keys: Vec<_> = lookup.keys.iter().map(|key| key.lookup.as_str()).collect();
        line("lookup", format!("{} by {}", lookup.table.name, keys.join(", ")));
    }
    line(
        "target",
        format!(
            "{} ({}), {}",
            job.target.name,
            job.target.engine,
            counted(job.columns.len() as u64, "column")
        ),
    );
    for left_out in &job.left_out {
        line("left out", format!("{}: {}", left_out.name, left_out.reason));
    }
    if !job.defaults.is_empty() {
        line("defaults", job.defaults.join(", "));
    }
    for remark in &job.remarks {
        line("note", remark.clone());
    }
    text
}

/// A server in one line.
fn at(endpoint: &Endpoint, version: &str) -> String {
    format!(
        "{} (ClickHouse {version}), user {}, database {}",
        endpoint.url(),
        endpoint.user(),
        endpoint.database()
    )
}

/// What is safe after a run that did not finish, and the command to go on.
pub(crate) fn safe_and_next(job: &BoundJob, dry_run: bool) -> String {
    const AGAIN: &str = "run the same command again, which goes on with the chunks that are missing; what was inserted stays";
    if dry_run {
        return "run the same command again; nothing was written".to_owned();
    }
    let target = &job.target;
    if !target.is_replacing() {
        return format!(
            "{AGAIN}, and batches that are sent twice are recognized in {}, if it has a window for that",
            target.name
        );
    }
    format!(
        "{AGAIN}, and rows that are inserted twice collapse in {} by its sorting key",
        target.name
    )
}
