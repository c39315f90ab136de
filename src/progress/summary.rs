//! The summary of a run: a block of text for people, a JSON object for programs.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use tracing::Span;

use crate::state::LoadState;
use crate::units::{bytes, count, counted, duration, row_rate};
use crate::verify::Report;

/// Time spent in each phase, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Seconds {
    /// Queries for the plan, and planning.
    pub plan: f64,
    /// Loading attributes.
    pub lookup: f64,
    /// Streaming.
    pub stream: f64,
    /// From the start of the process to the end of the run.
    pub total: f64,
}

/// The figures of a run. Field names are a contract: scripts read them from `--summary-json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The state of its work.
    pub status: LoadState,
    /// The job's name.
    pub job: String,
    /// The partition, as the user named it.
    pub partition: String,
    /// The run id; all query ids of the run contain it.
    pub run_id: String,
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The source table, with its database; the pattern of objects.
    pub source: String,
    /// What the source is, if it is no table.
    #[serde(skip)]
    pub outside: Option<&'static str>,
    /// The target table, with its database.
    pub target: String,
    /// All chunks of the partition.
    pub chunks: u64,
    /// Chunks completed by earlier runs.
    pub chunks_before: u64,
    /// Chunks completed by this run.
    pub chunks_now: u64,
    /// Rows read from the lookup table, all versions counted.
    pub lookup_rows: u64,
    /// Keys with attributes in the map.
    pub lookup_keys: u64,
    /// Source rows read.
    pub source_rows: u64,
    /// Rows whose insert was acknowledged; in a dry run, rows that the server evaluated.
    pub inserted_rows: u64,
    /// Those of them that are in completed chunks: a run that continues inserts the others again.
    #[serde(skip)]
    pub rows_done: u64,
    /// Rows matched in the lookup's window, or in the whole lookup if it has no window.
    pub matched_rows: u64,
    /// Rows matched outside of the window.
    pub matched_late_rows: u64,
    /// Rows without a match.
    pub unmatched_rows: u64,
    /// Rows inserted twice because a chunk was read again; they collapse in the target.
    pub repeated_rows: u64,
    /// Acknowledged batches.
    pub batches: u64,
    /// Retried statements.
    pub retries: u64,
    /// Statements that failed permanently.
    pub errors: u64,
    /// Chunks that failed permanently.
    pub failed_chunks: u64,
    /// Number of outages: times that a server was unreachable.
    pub outages: u64,
    /// Seconds spent waiting for a server in outages.
    pub outage_seconds: f64,
    /// The failure, if the run failed.
    pub error: Option<String>,
    /// Bytes read from the server.
    pub bytes_read: u64,
    /// Bytes of acknowledged inserts.
    pub bytes_written: u64,
    /// The process's peak memory; `null` if the system does not report it.
    pub peak_memory_bytes: Option<u64>,
    /// The peak memory of attributes, in bytes.
    pub lookup_memory_peak_bytes: u64,
    /// Inserted rows per second of streaming.
    pub rows_per_second: f64,
    /// The memory limit.
    pub memory_limit_bytes: u64,
    /// Waves in which attributes were loaded.
    pub waves: u64,
    /// Concurrent readers at the end.
    pub readers: u64,
    /// Concurrent inserters at the end.
    pub inserters: u64,
    /// Time of each phase.
    pub seconds: Seconds,
    /// What `--canary` chose and found; absent without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// The chunks of a canary, and their comparison. Field names are a contract.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Canary {
    /// The share that was asked for.
    pub share: String,
    /// The numbers of the chunks, from 1.
    pub chunks: Vec<usize>,
    /// The chunks of the partition.
    pub of: usize,
    /// The comparison of their rows; `null` if it was not made.
    pub comparison: Option<Report>,
}

impl Canary {
    /// `chunk 2 of 3`, `2 of 300 chunks (76, 226)`
    pub(crate) fn text(&self) -> String {
        const NAMED: usize = 10;
        let mut numbers: Vec<_> =
            self.chunks.iter().take(NAMED).map(|number| count(*number as u64)).collect();
        if self.chunks.len() > NAMED {
            numbers.push("…".to_owned());
        }
        let of = self.of as u64;
        match &*self.chunks {
            [one] => format!("chunk {} of {}", count(*one as u64), count(of)),
            all => {
                let number = count(all.len() as u64);
                format!("{number} of {} ({})", counted(of, "chunk"), numbers.join(", "))
            }
        }
    }
}

