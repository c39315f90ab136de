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

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::bottleneck::Stage;
use super::figures::Figures;
use super::terminal::{Emphasis, Line, Size, cut};
use super::words::{self, StageWords, UNKNOWN};
use crate::sync::Mutex;
use crate::units::count;

/// Below this width the rates of the stages are not aligned in columns.
const NARROW: usize = 72;
/// From this width the line of inserts has room for their age and the mark of a bottleneck in words.
const WIDE: usize = 90;
/// The title's longest width; window managers cut longer ones off.
pub(super) const TITLE_COLUMNS: usize = 60;
/// The bar's shortest and longest width.
const BAR: std::ops::RangeInclusive<usize> = 8..=160;

/// The lines for a terminal of this size. No line is wider than the terminal, and one row is left
/// for the cursor. Where rows are short, less important lines are left out.
pub(super) fn screen(figures: &Figures, size: Size) -> Vec<Line> {
    // One less than the terminal has: some terminals wrap a full line.
    let columns = size.columns.saturating_sub(1).max(1);
    let mut lines = vec![
        (3, plain(words::headline(figures))),
        (0, bar(figures, columns)),
        (2, plain(format!("  {}", words::pace(figures)))),
    ];
    lines.extend(words::safe(figures).map(|text| (4, named("safe", &text))));
    let ranks = [(Stage::Lookup, 7), (Stage::Read, 5), (Stage::Enrich, 8), (Stage::Insert, 4)];
    lines.extend(ranks.map(|(stage, rank)| (rank, stage_line(figures, stage, columns))));
    lines.extend(words::chunks_in_flight(figures).map(|text| (6, named("chunks", &text))));
    lines.push((6, named("memory", &words::memory(figures))));
    lines.push((6, named("server", &words::server(&figures.server))));
    lines.extend(words::retries(figures).map(|text| (5, named("retries", &text))));
    lines.extend(
        words::waiting(figures)
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

fn stage_line(figures: &Figures, stage: Stage, columns: usize) -> Line {
    let StageWords { name, rates, mut details, is_bottleneck } = words::stage(figures, stage);
    if is_bottleneck && !(stage == Stage::Insert && columns < WIDE && words::is_old(figures)) {
        details.push("the bottleneck".to_owned());
    }
    let mark = if is_bottleneck { ">" } else { " " };
    let text = if columns < NARROW {
        let parts: Vec<_> = rates.into_iter().flatten().chain(details).collect();
        format!("{mark} {name:<8}  {}", parts.join(", "))
    } else {
        let [rows, bytes] = rates.map(Option::unwrap_or_default);
        format!("{mark} {name:<8}{rows:>14}{bytes:>14}  {}", details.join(", "))
    };
    Line { text, emphasis: if is_bottleneck { Emphasis::Strong } else { Emphasis::None } }
}

/// The title: `37 % langfuse-events 202511`.
pub(crate) fn title(figures: &Figures) -> String {
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
