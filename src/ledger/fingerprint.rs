//! What decides a load's result, part by part, so that a change can be named.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// Named parts and what they are: the query of the source, the expression of a column, the type of
/// another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

/// One part that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub part: String,
    /// What it was; `None` where there was none.
    pub was: Option<String>,
    /// What it is; `None` where there is none.
    pub is: Option<String>,
}

impl Fingerprint {
    /// The same with one more part.
    #[must_use]
    pub fn with(mut self, part: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(part.into(), value.into());
        self
    }

    /// Its parts, by name.
    pub fn parts(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// A hash of all parts, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut hash = XxHash3_128::new();
        for text in self.0.iter().flat_map(|(part, value)| [part, value]) {
            hash.write(&(text.len() as u64).to_le_bytes());
            hash.write(text.as_bytes());
        }
        format!("{:032x}", hash.finish_128())
    }

    /// What differs, by name; `self` is what it is, `before` what it was.
    pub fn differences_since(&self, before: &Self) -> Vec<Difference> {
        let mut names: Vec<_> = self.0.keys().chain(before.0.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let found = names
            .into_iter()
            .map(|name| (name, before.0.get(name), self.0.get(name)))
            .filter(|(_, was, is)| was != is);
        found
            .map(|(name, was, is)| Difference {
                part: name.clone(),
                was: was.cloned(),
                is: is.cloned(),
            })
            .collect()
    }
}

/// In one line: the part, and around the first place where the two differ, what was and what is.
impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.was, &self.is) {
            (Some(was), Some(is)) => {
                let (was, is) = (one_line(was), one_line(is));
                let same =
                    was.chars().zip(is.chars()).take_while(|(one, other)| one == other).count();
                write!(
                    formatter,
                    "{} was {}, and is {}",
                    self.part,
                    excerpt(&was, same),
                    excerpt(&is, same)
                )
            }
            (None, Some(is)) => {
                write!(formatter, "{} is new: {}", self.part, excerpt(&one_line(is), 0))
            }
            (Some(was), None) => {
                write!(formatter, "{} is gone; it was {}", self.part, excerpt(&one_line(was), 0))
            }
            (None, None) => formatter.write_str(&self.part),
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

    #[test]
    fn differences_are_named() {
        let before = Fingerprint::default()
            .with("column `a`", "source.a")
            .with("column `b`", "1")
            .with("engine", "MergeTree");
        let after = Fingerprint::default()
            .with("column `a`", "source.a\n  + 1")
            .with("column `c`", "2")
            .with("engine", "MergeTree");
        let found: Vec<_> =
            after.differences_since(&before).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "column `a` was `source.a`, and is `source.a + 1`",
                "column `b` is gone; it was `1`",
                "column `c` is new: `2`"
            ]
        );
        assert!(before.differences_since(&before).is_empty());
        assert_ne!(before.digest(), after.digest());
        assert_eq!(before.digest(), before.clone().digest());
    }

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        let was = format!("{}x{}", "a".repeat(200), "b".repeat(200));
        let is = was.replace('x', "y");
        let text = Difference { part: "p".to_owned(), was: Some(was), is: Some(is) }.to_string();
        assert!(
            text.contains("aaax")
                && text.contains("aaay")
                && text.contains('…')
                && text.len() < 250,
            "{text}"
        );
    }
}
