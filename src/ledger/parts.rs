//! The parts of a structure, so that a difference between two of them can be named.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;
use twox_hash::XxHash3_128;

use crate::job::{Token, tokens};

/// The leaves of a structure by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts(BTreeMap<Vec<String>, String>);

/// One part that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it is in the structure.
    pub path: Vec<String>,
    /// Which part it is, for people.
    pub label: String,
    /// What it was; `None` where there was none.
    pub was: Option<String>,
    /// What it is; `None` where there is none.
    pub is: Option<String>,
}

impl Parts {
    /// The parts of this structure. An element of a list is named by its field `name`, or else by its
    /// number from 1.
    pub(crate) fn of(structure: &impl Serialize) -> Self {
        let mut parts = BTreeMap::new();
        // What has no JSON form has no parts either.
        let value = serde_json::to_value(structure).unwrap_or_default();
        collect(&value, &mut Vec::new(), &mut parts);
        Self(parts)
    }

    /// Each part with its path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[String], &str)> {
        self.0.iter().map(|(path, value)| (path.as_slice(), value.as_str()))
    }

    /// A hash of all parts, in hexadecimal. SQL counts by its tokens.
    pub(crate) fn digest(&self) -> String {
        let mut hash = XxHash3_128::new();
        let mut write = |text: &str| {
            hash.write(&(text.len() as u64).to_le_bytes());
            hash.write(text.as_bytes());
        };
        for (path, value) in &self.0 {
            for name in path {
                write(name);
            }
            write(&canonical(path, value));
        }
        format!("{:032x}", hash.finish_128())
    }

    /// What differs; `self` is what it is, `before` what it was.
    pub(crate) fn differences_since(
        &self,
        before: &Self,
        label: impl Fn(&[&str]) -> String,
    ) -> Vec<Difference> {
        let mut paths: Vec<_> = self.0.keys().chain(before.0.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut differences = Vec::new();
        for path in paths {
            let (was, is) = (before.0.get(path), self.0.get(path));
            let same = match (was, is) {
                (Some(was), Some(is)) => was == is || canonical(path, was) == canonical(path, is),
                // A uuid that is not known on one side cannot be compared.
                _ => path.last().is_some_and(|name| name == "uuid"),
            };
            if !same {
                let names: Vec<_> = path.iter().map(String::as_str).collect();
                differences.push(Difference {
                    path: path.clone(),
                    label: label(&names),
                    was: was.cloned(),
                    is: is.cloned(),
                });
            }
        }
        differences
    }
}

