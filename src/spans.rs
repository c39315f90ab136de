//! Spans of a run: planning, attributes, waves, chunks, inserts. With the feature `otlp` they go to a
//! collector, and log lines within them become their events; without it there are none.

use std::fmt::Display;

use tracing::Span;
use tracing::field::Empty;

macro_rules! span {
    ($($of:tt)+) => {
        if cfg!(feature = "otlp") {
            tracing::info_span!(target: "clickhouse_backfill::spans", $($of)+)
        } else {
            Span::none()
        }
    };
}

/// The filling of a partition.
pub(crate) fn run(job: &str, partition: &dyn Display, dry_run: bool) -> Span {
    span!(
        "run",
        backfill.job = job,
        backfill.partition = %partition,
        backfill.dry_run = dry_run,
        backfill.run_id = Empty,
        backfill.source = Empty,
        backfill.target = Empty,
        backfill.state = Empty,
        backfill.chunks = Empty,
        backfill.rows = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// Connecting, binding the job, planning and the checks.
pub(crate) fn plan() -> Span {
    span!("plan")
}

/// Loading the attributes of a wave.
pub(crate) fn lookup(wave: usize) -> Span {
    span!("lookup", backfill.wave = wave, backfill.rows = Empty)
}

/// Streaming the chunks of a wave.
pub(crate) fn wave(wave: usize, chunks: usize) -> Span {
    span!("wave", backfill.wave = wave, backfill.chunks = chunks)
}

/// A chunk, with all of its attempts, from its first read to its last acknowledged row.
pub(crate) fn chunk(chunk: &dyn Display) -> Span {
    span!(
        "chunk",
        backfill.chunk = %chunk,
        backfill.rows = Empty,
        backfill.rows_read = Empty,
        backfill.batches = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// The insert of a batch, with all of its attempts.
pub(crate) fn insert(of: &Span, chunk: &dyn Display, rows: u64, bytes: u64) -> Span {
    span!(
        parent: of,
        "insert",
        backfill.chunk = %chunk,
        backfill.rows = rows,
        backfill.bytes = bytes,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// Marks the span as failed.
pub(crate) fn fail(span: &Span, reason: &str) {
    if !span.is_none() {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", reason);
    }
}
