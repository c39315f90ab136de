//! What a run did: one block for people, one object for machines.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::units::{bytes, count, counted, duration, row_rate};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything was done.
    Completed,
    /// Something failed for good.
    Failed,
    /// A person or a supervisor stopped it.
    Interrupted,
}

/// Seconds of each phase.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seconds {
    /// Asking the server and making the plan.
    pub plan: f64,
    /// Loading attributes.
    pub lookup: f64,
    /// Streaming.
    pub stream: f64,
    /// From the start of the program to the end of the run.
    pub total: f64,
}

/// The figures of a run. The names of the fields are a contract: scripts read them from
/// `--summary-json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// How it ended.
    pub status: Status,
    /// The job's name.
    pub job: String,
    /// The partition, as it was named.
    pub partition: String,
    /// The run's id, which all its query ids contain.
    pub run_id: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The source table, with its database.
    pub source: String,
    /// The target table, with its database.
    pub target: String,
    /// Chunks of the whole partition.
    pub chunks: u64,
    /// Chunks that earlier runs had completed.
    pub chunks_before: u64,
    /// Chunks that this run completed.
    pub chunks_now: u64,
    /// Rows of the lookup table that were read, all versions.
    pub lookup_rows: u64,
    /// Keys for which attributes were kept.
    pub lookup_keys: u64,
    /// Source rows read.
    pub source_rows: u64,
    /// Rows whose insert was acknowledged; in a dry run, rows that the server parsed and evaluated.
    pub inserted_rows: u64,
    /// Rows that found attributes in the lookup's window; where it has none, in the lookup.
    pub matched_rows: u64,
    /// Rows that found attributes outside of the window.
    pub matched_late_rows: u64,
    /// Rows that found none.
    pub unmatched_rows: u64,
    /// Rows inserted twice because a chunk was read again; they collapse in the target.
    pub repeated_rows: u64,
    /// Acknowledged batches.
    pub batches: u64,
    /// Statements that were tried again.
    pub retries: u64,
    /// Statements that failed for good.
    pub errors: u64,
    /// Chunks that failed for good.
    pub failed_chunks: u64,
    /// Times that a server could not be reached.
    pub outages: u64,
    /// Seconds for which it was waited for then.
    pub outage_seconds: f64,
    /// What went wrong, where something did.
    pub error: Option<String>,
    /// Bytes read from the server.
    pub bytes_read: u64,
    /// Bytes of acknowledged inserts.
    pub bytes_written: u64,
    /// The most memory that this process held; `null` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// The most that attributes took of it, in bytes.
    pub lookup_memory_peak_bytes: u64,
    /// Inserted rows a second of streaming.
    pub rows_per_second: f64,
    /// The ceiling that was set for it.
    pub memory_limit_bytes: u64,
    /// Waves in which attributes were loaded.
    pub waves: u64,
    /// Chunks that were read at once, in the end.
    pub readers: u64,
    /// Batches that were inserted at once, in the end.
    pub inserters: u64,
    /// Time of each phase.
    pub seconds: Seconds,
}

impl Summary {
    /// The block for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let headline = match (self.status, self.dry_run) {
            (Status::Completed, false) => "done",
            (Status::Completed, true) => "dry run done, nothing was written",
            (Status::Failed, _) => "failed",
            (Status::Interrupted, _) => "interrupted",
        };
        let table = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let done = format!(
            "{} {}",
            table(&self.target),
            if self.dry_run { "evaluated" } else { "inserted" }
        );
        let processed = format!("{} processed", table(&self.source));
        let seconds =
            |seconds: f64| duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<25}{value}");
        };
        line("partition", self.partition.clone());
        let (now, before, failed) =
            (count(self.chunks_now), count(self.chunks_before), count(self.failed_chunks));
        line(
            "chunks",
            format!("{now} of {} now, {before} before, {failed} failed", count(self.chunks)),
        );
        line(
            "attributes loaded",
            format!("{} of {} rows", count(self.lookup_keys), count(self.lookup_rows)),
        );
        line(&processed, count(self.source_rows));
        line(&done, count(self.inserted_rows));
        let matched = [self.matched_rows, self.matched_late_rows, self.unmatched_rows].map(count);
        line("matched, late, unmatched", matched.join(", "));
        if self.repeated_rows > 0 {
            line(
                "inserted twice",
                format!("{} (they collapse in the target)", count(self.repeated_rows)),
            );
        }
        line(
            "batches, retries, errors",
            format!("{}, {}, {}", count(self.batches), count(self.retries), count(self.errors)),
        );
        if self.failed_chunks > 0 {
            line("chunks failed", count(self.failed_chunks));
        }
        if self.outages > 0 {
            line(
                "server not reached",
                format!("{}, for {}", counted(self.outages, "time"), seconds(self.outage_seconds)),
            );
        }
        line("read, written", format!("{}, {}", bytes(self.bytes_read), bytes(self.bytes_written)));
        let Seconds { plan, lookup, stream, total } = self.seconds;
        line(
            "time",
            format!(
                "{} (plan {}, attributes {}, streaming {})",
                seconds(total),
                seconds(plan),
                seconds(lookup),
                seconds(stream)
            ),
        );
        let (readers, inserters) = (self.readers, self.inserters);
        line(
            "throughput",
            format!(
                "{}, in the end with {} and {}",
                row_rate(self.rows_per_second),
                counted(readers, "reader"),
                counted(inserters, "inserter")
            ),
        );
        let peak = self.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), bytes);
        line(
            "peak memory",
            format!(
                "{peak} of {}, {}",
                bytes(self.memory_limit_bytes),
                counted(self.waves, "wave")
            ),
        );
        format!("{headline}: {} into {}\n{text}", self.job, self.target)
    }
}
