//! Definitions of loads as version 0.1 recorded them: texts, among them generated SQL, under names
//! for people.
//!
//! To compare such a definition, the one of today is written in that form as well, statements
//! included, whatever today's statements look like.

use std::collections::BTreeMap;

use super::definition::{
    JobDefinition, LoadDefinition, LookupDefinition, TableDefinition, TargetColumn,
};
use super::parts::{Difference, by_tokens};
use crate::clickhouse::quote_identifier;

const SERVER: &str = "the version of ClickHouse";
const EXPRESSION: &str = "the expression of the column ";
const COLUMN_TYPE: &str = "the type of the column ";
const SOURCE_QUERY: &str = "the query of the source";
const LOOKUP_QUERY: &str = "the query of the lookup";
const BATCHES: &str = "the size of batches";
const LATE: &str = "the memory for rows that are looked up late";

/// What `now` has that is not as it was.
pub(super) fn differences(
    before: &BTreeMap<String, String>,
    now: &LoadDefinition,
) -> Vec<Difference> {
    let now = written(now);
    let mut names: Vec<_> = before.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let parts = names.into_iter().map(|name| (name, before.get(name), now.get(name)));
    let changed = parts.filter(|(name, was, is)| !is_same(name, *was, *is));
    changed
        .map(|(name, was, is)| Difference {
            path: path(name),
            label: name.clone(),
            was: was.cloned(),
            is: is.cloned(),
        })
        .collect()
}

/// The target's columns.
pub(super) fn columns(parts: &BTreeMap<String, String>) -> Vec<TargetColumn> {
    let of_column = |(name, expression): (&String, &String)| {
        let name = name.strip_prefix(EXPRESSION)?;
        Some(TargetColumn {
            name: name.to_owned(),
            type_name: parts.get(&format!("{COLUMN_TYPE}{name}")).cloned().unwrap_or_default(),
            expression: expression.clone(),
        })
    };
    parts.iter().filter_map(of_column).collect()
}

/// All other parts.
pub(super) fn other_parts(parts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut others = parts.clone();
    others.retain(|name, _| !name.starts_with(EXPRESSION) && !name.starts_with(COLUMN_TYPE));
    others
}

/// Where the same is in a definition of today, as far as that matters.
fn path(name: &str) -> Vec<String> {
    let path: &[&str] = match name {
        SERVER => &["server_version"],
        BATCHES => &["batches", "rows"],
        LATE => &["batches", "late_bytes"],
        other => &[other],
    };
    path.iter().map(|&name| name.to_owned()).collect()
}

fn is_same(name: &str, was: Option<&String>, is: Option<&String>) -> bool {
    let is_sql = name.starts_with(EXPRESSION) || [SOURCE_QUERY, LOOKUP_QUERY].contains(&name);
    match (was, is) {
        (Some(was), Some(is)) if is_sql => by_tokens(was) == by_tokens(is),
        (was, is) => was == is,
    }
}

/// A definition in the form of 0.1.
fn written(definition: &LoadDefinition) -> BTreeMap<String, String> {
    let LoadDefinition { job: JobDefinition { source, lookup, target }, batches, .. } = definition;
    let mut parts = BTreeMap::new();
    let mut add = |name: String, value: String| parts.insert(name, value);
    add(SERVER.to_owned(), definition.server_version.clone());
    add("the size of chunks".to_owned(), format!("{} rows", definition.chunk_rows));
    add(SOURCE_QUERY.to_owned(), source_query(&definition.job));
    add("the settings of the source query".to_owned(), settings(&source.settings));
    add("the settings of inserts".to_owned(), settings(&target.settings));
    if let Some(server) = &source.server {
        add("the server of the source".to_owned(), server.clone());
    }
    let mut tables = vec![("source", &source.table), ("target", &target.table)];
    for column in &source.columns {
        add(format!("the type of source.{}", column.name), column.type_name.clone());
    }
    if let Some(lookup) = lookup {
        tables.push(("lookup", &lookup.table));
        add(LOOKUP_QUERY.to_owned(), lookup_query(lookup));
        add("the lookup's window".to_owned(), window(lookup));
        add("the settings of the lookup query".to_owned(), settings(&lookup.settings));
        for column in &lookup.columns {
            add(format!("the type of lookup.{}", column.name), column.type_name.clone());
        }
    }
    for (role, table) in tables {
        add(format!("the engine of the {role} table"), table.engine.clone());
        add(format!("the sorting key of the {role} table"), table.sorting_key.clone());
        add(format!("the partition key of the {role} table"), table.partition_key.clone());
    }
    for column in &target.columns {
        add(format!("{EXPRESSION}{}", column.name), column.expression.clone());
        add(format!("{COLUMN_TYPE}{}", column.name), column.type_name.clone());
    }
    if let Some(batches) = batches {
        add(BATCHES.to_owned(), format!("{} rows, {} bytes", batches.rows, batches.bytes));
        if let Some(bytes) = batches.late_bytes {
            add(LATE.to_owned(), format!("{bytes} bytes a reader"));
        }
    }
    parts
}

