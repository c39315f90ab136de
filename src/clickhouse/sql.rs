//! Quoting of all identifiers and values in statements.
//!
//! ClickHouse escapes both by backslashes: <https://clickhouse.com/docs/sql-reference/syntax>.

use std::fmt;

/// A piece of SQL that is safe to put into a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quoted(String);

impl Quoted {
    /// The SQL.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An identifier in backticks.
pub(crate) fn quote_identifier(name: &str) -> Quoted {
    Quoted(escape(name.as_bytes(), '`', true))
}

/// A string literal. UTF-8 stays readable.
pub(crate) fn quote_literal(text: &str) -> Quoted {
    Quoted(escape(text.as_bytes(), '\'', true))
}

/// A string literal of any bytes: what is not ASCII is written as `\xHH`.
pub(crate) fn quote_literal_bytes(bytes: &[u8]) -> Quoted {
    Quoted(escape(bytes, '\'', false))
}

fn escape(bytes: &[u8], quote: char, keep_utf8: bool) -> String {
    let text = if keep_utf8 { std::str::from_utf8(bytes).ok() } else { None };
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push(quote);
    match text {
        Some(text) => text.chars().for_each(|c| push_escaped(&mut quoted, c, quote)),
        None => bytes.iter().for_each(|&byte| {
            if byte.is_ascii() {
                push_escaped(&mut quoted, char::from(byte), quote);
            } else {
                push_hex(&mut quoted, u32::from(byte));
            }
        }),
    }
    quoted.push(quote);
    quoted
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        c if c.is_ascii_control() => push_hex(out, u32::from(c)),
        c => out.push(c),
    }
}

fn push_hex(out: &mut String, value: u32) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push_str("\\x");
    for shift in [4, 0] {
        if let Some(digit) = DIGITS.get(((value >> shift) & 15) as usize) {
            out.push(*digit);
        }
    }
}

/// A table structure such as `` `source.id` String, `lookup.tags` Array(String) `` as the literal
/// that `input()`, `null()` and `format()` take.
pub(crate) fn structure<'a>(columns: impl IntoIterator<Item = (&'a str, &'a str)>) -> Quoted {
    let mut text = String::new();
    for (name, type_name) in columns {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(quote_identifier(name).as_str());
        text.push(' ');
        text.push_str(type_name);
    }
    quote_literal(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_literals_cannot_be_left() {
        assert_eq!(quote_identifier("a`b\\c").as_str(), "`a\\`b\\\\c`");
        assert_eq!(quote_literal("it's\\ \"x\"\n\0ä").as_str(), "'it\\'s\\\\ \"x\"\\n\\x00ä'");
        assert_eq!(quote_literal_bytes(b"\xff'\x01a").as_str(), "'\\xFF\\'\\x01a'");
    }

    #[test]
    fn structures_are_one_literal() {
        let text = structure([("source.id", "String"), ("e", "Enum8('a' = 1)")]);
        assert_eq!(text.as_str(), "'`source.id` String, `e` Enum8(\\'a\\' = 1)'");
    }
}
