//! Definitions as they were recorded: by this version of the program, or by 0.1.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;

use super::definition::{FORMAT_VERSION, LoadDefinition, TargetColumn, label};
use super::parts::{Difference, Parts};
use super::v0_1;

/// The definition of a load, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// By this version of the program.
    Structured(Box<LoadDefinition>),
    /// By version 0.1: texts under names for people.
    V0_1(BTreeMap<String, String>),
}

impl Definition {
    /// What `now` has that is not as it was when this was recorded.
    pub fn differences_to(&self, now: &LoadDefinition) -> Vec<Difference> {
        match self {
            Self::Structured(before) => Parts::of(now).differences_since(&Parts::of(before), label),
            Self::V0_1(before) => v0_1::differences(before, now),
        }
    }

    /// The target's columns and what fills them.
    pub fn columns(&self) -> Vec<TargetColumn> {
        match self {
            Self::Structured(definition) => definition.job.target.columns.clone(),
            Self::V0_1(parts) => v0_1::columns(parts),
        }
    }

    /// All parts but the target's columns, by their names for people.
    pub fn other_parts(&self) -> BTreeMap<String, String> {
        match self {
            Self::Structured(definition) => Parts::of(definition)
                .iter()
                .map(|(path, value)| (path.iter().map(String::as_str).collect::<Vec<_>>(), value))
                .filter(|(path, _)| {
                    !matches!(path.as_slice(), ["format_version"] | ["target", "columns", ..])
                })
                .map(|(path, value)| (label(&path), value.to_owned()))
                .collect(),
            Self::V0_1(parts) => v0_1::other_parts(parts),
        }
    }
}

impl Default for Definition {
    fn default() -> Self {
        Self::Structured(Box::default())
    }
}

impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Structured(definition) => definition.serialize(serializer),
            Self::V0_1(parts) => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Definition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let found = match value.get("format_version").map(Value::as_u64) {
            None => serde_json::from_value(value).map(Self::V0_1),
            Some(Some(version)) if version <= u64::from(FORMAT_VERSION) => {
                serde_json::from_value(value).map(Self::Structured)
            }
            Some(_) => {
                return Err(D::Error::custom("it was written by a newer version of this program"));
            }
        };
        found.map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::definition::{JobDefinition, TargetDefinition};
    use serde_json::json;

    fn definition() -> LoadDefinition {
        LoadDefinition {
            format_version: FORMAT_VERSION,
            server_version: "26.7".to_owned(),
            chunk_rows: 1000,
            job: JobDefinition {
                target: TargetDefinition {
                    columns: vec![TargetColumn {
                        name: "a.b".to_owned(),
                        type_name: "String".to_owned(),
                        expression: "concat(source.a, 'x')".to_owned(),
                    }],
                    settings: BTreeMap::from([("log_queries".to_owned(), "1".to_owned())]),
                    ..TargetDefinition::default()
                },
                ..JobDefinition::default()
            },
            ..LoadDefinition::default()
        }
    }

    #[test]
    fn it_is_written_and_read() {
        let written = serde_json::to_value(Definition::Structured(Box::new(definition()))).unwrap();
        assert_eq!(written["format_version"], 2);
        assert_eq!(written["target"]["columns"][0]["type"], "String");
        let read: Definition = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(read, Definition::Structured(Box::new(definition())));
        let mut newer = written;
        newer["format_version"] = json!(3);
        let error = serde_json::from_value::<Definition>(newer).unwrap_err().to_string();
        assert!(error.contains("newer version"), "{error}");
    }

    #[test]
    fn reformatting_changes_nothing_and_changes_are_named() {
        let before = Definition::Structured(Box::new(definition()));
        let mut now = definition();
        now.job.target.columns[0].expression =
            "concat(\n  source.a, -- a comment\n  'x'\n)".to_owned();
        assert!(before.differences_to(&now).is_empty());
        assert_eq!(now.fingerprint(), definition().fingerprint());

        now.server_version = "26.8".to_owned();
        now.job.target.settings.clear();
        now.job.target.columns[0].expression = "source.a".to_owned();
        let differences = before.differences_to(&now);
        let words: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "the version of ClickHouse was `26.7`, and is `26.8`",
                "the expression of the column a.b was `concat(source.a, 'x')`, and is `source.a`",
                "the setting log_queries of inserts is gone; it was `1`",
            ]
        );
        assert!(differences[0].is_of_server() && !differences[1].is_of_server());
    }
}
