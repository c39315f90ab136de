//! Stderr: log lines scroll above a block of lines that is redrawn at the bottom; the window's title
//! shows the share that is done.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::block::{Block, Line};
use crate::escape::{escape, escape_except_colors};
use crate::sync::{Mutex, MutexGuard};

/// The shortest time between two redraws that log lines cause; more log lines within it leave the
/// block out until the next tick.
const REDRAW_EVERY: Duration = Duration::from_millis(50);

/// Saves the title that the terminal has.
const SAVE_TITLE: &str = "\u{1b}[22;0t";
/// Clears the title, and restores the saved one where the terminal supports it.
const RESTORE_TITLE: &str = "\u{1b}]0;\u{7}\u{1b}[23;0t";

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TerminalOptions {
    /// Print errors only.
    pub quiet: bool,
    /// Show neither the screen nor progress lines.
    pub no_progress: bool,
    /// Write every message as a JSON log event, so that programs can read stderr line by line.
    pub json: bool,
}

/// Stderr, with or without a screen at its bottom. Clones share one screen.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    screen: Arc<Mutex<Screen>>,
    interactive: bool,
    color: bool,
    has_title: bool,
    options: TerminalOptions,
}

/// What is drawn at the bottom.
#[derive(Debug, Default)]
struct Screen {
    block: Block,
    lines: Vec<Line>,
    title: Option<String>,
    drawn_at: Option<Instant>,
    /// Something else is writing to the terminal.
    suspended: bool,
}

impl Terminal {
    /// Reads stderr and the environment: a screen needs a terminal, colors need
    /// [`NO_COLOR`](https://no-color.org) to be unset.
    pub(crate) fn new(options: TerminalOptions) -> Self {
        let term = std::env::var("TERM").ok();
        let interactive = io::stderr().is_terminal() && term.as_deref() != Some("dumb");
        let color =
            interactive && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let has_title = interactive && supports_title(term.as_deref());
        Self { screen: Arc::default(), interactive, color, has_title, options }
    }

    /// Whether there is a screen.
    pub(crate) fn has_screen(&self) -> bool {
        self.interactive && !self.options.json && self.shows_progress()
    }

    /// Whether progress is shown at all.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.options.quiet && !self.options.no_progress
    }

    /// Whether colors are on.
    pub(crate) fn has_color(&self) -> bool {
        self.color
    }

    /// The width for text: that of the terminal; unlimited if stderr is not one.
    pub(crate) fn width(&self) -> usize {
        if self.interactive { Self::size().columns } else { usize::MAX }
    }

    /// The current size.
    pub(super) fn size() -> Size {
        let size = terminal_size::terminal_size_of(io::stderr());
        size.map_or(Size { columns: 80, rows: 24 }, |(columns, rows)| Size {
            columns: columns.0.into(),
            rows: rows.0.into(),
        })
    }

    /// Shows these lines at the bottom, and the title.
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
                text.push_str(SAVE_TITLE);
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "\u{1b}]0;{title}\u{7}");
            screen.title = Some(title);
        }
        emit(text.as_bytes());
    }

    /// Removes the lines and the title.
    pub(super) fn clear(&self) {
        let mut screen = self.screen();
        let mut text = screen.block.erase();
        if screen.title.is_some() {
            text.push_str(RESTORE_TITLE);
        }
        *screen = Screen::default();
        emit(text.as_bytes());
    }

    /// Removes the screen while `write` writes to the terminal.
    pub(crate) fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
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

    /// Writes a message, unless `quiet` is set. Control characters are escaped.
    pub(crate) fn say(&self, text: &str) {
        if self.options.json {
            tracing::info!("{}", text.trim_end());
        } else if !self.options.quiet {
            self.write(&escape(text));
        }
    }

    /// Writes a message even if `quiet` is set. Control characters are escaped.
    pub(crate) fn insist(&self, text: &str) {
        if self.options.json {
            tracing::warn!("{}", text.trim_end());
        } else {
            self.write(&escape(text));
        }
    }

    /// Whether every message is a JSON event.
    pub(crate) fn is_json(&self) -> bool {
        self.options.json
    }

    /// Writes lines above the screen, together with it in one write.
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

    /// The text with the screen's lines below it.
    fn with_block(&self, screen: &mut Screen, mut text: String) -> String {
        if !screen.lines.is_empty() {
            let Screen { block, lines, .. } = screen;
            text.push_str(&block.draw(lines, self.color));
            screen.drawn_at = Some(Instant::now());
        }
        text
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock()
    }
}

/// Whether this kind of terminal has a title; others would print the sequence.
fn supports_title(term: Option<&str>) -> bool {
    !matches!(term, None | Some("" | "dumb" | "linux" | "vt100" | "vt220" | "cons25"))
}

/// Writes to stderr in one call: it has no buffer.
fn emit(bytes: &[u8]) {
    if !bytes.is_empty() {
        // If stderr is closed, the error cannot be reported.
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
    }
}

/// Collects one log event and writes it in one call.
pub(crate) struct EventWriter {
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
            let text = String::from_utf8_lossy(&self.text);
            let escaped =
                if self.terminal.color { escape_except_colors(&text) } else { escape(&text) };
            self.terminal.write(&escaped);
        }
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter { terminal: self.clone(), text: Vec::new() }
    }
}
