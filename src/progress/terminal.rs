//! The one way to stderr: log lines above, the screen's lines below, the title around.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::block::Block;
use super::line::Line;
use super::screen::Size;
use super::title;

/// Between two drawings on behalf of log lines: more of them leave the screen's lines away until
/// the next tick.
const REDRAW_EVERY: Duration = Duration::from_millis(50);

/// What the person asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminalOptions {
    /// Only errors.
    pub quiet: bool,
    /// No screen and no lines of progress.
    pub no_progress: bool,
    /// Log lines are JSON: everything that is said becomes an event, so that stderr can be read
    /// line by line.
    pub json: bool,
}

/// Stderr, with or without a screen at its bottom. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Terminal {
    screen: Arc<Mutex<Screen>>,
    interactive: bool,
    color: bool,
    has_title: bool,
    options: TerminalOptions,
}

/// What is shown at the bottom.
#[derive(Debug, Default)]
struct Screen {
    block: Block,
    lines: Vec<Line>,
    title: Option<String>,
    drawn_at: Option<Instant>,
    /// Something else writes to the terminal.
    suspended: bool,
}

impl Terminal {
    /// Looks at stderr and the environment: a screen only on a terminal, colors only where
    /// [`NO_COLOR`](https://no-color.org) is not set.
    pub fn new(options: TerminalOptions) -> Self {
        let term = std::env::var("TERM").ok();
        let interactive = io::stderr().is_terminal() && term.as_deref() != Some("dumb");
        let color =
            interactive && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let has_title = interactive && title::has_title(term.as_deref());
        Self { screen: Arc::default(), interactive, color, has_title, options }
    }

    /// Whether there is a screen.
    pub fn has_screen(&self) -> bool {
        self.interactive && !self.options.json && self.shows_progress()
    }

    /// Whether progress is shown at all.
    pub fn shows_progress(&self) -> bool {
        !self.options.quiet && !self.options.no_progress
    }

    /// Whether to use colors.
    pub fn has_color(&self) -> bool {
        self.color
    }

    /// Its size now.
    pub(super) fn size() -> Size {
        let size = terminal_size::terminal_size_of(io::stderr());
        size.map_or(Size { columns: 80, rows: 24 }, |(columns, rows)| Size {
            columns: columns.0.into(),
            rows: rows.0.into(),
        })
    }

    /// Shows these lines at the bottom, and this title.
    pub(super) fn draw(&self, lines: Vec<Line>, title: String) {
        let mut screen = self.screen();
        let mut text = String::new();
        if !screen.suspended && !screen.block.shows(&lines) {
            text = screen.block.draw(&lines, self.color);
            screen.drawn_at = Some(Instant::now());
        }
        screen.lines = lines;
        if self.has_title && screen.title.as_ref() != Some(&title) {
            if screen.title.is_none() {
                text.push_str(title::KEEP);
            }
            text.push_str(&title::set(&title));
            screen.title = Some(title);
        }
        emit(text.as_bytes());
    }

    /// Takes the lines and the title away.
    pub(super) fn clear(&self) {
        let mut screen = self.screen();
        let mut text = screen.block.erase();
        if screen.title.is_some() {
            text.push_str(title::RESTORE);
        }
        *screen = Screen::default();
        emit(text.as_bytes());
    }

    /// Takes the screen's lines away while something else is written to the terminal.
    pub fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        {
            let mut screen = self.screen();
            screen.suspended = true;
            emit(screen.block.erase().as_bytes());
        }
        let written = write();
        let mut screen = self.screen();
        screen.suspended = false;
        emit(self.with_block(&mut screen, String::new()).as_bytes());
        written
    }

    /// Writes text for the person, unless quiet was asked for.
    pub fn say(&self, text: &str) {
        if self.options.json {
            tracing::info!("{}", text.trim_end());
        } else if !self.options.quiet {
            self.write(text);
        }
    }

    /// Writes text in any case.
    pub fn insist(&self, text: &str) {
        if self.options.json {
            tracing::warn!("{}", text.trim_end());
        } else {
            self.write(text);
        }
    }

    /// Whether everything is said as JSON.
    pub fn is_json(&self) -> bool {
        self.options.json
    }

    /// Writes lines above the screen, in one piece with it.
    fn write(&self, lines: &str) {
        let mut screen = self.screen();
        let mut text = screen.block.erase();
        text.push_str(lines);
        if !lines.ends_with('\n') {
            text.push('\n');
        }
        let redraws =
            !screen.suspended && screen.drawn_at.is_none_or(|at| at.elapsed() >= REDRAW_EVERY);
        let text = if redraws { self.with_block(&mut screen, text) } else { text };
        emit(text.as_bytes());
    }

    /// The text, and the screen's lines below it.
    fn with_block(&self, screen: &mut Screen, mut text: String) -> String {
        if !screen.lines.is_empty() {
            let Screen { block, lines, .. } = screen;
            text.push_str(&block.draw(lines, self.color));
            screen.drawn_at = Some(Instant::now());
        }
        text
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In one piece: stderr has no buffer.
fn emit(bytes: &[u8]) {
    if !bytes.is_empty() {
        // Where stderr is gone, there is nobody left to tell.
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
    }
}

/// Collects one event and writes it whole.
pub struct EventWriter {
    terminal: Terminal,
    text: Vec<u8>,
}

impl Write for EventWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.terminal.write(&String::from_utf8_lossy(&self.text));
        }
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter { terminal: self.clone(), text: Vec::new() }
    }
}
