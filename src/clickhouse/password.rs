//! A password, and hiding it in text that may repeat it.

use std::fmt;

/// A secret. It has no `Display`, and its `Debug` shows only whether it is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

/// Shorter passwords are not hidden: they would match parts of other words.
const SHORTEST_HIDDEN: usize = 4;

impl Password {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one place that sends it, and the one that writes it to a file of the user's.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no password at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the password in a text, as it is and in the escaped forms of URLs, JSON and HTML.
    pub(super) fn hide_in(&self, text: String) -> String {
        if self.0.len() < SHORTEST_HIDDEN {
            return text;
        }
        let (mut hidden, mut rest) = (String::with_capacity(text.len()), text.as_str());
        while let Some(c) = rest.chars().next() {
            let found = length_of(&self.0, rest);
            let (head, tail) = rest.split_at(found.unwrap_or(c.len_utf8()));
            hidden.push_str(if found.is_some() { "(hidden)" } else { head });
            rest = tail;
        }
        hidden
    }
}

/// The length of the secret at the start of a text, where each of its characters may be escaped.
fn length_of(secret: &str, text: &str) -> Option<usize> {
    Some(text.len() - rest_after(secret, text)?.len())
}

/// The text after the secret. Both readings of a character are tried: `\\` in the text may be one
/// escaped backslash of the secret or two.
fn rest_after<'a>(secret: &str, text: &'a str) -> Option<&'a str> {
    let mut secret = secret.chars();
    let Some(c) = secret.next() else { return Some(text) };
    let readings = [after_escaped(c, text), text.strip_prefix(c)];
    readings.into_iter().flatten().find_map(|rest| rest_after(secret.as_str(), rest))
}

/// The text after an escaped character at its start.
fn after_escaped(c: char, text: &str) -> Option<&str> {
    match text.as_bytes().first()? {
        b'%' => after_percent(c, text),
        b'+' if c == ' ' => text.get(1..),
        b'\\' => after_backslash(c, text.get(1..)?),
        b'&' => after_entity(c, text),
        _ => None,
    }
}

/// `%C3%A4`, with digits in either case.
fn after_percent(c: char, mut text: &str) -> Option<&str> {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let digits = text.strip_prefix('%')?.get(..2)?;
        if u8::from_str_radix(digits, 16).ok()? != byte {
            return None;
        }
        text = text.get(3..)?;
    }
    Some(text)
}

/// The escapes of JSON and of SQL strings, behind the backslash.
fn after_backslash(c: char, text: &str) -> Option<&str> {
    let short = match c {
        '"' | '\'' | '\\' | '/' => c,
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ => 'u',
    };
    if short != 'u' {
        return text.strip_prefix(short).or_else(|| after_units(c, text));
    }
    after_units(c, text)
}

/// `u00e4`, and a second unit behind another backslash for characters beyond the first plane.
fn after_units(c: char, mut text: &str) -> Option<&str> {
    for (number, unit) in c.encode_utf16(&mut [0; 2]).iter().enumerate() {
        let begin = if number == 0 { "u" } else { "\\u" };
        let digits = text.strip_prefix(begin)?.get(..4)?;
        if u16::from_str_radix(digits, 16).ok()? != *unit {
            return None;
        }
        text = text.get(begin.len() + 4..)?;
    }
    Some(text)
}

/// The entities of HTML, which proxies put into their error pages.
fn after_entity(c: char, text: &str) -> Option<&str> {
    let entities: &[&str] = match c {
        '&' => &["&amp;", "&#38;"],
        '<' => &["&lt;", "&#60;"],
        '>' => &["&gt;", "&#62;"],
        '"' => &["&quot;", "&#34;", "&#x22;"],
        '\'' => &["&#39;", "&#x27;", "&apos;"],
        _ => &[],
    };
    entities.iter().find_map(|entity| text.strip_prefix(entity))
}

/// For arguments.
impl From<String> for Password {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "(none)" } else { "(hidden)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hidden_in_every_escaped_form() {
        let secret = "s€c/r\"t &<ä 😀\\";
        let password = Password::new(secret);
        let json = serde_json::to_string(secret).unwrap();
        let percent = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
        let set = percent_encoding::NON_ALPHANUMERIC;
        for form in [
            secret.to_owned(),
            json.trim_matches('"').to_owned(),
            percent.clone(),
            percent.to_lowercase(),
            percent_encoding::utf8_percent_encode(secret, set).to_string(),
            "s\\u20acc\\/r\\\"t \\u0026<\\u00e4 \\ud83d\\ude00\\\\".to_owned(),
            "s€c/r&quot;t &amp;&lt;ä 😀\\".to_owned(),
        ] {
            let text = format!("before {form} and {form} after, %zz \\u12");
            assert_eq!(
                password.hide_in(text),
                "before (hidden) and (hidden) after, %zz \\u12",
                "{form}"
            );
        }
    }

    #[test]
    fn other_text_stays() {
        let password = Password::new("walnut");
        let two = Password::new("a\\\\b");
        assert_eq!(two.hide_in("a\\\\b a\\\\\\\\b a\\b".to_owned()), "(hidden) (hidden) a\\b");
        for text in ["", "walnu", "%77alnu%", "ä walnut".trim_end_matches("walnut"), "\\u0077"] {
            assert_eq!(password.hide_in(text.to_owned()), text);
        }
        assert_eq!(Password::new("abc").hide_in("abc".to_owned()), "abc", "too short");
    }
}
