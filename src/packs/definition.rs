//! Definitions of tables and views as the server writes them, and how two of them differ.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::script::mask;
use crate::clickhouse::{find_outside, quote_identifier, quoted_prefix, split_list};

/// A difference between a table and its definition in the pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// The column, the index or the clause, such as `column cost_per_hour`.
    pub what: String,
    /// What the server has; `None` if it does not have it.
    pub found: Option<String>,
    /// What the pack has.
    pub expected: Option<String>,
}

/// A CREATE statement in its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Definition {
    /// Columns, indices, projections and constraints by name, in their order.
    elements: Vec<(String, String)>,
    /// The clauses: `engine`, `partition key`, and others.
    clauses: BTreeMap<&'static str, String>,
    /// Settings of the table.
    settings: BTreeMap<String, String>,
}

/// The clauses behind the columns in the order in which the server writes them.
const CLAUSES: [(&str, &str); 8] = [
    (" TO ", "target"),
    (" ENGINE = ", "engine"),
    (" PARTITION BY ", "partition key"),
    (" PRIMARY KEY ", "primary key"),
    (" ORDER BY ", "sorting key"),
    (" SAMPLE BY ", "sampling key"),
    (" TTL ", "TTL"),
    (" SETTINGS ", SETTINGS),
];
const SETTINGS: &str = "settings";
/// The order of columns, where the columns are the same.
const ORDER: &str = "order of columns";

impl Definition {
    /// Reads `create_table_query` and `as_select` of `system.tables`. `databases`: those whose names
    /// are left out before tables.
    pub(super) fn parse(created: &str, query: &str, databases: &[&str]) -> Self {
        let (created, query) =
            (without_databases(created, databases), without_databases(query, databases));
        let mut definition = Self::default();
        // The query of a view follows its columns, and may have the same words as clauses.
        let head =
            match find_outside(&created, " AS SELECT ").or(find_outside(&created, " AS WITH ")) {
                Some(end) if !query.is_empty() => created.get(..end).unwrap_or(&created),
                _ => &created,
            };
        if !query.is_empty() {
            definition.clauses.insert("query", query);
        }
        let (before, inside, behind) = brackets(head);
        definition.elements = split_list(inside).iter().map(|text| element(text)).collect();
        for (clause, text) in clauses_of(&format!("{before} {behind} ")) {
            if clause == SETTINGS {
                definition.settings = settings_of(text);
            } else {
                definition.clauses.insert(clause, text.to_owned());
            }
        }
        definition
    }

    /// Keeps of the settings those that the statement names: the server adds others.
    pub(super) fn keep_settings_of(&mut self, statement: &str) {
        self.settings.retain(|name, _| statement.contains(name.as_str()));
    }

    /// How a table that the server has differs from this definition. Settings that the definition does
    /// not have are the operator's.
    pub(super) fn differences(&self, found: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |what: String, found: Option<&String>, expected: Option<&String>| {
            if found != expected {
                let (found, expected) = (found.cloned(), expected.cloned());
                differences.push(Difference { what, found, expected });
            }
        };
        let get = |elements: &'_ [(String, String)], name: &str| {
            elements.iter().position(|(known, _)| known == name)
        };
        for (name, expected) in &self.elements {
            let place = get(&found.elements, name).and_then(|place| found.elements.get(place));
            compare(name.clone(), place.map(|(_, text)| text), Some(expected));
        }
        for (name, text) in &found.elements {
            if get(&self.elements, name).is_none() {
                compare(name.clone(), Some(text), None);
            }
        }
        let names: Vec<_> = self.clauses.keys().chain(found.clauses.keys()).collect();
        let mut seen = Vec::new();
        for name in names {
            if !seen.contains(&name) {
                seen.push(name);
                compare((*name).to_owned(), found.clauses.get(name), self.clauses.get(name));
            }
        }
        for (name, expected) in &self.settings {
            compare(format!("setting {name}"), found.settings.get(name), Some(expected));
        }
        let order = |definition: &Self| {
            definition.elements.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        if differences.is_empty() && order(self) != order(found) {
            differences.push(Difference {
                what: ORDER.to_owned(),
                found: Some(order(found).join(", ")),
                expected: Some(order(self).join(", ")),
            });
        }
        differences
    }
}

/// What stands before the outermost brackets, in them and behind them.
fn brackets(head: &str) -> (&str, &str, &str) {
    let Some(open) = mask(head).iter().position(|&byte| byte == b'(') else {
        return (head, "", "");
    };
    // A view without columns has brackets of its engine at most.
    if find_outside(head, " ENGINE = ").is_some_and(|engine| engine < open) {
        return (head, "", "");
    }
    let inside = head.get(open + 1..).unwrap_or_default();
    let close = find_outside(inside, ")").unwrap_or(inside.len());
    (
        head.get(..open).unwrap_or_default(),
        inside.get(..close).unwrap_or_default(),
        inside.get(close + 1..).unwrap_or_default(),
    )
}

/// A column, an index, a projection or a constraint: its kind and name, and its definition.
fn element(text: &str) -> (String, String) {
    let (kind, rest) = ["INDEX", "PROJECTION", "CONSTRAINT"]
        .iter()
        .find_map(|kind| {
            Some((kind.to_ascii_lowercase(), text.strip_prefix(kind)?.strip_prefix(' ')?))
        })
        .unwrap_or_else(|| ("column".to_owned(), text));
    let (name, rest) = quoted_prefix(rest, '`').unwrap_or_else(|| {
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        (name.to_owned(), rest)
    });
    (format!("{kind} {name}"), rest.trim().to_owned())
}

