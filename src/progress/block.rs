//! Lines that stay at the bottom of the terminal and are redrawn in place.
//!
//! The cursor rests at the start of the block's first row. A terminal that becomes narrower wraps
//! rows that no longer fit, as tmux and most others do, before the program learns the new size; it
//! keeps the cursor at its place in the text, so the block's top stays known. Wrapping is off while
//! the block is drawn: each line takes one row even in a terminal narrower than reported. Rows are
//! overwritten and only their remainder is erased, and everything is sent in one write, marked as
//! one update, so nothing flickers. See [control
//! sequences](https://invisible-island.net/xterm/ctlseqs/ctlseqs.html) and [synchronized
//! output](https://gist.github.com/christianparpart/d8a62cc1ab659194337d73e399004036).

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape::is_unsafe;

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
    pub(super) fn painted(&self, color: bool) -> String {
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

/// The lines that are on the terminal now.
#[derive(Debug, Default)]
pub(super) struct Block {
    drawn: Vec<Line>,
}

impl Block {
    /// Whether exactly these lines are drawn.
    pub(super) fn shows(&self, lines: &[Line]) -> bool {
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
    pub(super) fn erase(&mut self) -> String {
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
