//! Progress as plain lines, for logs and for output that is not a terminal.

use std::time::{Duration, Instant};

use super::format::{bytes, count, duration};
use super::memory::memory_bytes;
use super::rate::Rate;
use crate::pipeline::{Counters, Phase};

/// Makes a line of the counters.
#[derive(Debug)]
pub(super) struct Lines {
    dry_run: bool,
    rows: Rate,
    bytes: Rate,
    phase: Phase,
}

impl Lines {
    /// How often a line is written.
    pub const EVERY: Duration = Duration::from_secs(10);

    pub fn new(dry_run: bool) -> Self {
        Self { dry_run, rows: Rate::default(), bytes: Rate::default(), phase: Phase::Plan }
    }

    /// The line for now; `None` while there is nothing to say.
    pub fn line(&mut self, counters: &Counters) -> Option<String> {
        let phase = counters.phase();
        if phase != self.phase {
            (self.phase, self.rows, self.bytes) = (phase, Rate::default(), Rate::default());
        }
        let now = Instant::now();
        let numbers = counters.snapshot();
        match phase {
            Phase::Plan | Phase::Done => None,
            Phase::Lookup => {
                self.rows.note(now, numbers.lookup_rows);
                Some(format!(
                    "loading attributes: {} rows{}, {}, {} in the map",
                    count(numbers.lookup_rows),
                    per_second(&self.rows, "rows"),
                    bytes(numbers.lookup_bytes),
                    bytes(numbers.lookup_memory_bytes),
                ))
            }
            Phase::Stream => {
                self.rows.note(now, numbers.inserted_rows);
                self.bytes.note(now, numbers.inserted_bytes);
                let total = numbers.source_rows_expected;
                let share = if total > 0 {
                    format!(" of {} ({:.1} %)", count(total), 100.0 * numbers.inserted_rows as f64 / total as f64)
                } else {
                    String::new()
                };
                let left = self.rows.remaining(total).map(|left| format!(", {} left", duration(left))).unwrap_or_default();
                let done = if self.dry_run { "evaluated" } else { "inserted" };
                Some(format!(
                    "{done} {} rows{share}{}{}{left}, chunk {} of {}, {} inserts in flight, {} retries, {} memory",
                    count(numbers.inserted_rows),
                    per_second(&self.rows, "rows"),
                    self.bytes.per_second().map(|rate| format!(", {:.1} MB/s", rate / 1e6)).unwrap_or_default(),
                    numbers.chunks_done,
                    numbers.chunks,
                    numbers.inserts_in_flight,
                    numbers.retries,
                    bytes(memory_bytes().unwrap_or_default()),
                ))
            }
        }
    }
}

fn per_second(rate: &Rate, unit: &str) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people, never negative")]
    rate.per_second().map(|rate| format!(", {} {unit}/s", count(rate as u64))).unwrap_or_default()
}
