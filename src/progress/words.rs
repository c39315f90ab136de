//! What a run in progress is doing, in words: the same on the screen, in lines and on the live page.

use std::time::Duration;

use super::bottleneck::Stage;
use super::figures::Figures;
use crate::control::monitor::ServerStats;
use crate::engine::stream::Phase;
use crate::units::{byte_rate, bytes, count, counted, duration, row_rate};

/// An unknown figure.
pub(super) const UNKNOWN: &str = "–";
/// The age from which an insert in flight is worth a word.
const OLD: Duration = Duration::from_secs(2);

/// A stage that every row passes.
pub(crate) struct StageWords {
    /// Its name.
    pub name: &'static str,
    /// The rows and the bytes per second.
    pub rates: [Option<String>; 2],
    /// What else there is to say.
    pub details: Vec<String>,
    /// Whether the others wait for it.
    pub is_bottleneck: bool,
}

/// The job, the partition, what is being done and for how long.
pub(super) fn headline(figures: &Figures) -> String {
    let dry_run = if figures.dry_run { "dry run of " } else { "" };
    format!("{dry_run}{}: {}", figures.name, doing(figures))
}

/// What is being done and for how long.
pub(crate) fn doing(figures: &Figures) -> String {
    let doing = match (figures.stopping, figures.phase) {
        (Some(left), _) => &stopping(figures, left),
        (None, Phase::Plan) => "preparing",
        (None, Phase::Lookup) if figures.is_held_back() => "waiting",
        (None, Phase::Lookup) => "loading attributes",
        (None, Phase::Stream) if figures.dry_run => "evaluating, nothing is written",
        (None, Phase::Stream) => "inserting",
        (None, Phase::Done) => "counting and recording",
    };
    format!("{doing}, {}", duration(figures.elapsed))
}

/// What a run waits for that was asked to stop.
fn stopping(figures: &Figures, left: Duration) -> String {
    match figures.tasks.inserting {
        0 => "stopping".to_owned(),
        inserts => format!(
            "stopping, waiting at most {} for {}",
            duration(left),
            counted(inserts, "insert")
        ),
    }
}

/// What is safe of a run that stops.
pub(crate) fn safe(figures: &Figures) -> Option<String> {
    figures.stopping.filter(|_| !figures.dry_run)?;
    let done = count(figures.numbers.rows_done);
    Some(format!("{done} rows in chunks done; the next run reads the others again"))
}

/// The speed, the time that is left, and the chunks.
pub(crate) fn pace(figures: &Figures) -> String {
    let numbers = &figures.numbers;
    // Before the first acknowledged row, there is no rate.
    let rate = figures.rates.inserted_rows.filter(|_| numbers.inserted_rows > 0);
    let mut parts: Vec<_> = rate.map(row_rate).into_iter().collect();
    parts.extend(figures.max_rows_per_second.map(|rows| format!("limit {} rows/s", count(rows))));
    // A run that stops does not reach the end.
    let left = figures.left.filter(|_| figures.stopping.is_none());
    parts.extend(left.map(|left| format!("{} left", duration(left))));
    let mut chunks =
        format!("{} of {} done", count(numbers.chunks_done), counted(numbers.chunks, "chunk"));
    // Rows of unfinished chunks are read again by the next run, should this one end now.
    let open = figures.rows_in_unfinished_chunks();
    if open > 0 {
        chunks = format!("{chunks} + {}", counted(open, "row"));
    }
    if numbers.chunks_failed > 0 {
        chunks = format!("{chunks}, {} failed", count(numbers.chunks_failed));
    }
    let wave =
        if numbers.waves > 0 { format!("wave {}, ", count(numbers.waves)) } else { String::new() };
    let pace = if parts.is_empty() { String::new() } else { format!("{}; ", parts.join(", ")) };
    format!("{pace}{wave}{chunks}")
}

/// All stages, in the order in which rows pass them.
pub(crate) fn stages(figures: &Figures) -> [StageWords; 4] {
    [Stage::Lookup, Stage::Read, Stage::Enrich, Stage::Insert].map(|one| stage(figures, one))
}

