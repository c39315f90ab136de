//! Showing a run in progress: as a screen on a terminal, as lines elsewhere, as events for programs.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::bottleneck::Stage;
use super::figures::{FigureSampler, Figures, Shown};
use super::screen::{plain, screen, title};
use super::terminal::{Emphasis, Line, Terminal, cut};
use super::words::{server, waiting};
use crate::engine::stream::Phase;
use crate::retry::RetryStatus;
use crate::units::{byte_rate, bytes, count, counted, duration, row_rate};

/// How often the screen is drawn.
const SCREEN_EVERY: Duration = Duration::from_millis(125);
/// How often figures are sampled without a screen: often enough to find the bottleneck.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// How often a line is written without a screen.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs `work` and shows its progress: on a screen if stderr is a terminal, else as a line every
/// `LINE_EVERY`.
pub(crate) async fn show<T>(terminal: &Terminal, shown: Shown, work: impl Future<Output = T>) -> T {
    if !terminal.shows_progress() {
        return work.await;
    }
    let mut sampler = FigureSampler::new(shown);
    let showing = async {
        if terminal.has_screen() {
            let frame = || {
                let figures = sampler.sample();
                (screen(&figures, Terminal::size()), title(&figures))
            };
            draw_screen(terminal, frame).await;
        } else {
            write_lines(terminal, sampler).await;
        }
    };
    until_done(work, showing).await
}

/// Runs `work`, and `showing` until it ends.
pub(super) async fn until_done<T>(
    work: impl Future<Output = T>,
    showing: impl Future<Output = ()>,
) -> T {
    tokio::select! {
        biased;
        result = work => result,
        () = showing => unreachable!("progress is shown until `work` ends"),
    }
}

/// Draws the lines and the title that `frame` gives, again and again.
pub(super) async fn draw_screen(
    terminal: &Terminal,
    mut frame: impl FnMut() -> (Vec<Line>, String),
) {
    /// Also when the future is dropped.
    struct Clear<'a>(&'a Terminal);
    impl Drop for Clear<'_> {
        fn drop(&mut self) {
            self.0.clear();
        }
    }
    let _clear = Clear(terminal);
    let mut ticks = interval(SCREEN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // Without the signal, the next tick uses the new size.
    let mut resized = signal(SignalKind::window_change()).ok();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(()) = async { resized.as_mut()?.recv().await } => {}
        }
        let (lines, title) = frame();
        terminal.draw(lines, title);
    }
}

async fn write_lines(terminal: &Terminal, mut sampler: FigureSampler) {
    let mut ticks = interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut written = Instant::now();
    let mut stall = Stall::default();
    loop {
        ticks.tick().await;
        let figures = sampler.sample();
        if written.elapsed() >= LINE_EVERY {
            written = Instant::now();
            let is_new = stall.note(&figures);
            if terminal.is_json() {
                log_event(&figures);
            } else if let Some(line) = line(&figures).filter(|_| is_new) {
                terminal.say(&line);
            }
        }
    }
}

/// What the last line said of a run that moves nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stall {
    moved: [u64; 3],
    /// The reasons without their figures, which change while the reason stays.
    reasons: Vec<String>,
}

impl Stall {
    /// Whether there is something new to say: a run that still waits for the same has said so.
    pub(super) fn note(&mut self, figures: &Figures) -> bool {
        let numbers = &figures.numbers;
        let words = |reason: &String| reason.replace(|c: char| c.is_ascii_digit(), "");
        let now = Self {
            moved: [numbers.lookup_bytes, numbers.source_bytes, numbers.inserted_bytes],
            reasons: figures.waiting.iter().map(words).collect(),
        };
        let is_new = now.reasons.is_empty() || now != *self;
        *self = now;
        is_new
    }
}

/// Runs `work` before the first row. While a server cannot be reached, a screen shows for how long it
/// is still waited for.
pub(crate) async fn show_startup<T>(
    terminal: &Terminal,
    name: &str,
    status: &RetryStatus,
    work: impl Future<Output = T>,
) -> T {
    if !terminal.has_screen() {
        return work.await;
    }
    let showing = async {
        while status.outages().is_empty() {
            tokio::time::sleep(SCREEN_EVERY).await;
        }
        let frame = || (startup_lines(name, status, Terminal::size().columns), name.to_owned());
        draw_screen(terminal, frame).await;
    };
    until_done(work, showing).await
}

/// The servers that are waited for, each with what is left of its time.
pub(super) fn startup_lines(name: &str, status: &RetryStatus, columns: usize) -> Vec<Line> {
    let columns = columns.saturating_sub(1).max(1);
    let mut lines = vec![plain(format!("{name}: connecting"))];
    for outage in status.outages() {
        let left = outage.longest.saturating_sub(outage.since.elapsed());
        let text = format!("  waiting: {} more for {}", duration(left), outage.url);
        lines.push(Line { text, emphasis: Emphasis::Warning });
    }
    if let Some(retry) = status.last_retry() {
        lines.push(plain(format!("  because   {}", retry.reason)));
    }
    lines.into_iter().map(|line| Line { text: cut(&line.text, columns), ..line }).collect()
}