impl Summary {
    /// Adds what is known at the end to the span of the run.
    pub(crate) fn describe(&self, span: &Span) {
        span.record("backfill.run_id", &*self.run_id);
        span.record("backfill.source", &*self.source);
        span.record("backfill.target", &*self.target);
        span.record("backfill.state", self.status.name());
        span.record("backfill.chunks", self.chunks_now);
        span.record("backfill.rows", self.inserted_rows);
    }

    /// The text block.
    pub(crate) fn text(&self) -> String {
        let headline = match (self.status, self.dry_run) {
            (LoadState::Completed, true) => "dry run completed, nothing was written",
            (LoadState::Completed, false) if self.canary.is_some() => "canary filled",
            (state, _) => state.text(),
        };
        let lines: Vec<_> = self.row_lines().into_iter().chain(self.run_lines()).collect();
        format!("{headline}: {} into {}\n{}", self.job, self.target, aligned(&lines))
    }

    /// What became of the rows.
    fn row_lines(&self) -> Vec<(String, String)> {
        let table = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let source = self.outside.map_or_else(|| table(&self.source), str::to_owned);
        let verb = if self.dry_run { "evaluated" } else { "inserted" };
        let (now, before, failed) =
            (count(self.chunks_now), count(self.chunks_before), count(self.failed_chunks));
        let chunks = count(self.chunks);
        let matched = [self.matched_rows, self.matched_late_rows, self.unmatched_rows].map(count);
        let mut lines = vec![
            ("partition".to_owned(), self.partition.clone()),
            (
                "chunks".to_owned(),
                format!("{now} of {chunks} completed, {before} by earlier runs, {failed} failed"),
            ),
            (
                "attributes loaded".to_owned(),
                format!("{} of {}", count(self.lookup_keys), counted(self.lookup_rows, "row")),
            ),
            (format!("{source} processed"), count(self.source_rows)),
            (format!("{} {verb}", table(&self.target)), self.rows()),
            ("matched, late, unmatched".to_owned(), matched.join(", ")),
        ];
        if self.repeated_rows > 0 {
            let repeated = format!("{} (they collapse in the target)", count(self.repeated_rows));
            lines.push(("inserted twice".to_owned(), repeated));
        }
        lines
    }

    /// The rows, and how many of them count as done where chunks are unfinished.
    fn rows(&self) -> String {
        let rows = count(self.inserted_rows);
        if self.rows_done < self.inserted_rows && !self.dry_run {
            format!("{rows}, {} of them in completed chunks", count(self.rows_done))
        } else {
            rows
        }
    }

    /// How the run went.
    fn run_lines(&self) -> Vec<(String, String)> {
        let seconds =
            |seconds: f64| duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let batches = [self.batches, self.retries, self.errors].map(count);
        let mut lines = vec![("batches, retries, errors", batches.join(", "))];
        if self.outages > 0 {
            let times = counted(self.outages, "time");
            let outages = format!("{times}, for {}", seconds(self.outage_seconds));
            lines.push(("server unreachable", outages));
        }
        let Seconds { plan, lookup, stream, total } = self.seconds;
        let peak = self.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), bytes);
        let (limit, waves) = (bytes(self.memory_limit_bytes), counted(self.waves, "wave"));
        lines.extend([
            ("read, written", format!("{}, {}", bytes(self.bytes_read), bytes(self.bytes_written))),
            (
                "time",
                format!(
                    "{} (plan {}, attributes {}, streaming {})",
                    seconds(total),
                    seconds(plan),
                    seconds(lookup),
                    seconds(stream)
                ),
            ),
            (
                "throughput",
                format!(
                    "{}, at the end with {} and {}",
                    row_rate(self.rows_per_second),
                    counted(self.readers, "reader"),
                    counted(self.inserters, "inserter")
                ),
            ),
            ("peak memory", format!("{peak} of {limit}, {waves}")),
        ]);
        lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// One line for each name and value. Values are aligned, also behind the long name of a table.
fn aligned(lines: &[(String, String)]) -> String {
    let longest = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let width = longest.max(24);
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<width$} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn values_are_aligned_behind_long_names() {
        let lines =
            |name: &str| [(name.to_owned(), "1".to_owned()), ("time".to_owned(), "2 s".to_owned())];
        let (short, long) =
            (aligned(&lines("rows")), aligned(&lines("cost_metrics_hourly inserted")));
        assert_eq!(short, format!("  {:<24} 1\n  {:<24} 2 s\n", "rows", "time"));
        assert_eq!(long, format!("  cost_metrics_hourly inserted 1\n  {:<28} 2 s\n", "time"));
    }
}
