//! The description of a run: servers, tables and options, without passwords.

use std::fmt::Write;

use super::session::Session;
use crate::cli::output::layout::wrap_block;
use crate::clickhouse::Endpoint;
use crate::engine::stream::{Concurrency, PipelineOptions, RowFormat};
use crate::ledger::Slot;
use crate::load::Load;
use crate::progress::{bytes, count, counted};

/// The indentation of values.
const VALUES: usize = 14;

/// The configuration of a run, wrapped to a width.
pub(crate) fn configuration(
    session: &Session,
    options: &PipelineOptions,
    run_id: &str,
    load: Option<&Load>,
    slot: Slot,
    width: usize,
) -> String {
    let counts = load.map(Load::chunk_counts).unwrap_or_default();
    let mut text =
        format!("{} {}, run {run_id}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    text.push_str(&servers_and_tables(session));
    if !session.job.defaults.is_empty() {
        let _ = writeln!(text, "  {:<12}{}", "defaults", session.job.defaults.join(", "));
    }
    for left_out in &session.job.left_out {
        let _ = writeln!(text, "  {:<12}{}: {}", "left out", left_out.name, left_out.reason);
    }
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    let format =
        if matches!(options.format, RowFormat::Native(_)) { "native blocks" } else { "RowBinary" };
    let (readers, inserters) =
        (concurrency(options.readers, "reader"), concurrency(options.inserters, "inserter"));
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
                "{} of {} chunks done by earlier runs",
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
    wrap_block(&text, VALUES, width)
}

/// A concurrency in words.
fn concurrency(number: Concurrency, who: &str) -> String {
    match number {
        Concurrency::Fixed(number) => counted(number as u64, who),
        Concurrency::Auto { most, .. } => format!("up to {}", counted(most as u64, who)),
    }
}

/// The servers, the job and its tables.
pub(crate) fn servers_and_tables(session: &Session) -> String {
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
            line(
                "note",
                "the servers' versions differ; the target's server evaluates the expressions"
                    .to_owned(),
            );
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
                "unknown size".to_owned()
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
    for remark in &job.remarks {
        line("note", remark.clone());
    }
    text
}

/// A server and its user.
fn at(endpoint: &Endpoint, version: &str) -> String {
    format!(
        "{} (ClickHouse {version}), user {}, database {}",
        endpoint.url(),
        endpoint.user(),
        endpoint.database()
    )
}
