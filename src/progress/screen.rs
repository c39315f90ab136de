//! The screen of a run in progress, and the title above it.
//!
//! ```text
//! langfuse-events 202511: inserting, 12 min 20 s
//! [===============>                       ]  37 %  37,412,000 of 100,200,000 rows
//!   78.3 krows/s, 13 min 22 s left; wave 2, 12 of 48 chunks done + 312,000 rows
//!   lookup                                  1,234,567 keys, 312.4 MiB
//!   read      78.3 krows/s   82.4 MiB/s  4 chunks, 3 wait for the queue
//!   enrich    78.3 krows/s               98.2 % matched
//! > insert    78.0 krows/s  101.2 MiB/s  6 in flight, the oldest 12.0 s
//!   memory    1.2 GiB of 4.0 GiB, queue 512.0 MiB
//!   server    262 parts in 202511, 3 merges, 12.3 GiB of 32.0 GiB
//!   retries   2, the last 3 min 20 s ago: Code: 252. DB::Exception: Too many parts
//!   waiting: 262 parts in 202511, limit 250
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::bottleneck::Stage;
use super::figures::Figures;
use super::terminal::{Emphasis, Line, Size, cut};
use crate::control::monitor::{FullestPartition, ServerStats};
use crate::engine::stream::Phase;
use crate::sync::Mutex;
use crate::units::{byte_rate, bytes, count, counted, duration, row_rate};

/// An unknown figure.
const UNKNOWN: &str = "–";
/// Below this width the rates of the stages are not aligned in columns.
const NARROW: usize = 72;
/// From this width the line of inserts has room for their age and the mark of a bottleneck in words.
const WIDE: usize = 90;
/// The title's longest width; window managers cut longer ones off.
pub(super) const TITLE_COLUMNS: usize = 60;
/// The bar's shortest and longest width.
const BAR: std::ops::RangeInclusive<usize> = 8..=160;
/// The age from which an insert in flight is worth a word.
const OLD: Duration = Duration::from_secs(2);

/// The lines for a terminal of this size. No line is wider than the terminal, and one row is left
/// for the cursor. Where rows are short, less important lines are left out.
pub(super) fn screen(figures: &Figures, size: Size) -> Vec<Line> {
    // One less than the terminal has: some terminals wrap a full line.
    let columns = size.columns.saturating_sub(1).max(1);
    let mut lines = vec![(3, headline(figures)), (0, bar(figures, columns)), (2, pace(figures))];
    lines.extend(safe(figures).map(|line| (4, line)));
    let ranks = [(Stage::Lookup, 7), (Stage::Read, 5), (Stage::Enrich, 8), (Stage::Insert, 4)];
    lines.extend(ranks.map(|(stage, rank)| (rank, stage_line(figures, stage, columns))));
    lines.extend(chunks_in_flight(figures).map(|text| (6, named("chunks", &text))));
    lines.push((6, named("memory", &memory(figures))));
    lines.push((6, named("server", &server(&figures.server))));
    lines.extend(retries(figures).map(|text| (5, named("retries", &text))));
    lines.extend(
        waiting(figures)
            .map(|text| (1, Line { text: format!("  {text}"), emphasis: Emphasis::Warning })),
    );
    let room = size.rows.saturating_sub(1).max(1);
    while lines.len() > room {
        let least = lines
            .iter()
            .enumerate()
            .max_by_key(|(_, (rank, _))| *rank)
            .map(|(position, _)| position);
        lines.remove(least.unwrap_or_default());
    }
    lines.into_iter().map(|(_, line)| Line { text: cut(&line.text, columns), ..line }).collect()
}

pub(super) fn plain(text: String) -> Line {
    Line { text, emphasis: Emphasis::None }
}

fn named(name: &str, text: &str) -> Line {
    plain(format!("  {name:<8}  {text}"))
}

