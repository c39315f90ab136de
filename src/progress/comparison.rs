//! Showing a comparison in progress: three lines on a terminal, a line every 10 s elsewhere.
//!
//! ```text
//! langfuse-events 202511: comparing sums of rows, 12 min 20 s
//! [===============>                       ]  37 %  12 of 48 chunks of the source
//!   13 min 22 s left
//! ```

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::screen::{TITLE_COLUMNS, bar_before, plain};
use super::terminal::{Line, Terminal, cut};
use super::view::{LINE_EVERY, draw_screen, until_done};
use crate::units::{count, counted, duration};
use crate::verify::VerifyProgress;

/// Work of at least this time says how long the rest takes.
const REMAINING_AFTER: Duration = Duration::from_secs(5);

/// Runs `work` and shows the progress of this comparison.
pub(crate) async fn show_comparison<T>(
    terminal: &Terminal,
    name: &str,
    progress: &VerifyProgress,
    work: impl Future<Output = T>,
) -> T {
    if !terminal.shows_progress() {
        return work.await;
    }
    let mut pace = Pace::new(name);
    let showing = async {
        if terminal.has_screen() {
            let frame = || pace.note(progress, Instant::now()).screen(Terminal::size().columns);
            draw_screen(terminal, frame).await;
        } else {
            write_lines(terminal, pace, progress).await;
        }
    };
    until_done(work, showing).await
}

async fn write_lines(terminal: &Terminal, mut pace: Pace, progress: &VerifyProgress) {
    let mut last = String::new();
    loop {
        sleep(LINE_EVERY).await;
        let now = pace.note(progress, Instant::now());
        // Without news, only the time would be other.
        if now.done != last {
            terminal.say(&now.line());
            last = now.done;
        }
    }
}

/// How fast the comparison is. Sums and rows in doubt are two stages, each with a pace of its own.
struct Pace {
    name: String,
    began: Instant,
    stage: u64,
    stage_began: Instant,
    /// The share that was done when the stage began, by an interrupted comparison.
    first: Option<f64>,
}

impl Pace {
    fn new(name: &str) -> Self {
        let now = Instant::now();
        Self { name: name.to_owned(), began: now, stage: 0, stage_began: now, first: None }
    }

    fn note(&mut self, progress: &VerifyProgress, now: Instant) -> Moment {
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let groups = number(&progress.groups_in_doubt);
        let share = progress.share();
        if self.stage != groups || self.first.is_some_and(|first| share < first) {
            (self.stage, self.stage_began, self.first) = (groups, now, None);
        }
        let (chunks_done, chunks) = (number(&progress.chunks_done), number(&progress.chunks));
        // Without either, the state of an interrupted comparison is not known yet.
        let (shares_done, shares) = (number(&progress.shares_done), number(&progress.shares));
        let is_known = chunks + shares > 0;
        let first = if is_known { *self.first.get_or_insert(share) } else { share };
        let taken = now.duration_since(self.stage_began);
        let left = (share > first && taken >= REMAINING_AFTER).then(|| {
            let seconds = taken.as_secs_f64() * (1.0 - share) / (share - first);
            Duration::try_from_secs_f64(seconds).ok()
        });
        let done = if shares > 0 {
            format!("{} of {} of the groups", count(shares_done), counted(shares, "share"))
        } else if chunks_done < chunks {
            format!("{} of {} of the source", count(chunks_done), counted(chunks, "chunk"))
        } else {
            let (done, parts) = (number(&progress.parts_done), number(&progress.parts));
            format!("{} of {} of the target", count(done), counted(parts, "range"))
        };
        // A pass begins anew on both sides.
        let done = match number(&progress.passes) {
            passes if groups > 0 && passes > 1 => {
                let pass = (number(&progress.passes_done) + 1).min(passes);
                format!("pass {} of {}, {done}", count(pass), count(passes))
            }
            _ => done,
        };
        Moment {
            name: self.name.clone(),
            doing: match groups {
                0 if shares > 0 => "comparing groups".to_owned(),
                0 => "comparing sums of rows".to_owned(),
                groups => format!("comparing the rows of {} in doubt", counted(groups, "group")),
            },
            elapsed: now.duration_since(self.began),
            share,
            done,
            left: left.flatten(),
        }
    }
}

/// What is shown at one moment.
struct Moment {
    name: String,
    doing: String,
    elapsed: Duration,
    share: f64,
    done: String,
    left: Option<Duration>,
}

