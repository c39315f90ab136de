//! Stderr: log lines scroll above a block of lines that is redrawn at the bottom; the window's title
//! shows the share that is done.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape::{escape, escape_except_colors, is_unsafe};
use crate::stop::Stop;
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
            self.write(&self.fitted(&escape(text)));
        }
    }

    /// The text in lines that the terminal need not cut.
    fn fitted(&self, text: &str) -> String {
        if self.interactive { wrapped(text, Self::size().columns) } else { text.to_owned() }
    }

    /// Writes a message even if `quiet` is set. Control characters are escaped.
    pub(crate) fn insist(&self, text: &str) {
        if self.options.json {
            tracing::warn!("{}", text.trim_end());
        } else {
            self.write(&self.fitted(&escape(text)));
        }
    }

    /// Asks a question at the terminal. Returns whether the answer is `y` or `yes`; `true` without a
    /// question if stdin or stderr is not a terminal.
    pub(crate) async fn confirm(&self, question: &str, stop: &Stop) -> bool {
        if !self.can_ask() {
            return true;
        }
        emit(format!("{} [y/N] ", escape(question)).as_bytes());
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line).unwrap_or_default()
        });
        let answer = tokio::select! {
            answer = answer => answer.unwrap_or_default(),
            () = stop.reading_ends() => {
                emit(b"\n");
                String::new()
            }
        };
        matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// Whether questions can be asked: stdin and stderr are a terminal.
    pub(crate) fn can_ask(&self) -> bool {
        self.interactive && !self.options.json && io::stdin().is_terminal()
    }

    /// Asks for a line at the terminal, and waits for it; `None` at the end of the input, or where nothing
    /// can be asked.
    pub(crate) fn ask(&self, question: &str) -> Option<String> {
        if !self.can_ask() {
            return None;
        }
        emit(escape(question).as_bytes());
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim().to_owned())
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

/// Begins an update and turns wrapping off.
const BEGIN: &str = "\u{1b}[?2026h\u{1b}[?7l\r";
/// Turns wrapping on and ends the update.
const END: &str = "\u{1b}[?7h\u{1b}[?2026l";
const ERASE_REST_OF_LINE: &str = "\u{1b}[K";
const ERASE_BELOW: &str = "\u{1b}[J";

/// How a line stands out where colors are on. The text never depends on the color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emphasis {
    None,
    Strong,
    Warning,
}

/// One line of the block, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub text: String,
    pub emphasis: Emphasis,
}

impl Line {
    /// The text with the color sequences of its emphasis.
    fn painted(&self, color: bool) -> String {
        let code = match self.emphasis {
            Emphasis::Strong if color => "1",
            Emphasis::Warning if color => "33",
            _ => return self.text.clone(),
        };
        format!("\u{1b}[{code}m{}\u{1b}[0m", self.text)
    }
}

/// Shortens a text to a number of columns, at a blank if there is one near the end. Control
/// characters become blanks: the text may contain words of a server or a proxy.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let clean = |c: char| if is_unsafe(c) { ' ' } else { c };
    let text: String = text.trim_end().chars().map(clean).collect();
    if text.width() <= columns {
        return text;
    }
    let (mut end, mut width) = (0, 0);
    for (at, c) in text.char_indices() {
        width += c.width().unwrap_or_default();
        // The last column is for the ellipsis.
        if width >= columns {
            break;
        }
        end = at + c.len_utf8();
    }
    let (short, rest) = text.split_at(end);
    match short.rsplit_once(' ') {
        Some((words, _)) if !rest.starts_with(' ') && words.len() * 4 >= end * 3 => {
            format!("{} …", words.trim_end())
        }
        _ => format!("{short}…"),
    }
}

/// Wraps lines at blanks; what follows stands below the text behind the name that begins a line. Lines with a
/// command are left to the terminal, which lets people copy them in one piece.
fn wrapped(text: &str, columns: usize) -> String {
    let mut whole = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let has_command =
            line.contains('`') || ["next: ", "undo: "].iter().any(|head| line.starts_with(head));
        if line.trim_end().width() <= columns || has_command {
            whole.push_str(line);
            continue;
        }
        let indentation = indentation(line);
        let mut width = 0;
        for word in words_with_units(line) {
            if width > indentation && width + word.trim_end().width() > columns {
                whole.truncate(whole.trim_end_matches(' ').len());
                whole.push('\n');
                whole.extend(std::iter::repeat_n(' ', indentation));
                width = indentation;
            }
            whole.push_str(word);
            width += word.width();
        }
    }
    whole
}