/// One stage.
pub(super) fn stage(figures: &Figures, stage: Stage) -> StageWords {
    let (numbers, tasks, rates) = (&figures.numbers, &figures.tasks, &figures.rates);
    let (rows_per_second, bytes_per_second, details) = match stage {
        Stage::Lookup => {
            // Nothing is loaded between two waves.
            let rate =
                rates.lookup_rows.filter(|rate| *rate > 0.0 || figures.phase == Phase::Lookup);
            let mut details = vec![counted(numbers.lookup_keys, "key")];
            if numbers.lookup_memory_bytes > 0 {
                details.push(bytes(numbers.lookup_memory_bytes));
            }
            (rate, None, details)
        }
        Stage::Read => {
            let mut details = vec![counted(tasks.readers(), "chunk")];
            if tasks.queueing > 0 {
                details.push(format!(
                    "{} {} for the queue",
                    count(tasks.queueing),
                    if tasks.queueing == 1 { "waits" } else { "wait" }
                ));
            }
            (rates.read_rows, rates.read_bytes, details)
        }
        Stage::Enrich => {
            let found = numbers.matched_rows + numbers.matched_late_rows;
            let all = found + numbers.unmatched_rows;
            let share =
                (all > 0).then(|| format!("{:.1} % matched", 100.0 * found as f64 / all as f64));
            (rates.enriched_rows, None, share.into_iter().collect())
        }
        Stage::Insert => (rates.inserted_rows, rates.inserted_bytes, vec![in_flight(figures)]),
    };
    StageWords {
        name: stage.name(),
        rates: [rows_per_second.map(row_rate), bytes_per_second.map(byte_rate)],
        details,
        is_bottleneck: figures.bottleneck == Some(stage),
    }
}

/// The inserts in flight, and how long the server has had the oldest.
fn in_flight(figures: &Figures) -> String {
    let inserts = count(figures.tasks.inserting);
    match figures.oldest_insert.filter(|_| is_old(figures)) {
        Some(age) => format!("{inserts} in flight, the oldest {}", duration(age)),
        None => format!("{inserts} in flight"),
    }
}

pub(super) fn is_old(figures: &Figures) -> bool {
    figures.oldest_insert.is_some_and(|age| age >= OLD)
}

/// What the server engine's inserts have done so far.
pub(crate) fn chunks_in_flight(figures: &Figures) -> Option<String> {
    let numbers = &figures.numbers;
    let (read, written) = (numbers.chunk_rows_read, numbers.chunk_rows_written);
    (numbers.chunk_memory_bytes > 0).then(|| {
        let (read, memory) = (counted(read, "row"), bytes(numbers.chunk_memory_bytes));
        format!("in flight: {read} read, {} written, {memory} on the server", count(written))
    })
}

/// The memory of this process.
pub(crate) fn memory(figures: &Figures) -> String {
    let now = figures.memory.map_or_else(|| UNKNOWN.to_owned(), bytes);
    format!(
        "{now} of {}, queue {}",
        bytes(figures.memory_limit),
        bytes(figures.numbers.queued_bytes)
    )
}

/// The state of the target's server.
pub(crate) fn server(sample: &ServerStats) -> String {
    let number = |number: Option<u64>, noun: &str| {
        number.map_or_else(|| format!("{UNKNOWN} {noun}s"), |number| counted(number, noun))
    };
    let size = |bytes_now: Option<u64>| bytes_now.map_or_else(|| UNKNOWN.to_owned(), bytes);
    let parts = match &sample.parts {
        Some(parts) => parts.to_string(),
        None => number(None, "part"),
    };
    let mut figures = vec![parts, number(sample.merges, "merge")];
    figures.push(format!("{} of {}", size(sample.memory_used), size(sample.memory_total)));
    figures.extend(
        sample
            .replica_delay_seconds
            .filter(|&delay| delay > 0)
            .map(|delay| format!("replica {delay} s behind")),
    );
    figures.extend(
        sample
            .mutations
            .filter(|&mutations| mutations > 0)
            .map(|mutations| counted(mutations, "mutation")),
    );
    figures.extend(
        sample
            .delayed_inserts
            .filter(|&inserts| inserts > 0)
            .map(|inserts| format!("{} delayed", counted(inserts, "insert"))),
    );
    figures.join(", ")
}

/// How often a statement was retried, and why the last one was.
pub(crate) fn retries(figures: &Figures) -> Option<String> {
    let number = count(figures.numbers.retries);
    match &figures.last_retry {
        Some((ago, reason)) => Some(format!("{number}, the last {} ago: {reason}", duration(*ago))),
        None => (figures.numbers.retries > 0).then_some(number),
    }
}

/// Why the run waits.
pub(super) fn waiting(figures: &Figures) -> Option<String> {
    (!figures.waiting.is_empty()).then(|| format!("waiting: {}", figures.waiting.join("; ")))
}
