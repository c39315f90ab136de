//! Escaping text that comes from outside, such as a server's messages, before a terminal gets it.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal could act on this character, or show the text around it in another order.
pub(crate) fn is_unsafe(c: char) -> bool {
    // The ranges are marks, embeddings, overrides and isolates of bidirectional text.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes unsafe characters as `\u001b`. Line breaks and tabs stay.
///
/// The escapes are those of JSON, so an escaped JSON document stays the same document.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    escape_with(text, |rest| usize::from(rest.starts_with("\r\n")))
}

/// Escapes like [`escape`], but keeps sequences that set colors, such as `ESC [ 1 ; 33 m`.
pub(crate) fn escape_except_colors(text: &str) -> Cow<'_, str> {
    escape_with(text, |rest| {
        let is_parameter = |c: char| c.is_ascii_digit() || c == ';';
        let end = rest
            .strip_prefix("\u{1b}[")
            .and_then(|text| text.trim_start_matches(is_parameter).strip_prefix('m'));
        end.map_or(0, |end| rest.len() - end.len())
    })
}

/// Escapes a value in one line: line breaks as `\\n`, tabs as `\\t`.
pub(crate) fn escape_value(value: &str) -> String {
    escape(&value.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r")).into_owned()
}

/// Escapes one line: line breaks and tabs become blanks.
pub(crate) fn escape_line(text: &str) -> String {
    escape(&text.trim_end().replace("\r\n", " ").replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// Escapes unsafe characters; `kept` gives how many bytes at the start of the rest are kept.
fn escape_with(text: &str, kept: impl Fn(&str) -> usize) -> Cow<'_, str> {
    let is_escaped = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t');
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let (mut escaped, mut rest) = (String::with_capacity(text.len() + 16), text);
    while let Some(c) = rest.chars().next() {
        let keeps = kept(rest);
        let (head, tail) = rest.split_at(keeps.max(c.len_utf8()));
        if keeps > 0 || !is_escaped(c) {
            escaped.push_str(head);
        } else {
            // Writing to a string cannot fail. All unsafe characters fit in four digits.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        }
        rest = tail;
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        for (text, expected) in [
            ("plain, ä, 日本語\n\tnext", "plain, ä, 日本語\n\tnext"),
            ("\u{1b}]0;owned\u{7}", "\\u001b]0;owned\\u0007"),
            ("\u{9b}2J\u{7f}\r", "\\u009b2J\\u007f\\u000d"),
            ("one\r\ntwo", "one\r\ntwo"),
            ("a\u{202e}b\u{2066}", "a\\u202eb\\u2066"),
        ] {
            assert_eq!(escape(text), expected, "{text:?}");
        }
        assert_eq!(escape_value("a\r\n\tb\u{9b}"), "a\\r\\n\\tb\\u009b");
        assert_eq!(escape_line("one\r\ntwo\n\u{1b}[2J\n"), "one two \\u001b[2J");
    }

    #[test]
    fn colors_can_be_kept() {
        let text = "\u{1b}[1;33mWARN\u{1b}[0m \u{1b}[2J\u{1b}[31";
        assert_eq!(escape_except_colors(text), "\u{1b}[1;33mWARN\u{1b}[0m \\u001b[2J\\u001b[31");
    }

    #[test]
    fn json_stays_the_same_document() {
        let value = serde_json::json!({ "error": "\u{9b}31m\u{1b}[0m\u{7f}" });
        let text = value.to_string();
        assert!(text.contains('\u{9b}') && !escape(&text).contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escape(&text)).unwrap(), value);
    }
}
