//! The description of a run: servers, tables and options, without passwords.

use std::fmt::Write;

use super::session::Session;
use crate::cli::output::layout::wrap_block;
use crate::clickhouse::Endpoint;
use crate::engine::stream::{Concurrency, PipelineOptions, RowFormat};
use crate::ledger::WorkerPart;
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
    part: WorkerPart,
    width: usize,
) -> String {
    let job = &session.job;
    let mut text =
        format!("{} {}, run {run_id}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    text.push_str(&servers_and_tables(session));
    if !job.defaults.is_empty() {
        line(&mut text, "defaults", &job.defaults.join(", "));
    }
    for left_out in &job.left_out {
        line(&mut text, "left out", &format!("{}: {}", left_out.name, left_out.reason));
    }
    line(&mut text, "batches", &batches(options));
    let memory = &session.plan.memory;
    let (total, attributes) = (bytes(memory.total), bytes(memory.attributes));
    line(&mut text, "memory", &format!("at most {total}, of which {attributes} for attributes"));
    if let Some(place) = load.and_then(Load::recorded_in) {
        line(&mut text, "ledger", &place);
    }
    let chunks = load.map(Load::chunk_counts).unwrap_or_default();
    if chunks.before > 0 {
        let (before, total) = (count(chunks.before), counted(chunks.total, "chunk"));
        line(&mut text, "resumed", &format!("{before} of {total} done by earlier runs"));
    }
    if part.workers > 1 {
        let chunks = part.range_of(session.plan.chunks.len());
        let chunks = format!("{part}, chunks {} to {}", chunks.start + 1, chunks.end);
        line(&mut text, "worker", &chunks);
    }
    line(&mut text, "dry run", if options.dry_run { "yes, nothing is written" } else { "no" });
    wrap_block(&text, VALUES, width)
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {name:<12}{value}");
}

fn batches(options: &PipelineOptions) -> String {
    let format =
        if matches!(options.format, RowFormat::Native(_)) { "native blocks" } else { "RowBinary" };
    format!(
        "{} or {} as {format}; {}, {}, {}",
        counted(options.batch_rows, "row"),
        bytes(options.batch_bytes),
        concurrency(options.readers, "reader"),
        concurrency(options.inserters, "inserter"),
        counted(u64::from(options.retry.max_retries), "retry")
    )
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
    let mut text = servers(session);
    let Session { job, plan, .. } = session;
    if job.name == job.origin {
        line(&mut text, "job", &job.name);
    } else {
        line(&mut text, "job", &format!("{} ({})", job.name, job.origin));
    }
    let size = if plan.stored_bytes == 0 && plan.stored_rows > 0 {
        "unknown size".to_owned()
    } else {
        bytes(plan.stored_bytes)
    };
    let source = format!(
        "{}, partition {}: {} in {}, {size}, {}",
        job.source.name,
        plan.partition,
        counted(plan.stored_rows, "stored row"),
        counted(plan.parts, "part"),
        counted(plan.chunks.len() as u64, "chunk")
    );
    line(&mut text, "source", &source);
    if let Some(lookup) = &job.lookup {
        let keys: Vec<_> = lookup.keys.iter().map(|key| key.lookup.as_str()).collect();
        line(&mut text, "lookup", &format!("{} by {}", lookup.table.name, keys.join(", ")));
    }
    let columns = counted(job.columns.len() as u64, "column");
    let target = format!("{} ({}), {columns}", job.target.name, job.target.engine);
    line(&mut text, "target", &target);
    for remark in &job.remarks {
        line(&mut text, "note", remark);
    }
    text
}

fn servers(session: &Session) -> String {
    let Session { servers, server_version, source_version, .. } = session;
    let (source, target) = (
        at(servers.source.endpoint(), source_version),
        at(servers.target.endpoint(), server_version),
    );
    let mut text = String::new();
    if servers.is_one_server() {
        line(&mut text, "server", &target);
        return text;
    }
    line(&mut text, "from server", &source);
    line(&mut text, "to server", &target);
    if source_version != server_version {
        let note = "the servers' versions differ; the target's server evaluates the expressions";
        line(&mut text, "note", note);
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