/// The words of a line with the blanks behind them; a number and its unit are one.
fn words_with_units(line: &str) -> impl Iterator<Item = &str> {
    const UNITS: [&str; 8] = ["s", "min", "h", "B", "KiB", "MiB", "GiB", "TiB"];
    let mut rest = line;
    std::iter::from_fn(move || {
        let end_of_word = |text: &str| text.find(' ').map_or(text.len(), |blank| blank + 1);
        let mut end = end_of_word(rest);
        let (word, behind) = rest.split_at(end);
        let next = behind.split([' ', '\n']).next().unwrap_or_default();
        let is_number = word.trim_end().ends_with(|c: char| c.is_ascii_digit());
        if is_number && UNITS.contains(&next.trim_end_matches([',', ')', ';'])) {
            end += end_of_word(behind);
        }
        let (word, behind) = rest.split_at(end);
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}

/// Where the text of a line begins, behind `hint: ` or the name of a block's line.
fn indentation(line: &str) -> usize {
    const HEADS: [&str; 4] = ["error: ", "hint: ", "note: ", "  because: "];
    if let Some(head) = HEADS.iter().find(|head| line.starts_with(**head)) {
        return head.len();
    }
    let text = line.trim_start();
    let outer = line.len() - text.len();
    let behind = text.split_once("  ").filter(|_| outer > 0);
    behind.map_or(2, |(name, rest)| {
        let blanks = 2 + rest.len() - rest.trim_start().len();
        outer + name.width() + blanks
    })
}

/// The lines that stay at the bottom of the terminal and are redrawn in place.
///
/// The cursor rests at the start of the block's first row. A terminal that becomes narrower wraps
/// rows that no longer fit, as tmux and most others do, before the program learns the new size; it
/// keeps the cursor at its place in the text, so the block's top stays known. Wrapping is off while
/// the block is drawn: each line takes one row even in a terminal narrower than reported. Rows are
/// overwritten and only their remainder is erased, and everything is sent in one write, marked as
/// one update, so nothing flickers. See [control
/// sequences](https://invisible-island.net/xterm/ctlseqs/ctlseqs.html) and [synchronized
/// output](https://gist.github.com/christianparpart/d8a62cc1ab659194337d73e399004036).
#[derive(Debug, Default)]
struct Block {
    drawn: Vec<Line>,
}

impl Block {
    /// Whether exactly these lines are drawn.
    fn shows(&self, lines: &[Line]) -> bool {
        self.drawn == lines
    }

    /// The sequences that replace the drawn lines by these.
    pub(super) fn draw(&mut self, lines: &[Line], color: bool) -> String {
        let mut text = BEGIN.to_owned();
        for (position, line) in lines.iter().enumerate() {
            let next = if position == 0 { "" } else { "\r\n" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{next}{}{ERASE_REST_OF_LINE}", line.painted(color));
        }
        text.push_str(ERASE_BELOW);
        text.push('\r');
        if lines.len() > 1 {
            let _ = write!(text, "\u{1b}[{}A", lines.len() - 1);
        }
        text.push_str(END);
        self.drawn = lines.to_vec();
        text
    }

    /// The sequences that remove the block; empty if nothing is drawn.
    fn erase(&mut self) -> String {
        if self.drawn.is_empty() {
            return String::new();
        }
        self.drawn.clear();
        format!("\r{ERASE_BELOW}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_at_blanks_below_their_text() {
        let text = "done: short\n\
                    hint: inserted rows stay, and others collapse\n  \
                    time      36.1 s (plan 17.7 s, streaming 18.0 s)\n\
                    comparing the rows of one table with others\n\
                    next: clickhouse-backfill run --job job.toml --yes\n\
                    hint: `clickhouse-backfill repair --job job.toml` fills them again\n\
                    a_word_that_is_longer_than_the_terminal_is_wide x\n";
        let expected = "done: short\n\
                        hint: inserted rows stay, and\n      others collapse\n  \
                        time      36.1 s (plan\n            17.7 s, streaming\n            18.0 s)\n\
                        comparing the rows of one\n  table with others\n\
                        next: clickhouse-backfill run --job job.toml --yes\n\
                        hint: `clickhouse-backfill repair --job job.toml` fills them again\n\
                        a_word_that_is_longer_than_the_terminal_is_wide\n  x\n";
        assert_eq!(wrapped(text, 30), expected);
        assert_eq!(wrapped(text, 100), text);
    }

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts
            .iter()
            .map(|text| Line { text: (*text).to_owned(), emphasis: Emphasis::None })
            .collect()
    }

    #[test]
    fn a_block_is_drawn_over_itself() {
        let mut block = Block::default();
        assert_eq!(block.erase(), "");
        let drawn = format!("{BEGIN}ab\u{1b}[K\r\nc\u{1b}[K\u{1b}[J\r\u{1b}[1A{END}");
        assert_eq!(block.draw(&lines(&["ab", "c"]), false), drawn);
        assert!(block.shows(&lines(&["ab", "c"])) && !block.shows(&lines(&["ab"])));
        assert_eq!(block.draw(&lines(&["a"]), false), format!("{BEGIN}a\u{1b}[K\u{1b}[J\r{END}"));
        assert_eq!(block.erase(), "\r\u{1b}[J");
        assert_eq!(block.erase(), "");
    }

    #[test]
    fn lines_fit_and_control_nothing() {
        assert_eq!(
            [cut("abc", 3), cut("abcd", 3), cut("日本語", 5), cut("", 1)],
            ["abc", "ab…", "日本…", ""]
        );
        assert_eq!(
            [
                cut("one two three four", 16),
                cut("one two three four", 14),
                cut("one twothreefour", 9)
            ],
            ["one two three …", "one two three…", "one twot…"]
        );
        assert_eq!(cut("a\u{1b}[2Jb\nc", 80), "a [2Jb c");
        let line = Line { text: "x".to_owned(), emphasis: Emphasis::Warning };
        assert_eq!(
            (line.painted(false), line.painted(true)),
            ("x".to_owned(), "\u{1b}[33mx\u{1b}[0m".to_owned())
        );
    }
}
