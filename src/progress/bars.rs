//! Progress as two bars: loading attributes, then streaming.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::format::{bytes, count, duration};
use super::memory::memory_bytes;
use super::rate::Rate;
use super::terminal::Terminal;
use crate::pipeline::{Counters, Phase, Snapshot};

/// The bars of one run.
pub(super) struct Bars {
    lookup: ProgressBar,
    stream: ProgressBar,
    lookup_rows: Rate,
    inserted_rows: Rate,
    inserted_bytes: Rate,
    done: &'static str,
}

impl Bars {
    pub fn new(terminal: &Terminal, dry_run: bool) -> Self {
        let bar = || {
            let bar = terminal.bars().add(ProgressBar::new(0));
            bar.set_style(style("{prefix:>10} {spinner} {msg}"));
            bar
        };
        let (lookup, stream) = (bar(), bar());
        lookup.set_prefix("attributes");
        stream.set_prefix(if dry_run { "dry run" } else { "events" });
        stream.set_message("waiting for the attributes");
        let done = if dry_run { "evaluated" } else { "inserted" };
        Self { lookup, stream, lookup_rows: Rate::default(), inserted_rows: Rate::default(), inserted_bytes: Rate::default(), done }
    }

    pub fn draw(&mut self, counters: &Counters) {
        let (now, numbers) = (Instant::now(), counters.snapshot());
        match counters.phase() {
            Phase::Plan | Phase::Done => {}
            Phase::Lookup => {
                self.lookup_rows.note(now, numbers.lookup_rows);
                self.lookup.set_message(lookup_message(&numbers, self.lookup_rows.per_second()));
                self.lookup.tick();
            }
            Phase::Stream => {
                if !self.lookup.is_finished() {
                    self.lookup.set_style(style("{prefix:>10} {msg}"));
                    self.lookup.finish_with_message(lookup_message(&numbers, None));
                }
                self.draw_stream(now, &numbers);
            }
        }
    }

    fn draw_stream(&mut self, now: Instant, numbers: &Snapshot) {
        self.inserted_rows.note(now, numbers.inserted_rows);
        self.inserted_bytes.note(now, numbers.inserted_bytes);
        let total = numbers.source_rows_expected;
        if total > 0 && self.stream.length() != Some(total) {
            self.stream.set_length(total);
            self.stream.set_style(style("{prefix:>10} [{bar:24}] {percent:>3} % {msg}"));
        }
        self.stream.set_position(numbers.inserted_rows);
        let mut parts = vec![format!("{} rows", count(numbers.inserted_rows))];
        parts.extend(self.inserted_rows.per_second().map(|rate| format!("{:.1} krows/s", rate / 1e3)));
        parts.extend(self.inserted_bytes.per_second().map(|rate| format!("{:.1} MB/s", rate / 1e6)));
        parts.extend(self.inserted_rows.remaining(total).map(|left| format!("{} left", duration(left))));
        parts.push(format!("{} in flight", numbers.inserts_in_flight));
        parts.push(format!("{} retries", numbers.retries));
        parts.extend(memory_bytes().map(bytes));
        self.stream.set_message(parts.join(", "));
        self.stream.tick();
    }

    /// Takes the bars off the screen and leaves their last state as lines.
    pub fn finish(self, terminal: &Terminal, counters: &Counters) {
        let numbers = counters.snapshot();
        self.lookup.finish_and_clear();
        self.stream.finish_and_clear();
        let (lookup, stream) = (self.lookup.prefix(), self.stream.prefix());
        terminal.say(&format!("{lookup:>10} {}", lookup_result(&numbers)));
        terminal.say(&format!("{stream:>10} {} rows {}", count(numbers.inserted_rows), self.done));
    }
}

fn lookup_result(numbers: &Snapshot) -> String {
    let (rows, size, most) = (count(numbers.lookup_rows), bytes(numbers.lookup_bytes), bytes(numbers.lookup_memory_peak_bytes));
    format!("{rows} rows, {size}, at most {most} in the map")
}

fn lookup_message(numbers: &Snapshot, rate: Option<f64>) -> String {
    let rate = rate.map(|rate| format!(", {:.1} krows/s", rate / 1e3)).unwrap_or_default();
    format!("{} rows{rate}, {}, {} in the map", count(numbers.lookup_rows), bytes(numbers.lookup_bytes), bytes(numbers.lookup_memory_bytes))
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; one that did not parse would show as the default bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