/// The progress line for people; `None` while there is nothing to report.
pub(super) fn line(figures: &Figures) -> Option<String> {
    let (numbers, rates) = (&figures.numbers, &figures.rates);
    let mut parts = match figures.phase {
        Phase::Plan | Phase::Done => return None,
        Phase::Lookup => {
            let mut parts =
                vec![format!("loading attributes: {}", counted(numbers.lookup_rows, "row"))];
            parts.extend(rates.lookup_rows.map(row_rate));
            parts.push(bytes(numbers.lookup_bytes));
            parts.push(format!("{} in the map", bytes(numbers.lookup_memory_bytes)));
            parts
        }
        Phase::Stream => {
            let done = if figures.dry_run { "evaluated" } else { "inserted" };
            let share = match (figures.numbers.rows_expected(), figures.percent()) {
                (Some(expected), Some(percent)) => {
                    format!(" of {} ({percent:.1} %)", count(expected))
                }
                _ => String::new(),
            };
            let mut parts =
                vec![format!("{done} {}{share}", counted(numbers.inserted_rows, "row"))];
            parts.extend(rates.inserted_rows.map(row_rate));
            parts.extend(rates.inserted_bytes.map(byte_rate));
            let left = figures.left.filter(|_| figures.stopping.is_none());
            parts.extend(left.map(|left| format!("{} left", duration(left))));
            parts.push(format!(
                "{} of {}",
                count(numbers.chunks_done),
                counted(numbers.chunks, "chunk")
            ));
            let open = figures.rows_in_unfinished_chunks();
            if open > 0 {
                parts.push(format!("{} in unfinished chunks", counted(open, "row")));
            }
            parts.push(format!("{} in flight", counted(numbers.inserts_in_flight, "insert")));
            parts.extend(figures.oldest_insert.map(|age| format!("the oldest {}", duration(age))));
            parts
        }
    };
    parts.push(counted(numbers.retries, "retry"));
    parts.extend(figures.memory.map(|memory| format!("{} memory", bytes(memory))));
    parts.extend(figures.bottleneck.map(|stage| format!("{} is the bottleneck", stage.name())));
    if figures.server.parts.is_some() || figures.server.memory_used.is_some() {
        parts.push(format!("server: {}", server(&figures.server)));
    }
    parts.extend(waiting(figures));
    let last_retry = figures.last_retry.as_ref();
    parts.extend(last_retry.map(|(ago, reason)| {
        format!("last retry {} ago: {}", duration(*ago), reason.replace('\n', " "))
    }));
    Some(parts.join(", "))
}

/// The progress event for programs. Field names are a contract, like those of the summary. Unknown
/// fields are left out.
fn log_event(figures: &Figures) {
    let (numbers, rates) = (&figures.numbers, &figures.rates);
    tracing::info!(
        phase = figures.phase.name(),
        lookup_rows = numbers.lookup_rows,
        source_rows = numbers.source_rows,
        inserted_rows = numbers.inserted_rows,
        rows_done = numbers.rows_done,
        oldest_insert_seconds = figures.oldest_insert.map(|age| age.as_secs_f64()),
        expected_rows = figures.numbers.rows_expected(),
        percent = figures.percent(),
        seconds = figures.elapsed.as_secs_f64(),
        seconds_left = figures.left.map(|left| left.as_secs_f64()),
        lookup_rows_per_second = rates.lookup_rows,
        source_rows_per_second = rates.read_rows,
        source_bytes_per_second = rates.read_bytes,
        inserted_rows_per_second = rates.inserted_rows,
        inserted_bytes_per_second = rates.inserted_bytes,
        waves = numbers.waves,
        chunks = numbers.chunks,
        chunks_done = numbers.chunks_done,
        chunks_failed = numbers.chunks_failed,
        inserts_in_flight = numbers.inserts_in_flight,
        retries = numbers.retries,
        last_retry = figures.last_retry.as_ref().map(|(_, reason)| reason),
        memory_bytes = figures.memory,
        memory_limit_bytes = figures.memory_limit,
        queued_bytes = numbers.queued_bytes,
        bottleneck = figures.bottleneck.map(Stage::name),
        parts = figures.server.parts.as_ref().map(|parts| parts.parts),
        merges = figures.server.merges,
        server_memory_used_bytes = figures.server.memory_used,
        server_memory_total_bytes = figures.server.memory_total,
        replica_delay_seconds = figures.server.replica_delay_seconds,
        waiting = (!figures.waiting.is_empty()).then(|| figures.waiting.join("; ")),
        "progress"
    );
}
