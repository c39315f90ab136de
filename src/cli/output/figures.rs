//! The figures of a run, for people and machines.

use std::time::Duration;

use crate::engine::stream::Counters;
use crate::job::BoundJob;
use crate::load::ChunkCounts;
use crate::plan::Partition;
use crate::progress::{Seconds, Status, Summary, peak_memory_bytes};

/// How a run ended.
pub(crate) struct Ending {
    pub status: Status,
    pub error: Option<String>,
    pub run_id: String,
    pub chunks: ChunkCounts,
    /// Readers and inserters.
    pub levels: (usize, usize),
    /// Time until the plan was made, and until now.
    pub planned: Duration,
    pub total: Duration,
}

/// What was to be filled.
pub(crate) struct What<'a> {
    pub job: &'a BoundJob,
    pub partition: &'a Partition,
    pub dry_run: bool,
    /// The most memory that it may take, in bytes.
    pub memory: u64,
}

/// Puts the figures together.
pub(crate) fn summary(what: &What<'_>, counters: &Counters, ending: Ending) -> Summary {
    let &What { job, partition, dry_run, memory } = what;
    let Ending { status, error, run_id, chunks, levels, planned, total } = ending;
    let numbers = counters.snapshot();
    let (lookup, stream) = counters.times();
    let rows_per_second =
        if stream.is_zero() { 0.0 } else { numbers.inserted_rows as f64 / stream.as_secs_f64() };
    Summary {
        status,
        job: job.name.clone(),
        partition: partition.to_string(),
        run_id,
        dry_run,
        source: job.source.name.to_string(),
        target: job.target.name.to_string(),
        chunks: chunks.total,
        chunks_before: chunks.before,
        chunks_now: chunks.now,
        lookup_rows: numbers.lookup_rows,
        lookup_keys: numbers.lookup_keys,
        source_rows: numbers.source_rows,
        inserted_rows: numbers.inserted_rows,
        matched_rows: numbers.matched_rows,
        matched_late_rows: numbers.matched_late_rows,
        unmatched_rows: numbers.unmatched_rows,
        repeated_rows: numbers.repeated_rows,
        batches: numbers.batches,
        retries: numbers.retries,
        errors: numbers.errors,
        failed_chunks: numbers.chunks_failed,
        outages: numbers.outages,
        outage_seconds: Duration::from_millis(numbers.outage_milliseconds).as_secs_f64(),
        error,
        bytes_read: numbers.lookup_bytes + numbers.source_bytes,
        bytes_written: numbers.inserted_bytes,
        peak_memory_bytes: peak_memory_bytes(),
        lookup_memory_peak_bytes: numbers.lookup_memory_peak_bytes,
        rows_per_second,
        waves: numbers.waves,
        memory_limit_bytes: memory,
        readers: levels.0 as u64,
        inserters: levels.1 as u64,
        seconds: Seconds {
            plan: planned.as_secs_f64(),
            lookup: lookup.as_secs_f64(),
            stream: stream.as_secs_f64(),
            total: total.as_secs_f64(),
        },
    }
}