impl Moment {
    /// The share in percent; below 100, since the comparison has not ended.
    fn percent(&self) -> f64 {
        (100.0 * self.share).min(99.9)
    }

    fn left(&self) -> Option<String> {
        self.left.map(|left| format!("{} left", duration(left)))
    }

    fn line(&self) -> String {
        let mut parts = vec![format!("{}: {:.1} %", self.doing, self.percent()), self.done.clone()];
        parts.extend(self.left());
        parts.join(", ")
    }

    fn screen(&self, columns: usize) -> (Vec<Line>, String) {
        // One less than the terminal has: some terminals wrap a full line.
        let columns = columns.saturating_sub(1).max(1);
        let percent = self.percent().floor();
        let left = self.left().unwrap_or_default();
        let lines = vec![
            plain(format!("{}: {}, {}", self.name, self.doing, duration(self.elapsed))),
            bar_before(&format!(" {percent:>3} %  {}", self.done), self.share, columns),
            plain(format!("  {left}")),
        ];
        let lines = lines.into_iter();
        let lines = lines.map(|line| Line { text: cut(&line.text, columns), ..line }).collect();
        (lines, cut(&format!("{percent} % {}", self.name), TITLE_COLUMNS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(moment: &Moment) -> String {
        let (lines, title) = moment.screen(80);
        let texts: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        format!("{}\n{title}\n{}", texts.join("\n"), moment.line())
    }

    #[test]
    fn percent_and_the_time_left_of_each_stage_are_shown() {
        let progress = VerifyProgress { chunks: 48.into(), ..VerifyProgress::default() };
        let mut pace = Pace::new("langfuse-events 202511");
        let began = pace.began;
        let mut after = |seconds: u64| pace.note(&progress, began + Duration::from_secs(seconds));
        assert_eq!(
            shown(&after(2)),
            "langfuse-events 202511: comparing sums of rows, 2.0 s\n\
             [                                         ]   0 %  0 of 48 chunks of the source\n\n\
             0 % langfuse-events 202511\n\
             comparing sums of rows: 0.0 %, 0 of 48 chunks of the source"
        );
        progress.chunks_done.store(12, Ordering::Relaxed);
        let line = after(60).line();
        assert_eq!(
            line,
            "comparing sums of rows: 16.7 %, 12 of 48 chunks of the source, 5 min 00 s left"
        );
        progress.chunks_done.store(48, Ordering::Relaxed);
        progress.parts.store(2, Ordering::Relaxed);
        progress.parts_done.store(2, Ordering::Relaxed);
        assert_eq!(
            after(300).line(),
            "comparing sums of rows: 99.9 %, 2 of 2 ranges of the target, 0.0 s left"
        );
        progress.groups_in_doubt.store(7, Ordering::Relaxed);
        progress.chunks_done.store(0, Ordering::Relaxed);
        progress.parts_done.store(0, Ordering::Relaxed);
        assert_eq!(
            after(301).line(),
            "comparing the rows of 7 groups in doubt: 0.0 %, 0 of 48 chunks of the source"
        );
        progress.chunks_done.store(24, Ordering::Relaxed);
        assert_eq!(
            after(331).line(),
            "comparing the rows of 7 groups in doubt: 33.3 %, 24 of 48 chunks of the source, 1 min 00 s left"
        );
        progress.passes.store(2, Ordering::Relaxed);
        progress.passes_done.store(1, Ordering::Relaxed);
        assert!(after(340).line().starts_with(
            "comparing the rows of 7 groups in doubt: 66.7 %, pass 2 of 2, 24 of 48 chunks"
        ));
    }

    #[test]
    fn what_an_interrupted_comparison_has_done_says_nothing_of_the_pace() {
        let progress = VerifyProgress {
            chunks: 4.into(),
            chunks_done: 3.into(),
            parts: 2.into(),
            ..VerifyProgress::default()
        };
        let mut pace = Pace::new("a");
        let began = pace.began;
        assert_eq!(pace.note(&progress, began).left, None);
        assert_eq!(pace.note(&progress, began + Duration::from_secs(60)).left, None);
        progress.chunks_done.store(4, Ordering::Relaxed);
        let left = pace.note(&progress, began + Duration::from_secs(60)).left.unwrap();
        assert_eq!(left.as_secs(), 120);
    }
}
