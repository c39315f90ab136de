//! The lines at the bottom of the terminal, as control sequences: drawn again in place, moved down
//! by log lines, taken away at the end.
//!
//! The cursor rests at the beginning of the block's first row. A terminal that is made narrower
//! wraps the rows that do not fit any more, as tmux and most others do, some time before the
//! program learns of it; it keeps the cursor where it is in the text, so that the block's top is
//! known whatever became of its rows. While the block is drawn, nothing is wrapped at all: each
//! line takes one row, also in a terminal that is narrower than it was said to be. Rows are
//! overwritten and only their rest is erased, and everything goes out in one piece, marked as one
//! update, so that nothing flickers. See [control
//! sequences](https://invisible-island.net/xterm/ctlseqs/ctlseqs.html) and [synchronized
//! output](https://gist.github.com/christianparpart/d8a62cc1ab659194337d73e399004036).

use std::fmt::Write;

use super::line::Line;

/// An update begins, and the cursor stays in the last column.
const BEGIN: &str = "\u{1b}[?2026h\u{1b}[?7l\r";
/// It wraps again, and the update ends.
const END: &str = "\u{1b}[?7h\u{1b}[?2026l";
const ERASE_REST_OF_LINE: &str = "\u{1b}[K";
const ERASE_BELOW: &str = "\u{1b}[J";

/// What of the block is on the terminal.
#[derive(Debug, Default)]
pub(super) struct Block {
    drawn: Vec<Line>,
}

impl Block {
    /// Whether exactly these lines are there.
    pub fn shows(&self, lines: &[Line]) -> bool {
        self.drawn == lines
    }

    /// Draws these lines in place of those that are there.
    pub fn draw(&mut self, lines: &[Line], color: bool) -> String {
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

    /// Takes the lines away; empty where there are none.
    pub fn erase(&mut self) -> String {
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
    use crate::progress::line::Emphasis;

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
}
