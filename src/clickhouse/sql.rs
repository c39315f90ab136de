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

/// What stands in these quotes at the beginning of a text, without its escapes, and what follows.
pub(crate) fn quoted_prefix(text: &str, quote: char) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix(quote)?.chars();
    let mut inside = String::new();
    loop {
        match rest.next()? {
            '\\' => inside.push(rest.next()?),
            character if character == quote => match rest.as_str().strip_prefix(quote) {
                Some(behind) => {
                    inside.push(quote);
                    rest = behind.chars();
                }
                None => return Some((inside, rest.as_str())),
            },
            character => inside.push(character),
        }
    }
}

/// A string or a name without its quotes and escapes; a bare word as it is.
pub(crate) fn unquoted(text: &str) -> String {
    let inside = ['`', '\'', '"'].into_iter().find_map(|quote| quoted_prefix(text, quote));
    match inside {
        Some((inside, "")) => inside,
        _ => text.to_owned(),
    }
}

/// String literals as the items of a list.
pub(crate) fn literal_list<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let literals = texts.into_iter().map(|text| quote_literal(text.as_ref()).to_string());
    literals.collect::<Vec<_>>().join(", ")
}

/// A character of SQL of the server.
struct Place {
    /// Its position in bytes.
    position: usize,
    character: char,
    /// Brackets that are open before it.
    depth: u32,
    /// Whether it lies within quotes, or ends them.
    is_quoted: bool,
}

impl Place {
    fn is_outside(&self) -> bool {
        self.depth == 0 && !self.is_quoted
    }
}

/// The characters of SQL of the server with what they lie in.
fn places(text: &str) -> impl Iterator<Item = Place> {
    let (mut depth, mut quote, mut is_escaped) = (0_u32, None, false);
    text.char_indices().map(move |(position, character)| {
        let place = Place { position, character, depth, is_quoted: quote.is_some() };
        match (quote, character) {
            _ if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '`' | '"') => quote = Some(character),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        place
    })
}

/// Splits SQL of the server at its outermost commas: the items of a list such as `a, f(b, c), 'd, e'`; none for an empty text.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    let commas = places(text).filter(|place| place.character == ',' && place.is_outside());
    let ends = commas.map(|comma| comma.position).chain([text.len()]);
    let mut begin = 0;
    let items = ends.filter_map(|end| {
        let item = text.get(begin..end)?.trim();
        begin = end + 1;
        (!item.is_empty()).then(|| item.to_owned())
    });
    items.collect()
}

/// The position of the first occurrence outside of quotes and brackets in SQL of the server.
pub(crate) fn find_outside(text: &str, pattern: &str) -> Option<usize> {
    let begins = |at: usize| text.get(at..).is_some_and(|rest| rest.starts_with(pattern));
    let found = places(text).find(|place| place.is_outside() && begins(place.position));
    found.map(|place| place.position)
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

    #[test]
    fn commas_inside_of_brackets_and_quotes_stay() {
        assert_eq!(
            split_list("a, f(b, [c, d]), 'e, \\', f', `g, h`"),
            ["a", "f(b, [c, d])", "'e, \\', f'", "`g, h`"]
        );
        assert_eq!(split_list(""), Vec::<String>::new());
    }

    #[test]
    fn patterns_inside_of_brackets_and_quotes_are_not_found() {
        assert_eq!(find_outside("f( x ) `a x b` x ", " x "), Some(14));
        assert_eq!(find_outside("(a)", ")"), None);
        assert_eq!(find_outside("a, (b)) rest", ")"), Some(6));
    }
}