fn settings(settings: &BTreeMap<String, String>) -> String {
    settings.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

fn window(lookup: &LookupDefinition) -> String {
    match &lookup.window {
        Some(window) => format!(
            "Some(Window {{ column: {:?}, days_before: {}, days_after: {} }})",
            window.column, window.days_before, window.days_after
        ),
        None => "None".to_owned(),
    }
}

fn source_query(job: &JobDefinition) -> String {
    let JobDefinition { source, lookup, .. } = job;
    let keys = lookup.iter().flat_map(|lookup| &lookup.keys);
    let keys = keys
        .map(|key| format!("CAST(source.{} AS {})", quote_identifier(&key.source), key.type_name));
    let columns =
        source.columns.iter().map(|column| format!("source.{}", quote_identifier(&column.name)));
    let list: Vec<_> = keys.chain(columns).chain(["toUInt8(0)".to_owned()]).collect();
    let collapse = if source.collapse { " FINAL" } else { "" };
    let mut conditions = vec!["_partition_id = ''".to_owned()];
    if let Some(deleted) = &source.deleted {
        conditions.push(format!("NOT source.{}", quote_identifier(deleted)));
    }
    conditions.extend(source.exclusions.iter().map(|exclusion| format!("NOT ({exclusion}\n)")));
    format!(
        "SELECT {}\nFROM {} AS source{collapse}\nWHERE {}",
        list.join(", "),
        quoted(&source.table),
        conditions.join("\n  AND ")
    )
}

fn lookup_query(lookup: &LookupDefinition) -> String {
    let keys = lookup
        .keys
        .iter()
        .map(|key| format!("CAST({} AS {})", quote_identifier(&key.lookup), key.type_name));
    let version = lookup.version.iter().map(|version| quote_identifier(&version.name).to_string());
    let deleted =
        lookup.deleted.iter().map(|deleted| format!("toBool({})", quote_identifier(deleted)));
    let columns = lookup.columns.iter().map(|column| quote_identifier(&column.name).to_string());
    let list: Vec<_> = keys
        .chain(version)
        .chain(deleted)
        .chain(columns)
        .chain(["toUInt8(0)".to_owned()])
        .collect();
    format!("SELECT {}\nFROM {}", list.join(", "), quoted(&lookup.table))
}

fn quoted(table: &TableDefinition) -> String {
    format!("{}.{}", quote_identifier(&table.database), quote_identifier(&table.table))
}

#[cfg(test)]
mod tests {
    use super::super::definition::*;
    use super::*;

    fn text(name: &str) -> String {
        name.to_owned()
    }

    fn now() -> LoadDefinition {
        let column = |name: &str| ColumnDefinition { name: text(name), type_name: text("String") };
        let table = |name: &str| TableDefinition {
            database: text("d"),
            table: text(name),
            engine: text("MergeTree"),
            sorting_key: text("k"),
            partition_key: String::new(),
            uuid: None,
        };
        LoadDefinition {
            format_version: FORMAT_VERSION,
            server_version: text("26.7"),
            chunk_rows: 60,
            job: JobDefinition {
                source: SourceDefinition {
                    table: table("s"),
                    collapse: true,
                    deleted: Some(text("gone")),
                    exclusions: vec![text("source.x = 1")],
                    columns: vec![column("a"), column("b")],
                    settings: BTreeMap::from([(text("m"), text("1")), (text("n"), text("2"))]),
                    ..SourceDefinition::default()
                },
                lookup: Some(LookupDefinition {
                    table: table("l"),
                    keys: vec![KeyDefinition {
                        source: text("a"),
                        lookup: text("i"),
                        type_name: text("String"),
                    }],
                    version: Some(column("v")),
                    deleted: Some(text("gone")),
                    window: Some(WindowDefinition {
                        column: text("t"),
                        days_before: 1,
                        days_after: 2,
                    }),
                    columns: vec![column("c")],
                    ..LookupDefinition::default()
                }),
                target: TargetDefinition {
                    table: table("t"),
                    columns: vec![TargetColumn {
                        name: text("x"),
                        type_name: text("String"),
                        expression: text("concat(source.a, lookup.c)"),
                    }],
                    ..TargetDefinition::default()
                },
            },
            batches: Some(BatchDefinition {
                rows: 10,
                bytes: 20,
                late_bytes: Some(30),
                columns: vec![text("source.a")],
            }),
        }
    }

    /// What 0.1 wrote of the same.
    fn before() -> BTreeMap<String, String> {
        let parts = [
            ("the version of ClickHouse", "26.7"),
            ("the size of chunks", "60 rows"),
            (
                "the query of the source",
                "SELECT CAST(source.`a` AS String), source.`a`, source.`b`, toUInt8(0)\nFROM `d`.`s` AS source FINAL\nWHERE _partition_id = ''\n  AND NOT source.`gone`\n  AND NOT (source.x = 1\n)",
            ),
            ("the settings of the source query", "m = 1, n = 2"),
            ("the settings of inserts", ""),
            ("the type of source.a", "String"),
            ("the type of source.b", "String"),
            (
                "the query of the lookup",
                "SELECT CAST(`i` AS String), `v`, toBool(`gone`), `c`, toUInt8(0)\nFROM `d`.`l`",
            ),
            (
                "the lookup's window",
                "Some(Window { column: \"t\", days_before: 1, days_after: 2 })",
            ),
            ("the settings of the lookup query", ""),
            ("the type of lookup.c", "String"),
            ("the expression of the column x", "concat(source.a, lookup.c)"),
            ("the type of the column x", "String"),
            ("the size of batches", "10 rows, 20 bytes"),
            ("the memory for rows that are looked up late", "30 bytes a reader"),
        ];
        let tables = ["source", "lookup", "target"].into_iter().flat_map(|role| {
            [
                (format!("the engine of the {role} table"), text("MergeTree")),
                (format!("the sorting key of the {role} table"), text("k")),
                (format!("the partition key of the {role} table"), String::new()),
            ]
        });
        parts.into_iter().map(|(name, value)| (text(name), text(value))).chain(tables).collect()
    }

    #[test]
    fn a_definition_of_0_1_is_the_same_while_nothing_has_changed() {
        assert_eq!(differences(&before(), &now()), []);
        let mut reformatted = now();
        reformatted.job.target.columns[0].expression = text("concat(source.a,\n lookup.c) -- both");
        assert_eq!(differences(&before(), &reformatted), []);
    }

    #[test]
    fn what_has_changed_since_0_1_is_named() {
        let mut other = now();
        other.server_version = text("26.8");
        other.job.source.collapse = false;
        other.batches = Some(BatchDefinition { rows: 9, ..other.batches.unwrap_or_default() });
        let found = differences(&before(), &other);
        let labels: Vec<_> = found.iter().map(|difference| difference.label.as_str()).collect();
        assert_eq!(labels, [SOURCE_QUERY, BATCHES, SERVER]);
        let kinds = found.iter().map(|found| (found.is_of_batches(), found.is_of_server()));
        assert!(kinds.eq([(false, false), (true, false), (false, true)]));
    }

    #[test]
    fn columns_and_other_parts_are_told_apart() {
        assert_eq!(columns(&before()), now().job.target.columns);
        let others = other_parts(&before());
        assert!(
            others.contains_key(SOURCE_QUERY) && !others.contains_key("the type of the column x")
        );
    }
}