fn collect(value: &Value, path: &mut Vec<String>, parts: &mut BTreeMap<Vec<String>, String>) {
    let text = match value {
        Value::Null => return,
        Value::Object(fields) => {
            for (name, field) in fields {
                path.push(name.clone());
                collect(field, path, parts);
                path.pop();
            }
            return;
        }
        Value::Array(elements) => {
            for (number, element) in (1_usize..).zip(elements) {
                let (name, rest) = named(element);
                path.push(name.unwrap_or_else(|| number.to_string()));
                collect(&rest, path, parts);
                path.pop();
            }
            return;
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    parts.insert(path.clone(), text);
}

/// The name of a list's element, and what it has besides.
fn named(element: &Value) -> (Option<String>, Value) {
    let mut rest = element.clone();
    let name = rest.as_object_mut().and_then(|fields| fields.remove("name"));
    (name.and_then(|name| name.as_str().map(str::to_owned)), rest)
}

/// What decides whether two values are the same: of SQL as a person wrote it, the tokens.
fn canonical(path: &[String], value: &str) -> String {
    let is_sql = path.last().is_some_and(|name| matches!(name.as_str(), "expression" | "live"))
        || path.iter().any(|name| matches!(name.as_str(), "exclusions" | "filters"));
    if is_sql { by_tokens(value) } else { value.to_owned() }
}

/// The tokens of SQL, with a blank between two; the text itself where it has none.
pub(super) fn by_tokens(sql: &str) -> String {
    let Ok(tokens) = tokens(sql) else { return sql.to_owned() };
    let words = tokens.iter().map(|token| match token {
        Token::Word(text) | Token::QuotedName(text) | Token::Text(text) => (*text).to_owned(),
        Token::Sign(sign) => sign.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// In one line: the part, and around the first place where the two differ, what was and what is.
impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match (&self.was, &self.is) {
            (Some(was), Some(is)) => {
                let (was, is) = (one_line(was), one_line(is));
                let same =
                    was.chars().zip(is.chars()).take_while(|(one, other)| one == other).count();
                let (was, is) = (excerpt(&was, same), excerpt(&is, same));
                write!(formatter, "{label} was {was}, and is {is}")
            }
            (None, Some(is)) => write!(formatter, "{label} is new: {}", excerpt(&one_line(is), 0)),
            (Some(was), None) => {
                write!(formatter, "{label} is gone; it was {}", excerpt(&one_line(was), 0))
            }
            (None, None) => formatter.write_str(label),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Up to 80 characters that hold the one at `position`.
fn excerpt(text: &str, position: usize) -> String {
    const LENGTH: usize = 80;
    let length = text.chars().count();
    let start = if length <= LENGTH { 0 } else { position.saturating_sub(20).min(length - LENGTH) };
    let middle: String = text.chars().skip(start).take(LENGTH).collect();
    let (before, after) =
        (if start > 0 { "…" } else { "" }, if start + LENGTH < length { "…" } else { "" });
    format!("`{before}{middle}{after}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differences(was: &Value, is: &Value) -> Vec<String> {
        let found = Parts::of(is).differences_since(&Parts::of(was), |path| path.join("."));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn differences_are_named() {
        let columns = |expression: &str, second: &str| {
            json!({"columns": [{"name": "a", "expression": expression}, {"name": second, "expression": "1"}],
                "engine": "MergeTree", "rows": 8, "window": null, "tables": ["x"]})
        };
        let (was, is) = (columns("source.a", "b"), columns("source.a\n  + 1", "c"));
        assert_eq!(
            differences(&was, &is),
            [
                "columns.a.expression was `source.a`, and is `source.a + 1`",
                "columns.b.expression is gone; it was `1`",
                "columns.c.expression is new: `1`",
            ]
        );
        assert!(differences(&was, &was).is_empty());
        assert_ne!(Parts::of(&was).digest(), Parts::of(&is).digest());
    }

    #[test]
    fn sql_counts_by_its_tokens() {
        let of = |sql: &str, engine: &str| json!({"columns": [{"name": "a", "expression": sql}], "exclusions": [sql], "engine": engine});
        let (was, same) = (of("f( source.a,'x  y')", "E"), of("f(source.a, -- why\n 'x  y')", "E"));
        assert!(differences(&was, &same).is_empty());
        assert_eq!(Parts::of(&was).digest(), Parts::of(&same).digest());
        assert_eq!(differences(&was, &of("f(source.a, 'x y')", "E")).len(), 2);
        assert_eq!(
            differences(&was, &of("f(source.a,'x  y')", "E ")),
            ["engine was `E`, and is `E`"]
        );
    }

    #[test]
    fn a_uuid_counts_where_both_know_it() {
        let of = |uuid: Option<&str>| json!({"source": {"table": "t", "uuid": uuid}});
        let differ = |was, is| differences(&of(was), &of(is)).len();
        assert_eq!((differ(None, Some("a")), differ(Some("a"), None)), (0, 0));
        assert_eq!((differ(Some("a"), Some("a")), differ(Some("a"), Some("b"))), (0, 1));
    }

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        let was = format!("{}x{}", "a".repeat(200), "b".repeat(200));
        let text = differences(&json!({"p": was}), &json!({"p": was.replace('x', "y")})).remove(0);
        assert!(
            text.contains("aaax")
                && text.contains("aaay")
                && text.contains('…')
                && text.len() < 250,
            "{text}"
        );
    }
}
