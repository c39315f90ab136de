//! A line of the screen: text without control characters, not wider than the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a line stands out, where colors are wanted. What it says is never in the color alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emphasis {
    None,
    Strong,
    Warning,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub text: String,
    pub emphasis: Emphasis,
}

impl Line {
    /// With the sequences for its emphasis.
    pub fn painted(&self, color: bool) -> String {
        let code = match self.emphasis {
            Emphasis::Strong if color => "1",
            Emphasis::Warning if color => "33",
            _ => return self.text.clone(),
        };
        format!("\u{1b}[{code}m{}\u{1b}[0m", self.text)
    }
}

/// The beginning of a text that fits so many columns. Control characters, which could take the
/// terminal over, become blanks: words of a server or a proxy are among what is shown.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim_end().chars().map(clean).collect();
    if text.width() <= columns {
        return text;
    }
    let (mut short, mut width) = (String::new(), 0);
    for c in text.chars() {
        width += c.width().unwrap_or_default();
        // The last column is for the mark.
        if width >= columns {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_control_nothing() {
        assert_eq!(
            [cut("abc", 3), cut("abcd", 3), cut("日本語", 5), cut("", 1)],
            ["abc", "ab…", "日本…", ""]
        );
        assert_eq!(cut("a\u{1b}[2Jb\nc", 80), "a [2Jb c");
        let line = Line { text: "x".to_owned(), emphasis: Emphasis::Warning };
        assert_eq!(
            (line.painted(false), line.painted(true)),
            ("x".to_owned(), "\u{1b}[33mx\u{1b}[0m".to_owned())
        );
    }
}