/// The clauses of a text, each up to the next.
fn clauses_of(text: &str) -> Vec<(&'static str, &str)> {
    let mut found: Vec<_> = CLAUSES
        .iter()
        .filter_map(|(words, name)| Some((find_outside(text, words)?, words.len(), *name)))
        .collect();
    // What the server writes for a view's rights and a comment is not compared.
    let ends = [" COMMENT ", " DEFINER ", " SQL SECURITY "];
    found.extend(ends.iter().filter_map(|words| Some((find_outside(text, words)?, 0, ""))));
    found.sort_unstable();
    let next = found.iter().skip(1).map(|(position, ..)| *position).chain([text.len()]);
    found
        .iter()
        .zip(next)
        .filter(|((.., name), _)| !name.is_empty())
        .map(|((position, length, name), end)| {
            (*name, text.get(position + length..end).unwrap_or_default().trim())
        })
        .collect()
}

fn settings_of(text: &str) -> BTreeMap<String, String> {
    split_list(text)
        .iter()
        .filter_map(|pair| pair.split_once(" = "))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// The text without the names of these databases before the names of tables.
fn without_databases(text: &str, databases: &[&str]) -> String {
    databases.iter().fold(text.to_owned(), |text, database| {
        let mut left = String::with_capacity(text.len());
        let mut rest = text.as_str();
        let forms = [format!("{database}."), format!("{}.", quote_identifier(database))];
        while let Some(first) = rest.chars().next() {
            let is_inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '`');
            let begins = !left.ends_with(is_inside);
            if let Some((string, behind)) = quoted_prefix(rest, '\'') {
                let length = rest.len() - behind.len();
                let _ = write!(left, "{}", rest.get(..length).unwrap_or(&string));
                rest = behind;
            } else if let Some(form) =
                forms.iter().find(|form| begins && rest.starts_with(&***form))
            {
                rest = rest.get(form.len()..).unwrap_or_default();
            } else {
                left.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        left
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE d.t (`a` UInt64, `b c` String DEFAULT 'd.x, (', INDEX i a TYPE minmax GRANULARITY 1) ENGINE = ReplacingMergeTree(a) PARTITION BY toYYYYMM(a) ORDER BY (a, b) TTL a + toIntervalDay(90) SETTINGS index_granularity = 8192, x = 1 COMMENT 'TTL'";

    fn what(expected: &str, found: &str) -> Vec<String> {
        let parse = |text| Definition::parse(text, "", &["d"]);
        let differences = parse(expected).differences(&parse(found));
        differences
            .into_iter()
            .map(|Difference { what, found, expected }| {
                format!(
                    "{what}: {} for {}",
                    found.unwrap_or_default(),
                    expected.unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn each_part_of_a_table_is_compared_by_itself() {
        assert_eq!(what(TABLE, TABLE), Vec::<String>::new());
        for (old, new, difference) in [
            ("`a` UInt64", "`a` UInt32", "column a: UInt32 for UInt64"),
            ("`a` UInt64, ", "", "column a:  for UInt64"),
            ("(`a`", "(`z` Int8, `a`", "column z: Int8 for "),
            ("'d.x, ('", "'x'", "column b c: String DEFAULT 'x' for String DEFAULT 'd.x, ('"),
            (
                "minmax",
                "set(1)",
                "index i: a TYPE set(1) GRANULARITY 1 for a TYPE minmax GRANULARITY 1",
            ),
            ("ReplacingMergeTree(a)", "MergeTree", "engine: MergeTree for ReplacingMergeTree(a)"),
            ("toYYYYMM(a)", "a", "partition key: a for toYYYYMM(a)"),
            ("(a, b) TTL", "a TTL", "sorting key: a for (a, b)"),
            (" TTL a + toIntervalDay(90)", "", "TTL:  for a + toIntervalDay(90)"),
            ("x = 1", "x = 2", "setting x: 2 for 1"),
        ] {
            assert_eq!(what(TABLE, &TABLE.replace(old, new)), [difference]);
        }
        assert!(what(TABLE, &TABLE.replace("x = 1", "x = 1, y = 2")).is_empty(), "an own setting");
        assert!(what(TABLE, &TABLE.replace(" COMMENT 'TTL'", "")).is_empty(), "no comment");
    }

    #[test]
    fn views_are_compared_without_their_database_and_their_definer() {
        let parse = |database: &str, table: &str, rights: &str| {
            let created = format!(
                "CREATE MATERIALIZED VIEW {database}.v TO {database}.{table} (`h` DateTime){rights} AS SELECT h FROM {database}.s TTL"
            );
            let query = format!("SELECT h FROM {database}.s AS x TTL, 'd.s'");
            Definition::parse(&created, &query, &["d", "e-f"])
        };
        let expected = parse("d", "t", "");
        assert_eq!(expected, parse("`e-f`", "t", " DEFINER = ann SQL SECURITY DEFINER"));
        let differences = expected.differences(&parse("d", "u", ""));
        assert_eq!(differences.len(), 1);
        assert_eq!(differences.first().map(|found| found.what.as_str()), Some("target"));
        let query = expected.clauses.get("query").map(String::as_str);
        assert_eq!(query, Some("SELECT h FROM s AS x TTL, 'd.s'"));
    }
}