fn headline(figures: &Figures) -> Line {
    let doing = match (figures.stopping, figures.phase) {
        (Some(left), _) => &stopping(figures, left),
        (None, Phase::Plan) => "preparing",
        (None, Phase::Lookup) => "loading attributes",
        (None, Phase::Stream) if figures.dry_run => "evaluating, nothing is written",
        (None, Phase::Stream) => "inserting",
        (None, Phase::Done) => "counting and recording",
    };
    let dry_run = if figures.dry_run { "dry run of " } else { "" };
    plain(format!("{dry_run}{}: {doing}, {}", figures.name, duration(figures.elapsed)))
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
fn safe(figures: &Figures) -> Option<Line> {
    figures.stopping.filter(|_| !figures.dry_run)?;
    let done = count(figures.numbers.rows_done);
    let words = format!("{done} rows in chunks done; the next run reads the others again");
    Some(named("safe", &words))
}

fn bar(figures: &Figures, columns: usize) -> Line {
    let rows = count(figures.numbers.inserted_rows);
    let (share, text) = match (figures.whole_percent(), figures.numbers.rows_expected()) {
        (Some(percent), Some(expected)) => (
            f64::from(percent) / 100.0,
            format!(" {percent:>3} %  {rows} of {} rows", count(expected)),
        ),
        _ => (0.0, format!("   {UNKNOWN} %  {rows} rows, counting the total")),
    };
    bar_before(&text, share, columns)
}

/// A bar that leaves room for the text behind it.
pub(super) fn bar_before(text: &str, share: f64, columns: usize) -> Line {
    let width = columns.saturating_sub(text.chars().count() + 2).clamp(*BAR.start(), *BAR.end());
    plain(format!("{}{text}", draw_bar(share, width)))
}

fn pace(figures: &Figures) -> Line {
    let numbers = &figures.numbers;
    let mut parts: Vec<_> = figures.rates.inserted_rows.map(row_rate).into_iter().collect();
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
    plain(format!("  {pace}{wave}{chunks}"))
}

fn stage_line(figures: &Figures, stage: Stage, columns: usize) -> Line {
    let (numbers, tasks, rates) = (&figures.numbers, &figures.tasks, &figures.rates);
    let is_bottleneck = figures.bottleneck == Some(stage);
    let (rows_per_second, bytes_per_second, mut details) = match stage {
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
    if is_bottleneck && !(stage == Stage::Insert && columns < WIDE && is_old(figures)) {
        details.push("the bottleneck".to_owned());
    }
    let mark = if is_bottleneck { ">" } else { " " };
    let rates = [rows_per_second.map(row_rate), bytes_per_second.map(byte_rate)];
    let text = if columns < NARROW {
        let parts: Vec<_> = rates.into_iter().flatten().chain(details).collect();
        format!("{mark} {:<8}  {}", stage.name(), parts.join(", "))
    } else {
        let [rows, bytes] = rates.map(Option::unwrap_or_default);
        format!("{mark} {:<8}{rows:>14}{bytes:>14}  {}", stage.name(), details.join(", "))
    };
    Line { text, emphasis: if is_bottleneck { Emphasis::Strong } else { Emphasis::None } }
}

/// The inserts in flight, and how long the server has had the oldest.
fn in_flight(figures: &Figures) -> String {
    let inserts = count(figures.tasks.inserting);
    match figures.oldest_insert.filter(|_| is_old(figures)) {
        Some(age) => format!("{inserts} in flight, the oldest {}", duration(age)),
        None => format!("{inserts} in flight"),
    }
}

fn is_old(figures: &Figures) -> bool {
    figures.oldest_insert.is_some_and(|age| age >= OLD)
}

/// What the server engine's inserts have done so far.
fn chunks_in_flight(figures: &Figures) -> Option<String> {
    let numbers = &figures.numbers;
    let (read, written) = (numbers.chunk_rows_read, numbers.chunk_rows_written);
    (numbers.chunk_memory_bytes > 0).then(|| {
        let (read, memory) = (counted(read, "row"), bytes(numbers.chunk_memory_bytes));
        format!("in flight: {read} read, {} written, {memory} on the server", count(written))
    })
}

fn memory(figures: &Figures) -> String {
    let now = figures.memory.map_or_else(|| UNKNOWN.to_owned(), bytes);
    format!(
        "{now} of {}, queue {}",
        bytes(figures.memory_limit),
        bytes(figures.numbers.queued_bytes)
    )
}

/// The state of the target's server.
pub(super) fn server(sample: &ServerStats) -> String {
    let number = |number: Option<u64>, noun: &str| {
        number.map_or_else(|| format!("{UNKNOWN} {noun}s"), |number| counted(number, noun))
    };
    let size = |bytes_now: Option<u64>| bytes_now.map_or_else(|| UNKNOWN.to_owned(), bytes);
    let parts = match &sample.parts {
        Some(FullestPartition { partition, parts }) => {
            format!("{} in {partition}", counted(*parts, "part"))
        }
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

fn retries(figures: &Figures) -> Option<String> {
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

/// The title: `37 % langfuse-events 202511`.
pub(super) fn title(figures: &Figures) -> String {
    let share = figures.whole_percent().map(|percent| format!("{percent} % ")).unwrap_or_default();
    let waiting = if figures.waiting.is_empty() { "" } else { ", waiting" };
    cut(&format!("{share}{}{waiting}", figures.name), TITLE_COLUMNS)
}

/// The length of a full bar for `indicatif`, in which a share is counted.
const WHOLE: u64 = 10_000;

/// A bar in brackets, `columns` wide, filled to `share`.
///
/// `indicatif` draws into a string, not on the terminal: after tmux has wrapped lines at a new width,
/// it moves the cursor up by too few rows and leaves torn lines behind.
fn draw_bar(share: f64, columns: usize) -> String {
    let line = OneLine::new(columns + 2);
    // An invalid template gives the default style.
    let style = ProgressStyle::with_template(&format!("[{{bar:{columns}}}]"))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(
        Some(WHOLE),
        ProgressDrawTarget::term_like(Box::new(line.clone())),
    );
    bar.set_style(style.progress_chars("=> "));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a whole"
    )]
    bar.set_position((share.clamp(0.0, 1.0) * WHOLE as f64) as u64);
    bar.tick();
    let text = line.text();
    bar.finish_and_clear();
    text
}

/// A terminal of one line that keeps the last text written to it.
#[derive(Clone, Debug)]
struct OneLine {
    columns: u16,
    text: Arc<Mutex<String>>,
}

impl OneLine {
    fn new(columns: usize) -> Self {
        Self { columns: u16::try_from(columns).unwrap_or(u16::MAX), text: Arc::default() }
    }

    fn text(&self) -> String {
        self.with(|text| text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn with<T>(&self, change: impl FnOnce(&mut String) -> T) -> T {
        change(&mut self.text.lock())
    }
}

impl TermLike for OneLine {
    fn width(&self) -> u16 {
        self.columns
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.with(|kept| kept.push_str(text));
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.with(String::clear);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_filled_to_its_share_at_a_fixed_width() {
        assert_eq!(draw_bar(0.0, 10), "[          ]");
        assert_eq!(draw_bar(0.5, 10), "[=====>    ]");
        assert_eq!(draw_bar(0.999, 10), "[=========>]");
        assert_eq!([draw_bar(1.0, 10), draw_bar(7.0, 10)], ["[==========]", "[==========]"]);
        for thousandths in 0..=1000 {
            assert_eq!(draw_bar(f64::from(thousandths) / 1000.0, 23).chars().count(), 25);
        }
    }
}
