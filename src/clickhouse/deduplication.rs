//! Which tables deduplicate blocks, and which tables are filled by the views of another.
//!
//! See [deduplicating inserts on
//! retries](https://clickhouse.com/docs/guides/developer/deduplicating-inserts-on-retries).

use std::collections::{BTreeSet, VecDeque};

use serde::Deserialize;

use super::connection::Connection;
use super::error::Error;
use super::schema::{TableName, is_replicated, merge_tree_setting};
use super::settings::Settings;
use super::sql::{literal_list, quote_literal};

/// How a table deduplicates blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deduplication {
    /// The table.
    pub name: TableName,
    /// Its engine.
    pub engine: String,
    /// The view that fills it; `None` for the table that was asked for.
    pub view: Option<TableName>,
    /// Number of latest blocks that it recognizes by their token; 0 for none.
    pub window: u64,
    /// Its rows, versions not collapsed; `None` if the server does not count them.
    pub rows: Option<u64>,
}

impl Deduplication {
    /// Whether repeated rows collapse by the sorting key.
    pub(crate) fn is_replacing(&self) -> bool {
        self.engine.ends_with("ReplacingMergeTree")
    }

    /// The table setting of its window.
    pub(crate) fn window_setting(&self) -> &'static str {
        window_setting(&self.engine)
    }
}

/// The table setting of the window for an engine.
fn window_setting(engine: &str) -> &'static str {
    if is_replicated(engine) {
        "replicated_deduplication_window"
    } else {
        "non_replicated_deduplication_window"
    }
}

#[derive(Deserialize)]
struct Table {
    engine: String,
    plain: u64,
    replicated: u64,
    rows: Option<u64>,
    views: Vec<[String; 2]>,
    target: [String; 2],
}

/// Describes a table, and in turn all tables that its materialized views fill. Tables that the user
/// may not see are left out.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn deduplication(
    connection: &Connection,
    name: &TableName,
) -> Result<Vec<Deduplication>, Error> {
    let knows_targets = "SELECT name FROM system.columns WHERE database = 'system' AND table = 'tables' AND name = 'target_table'";
    let knows_targets = !connection.rows::<Named>("schema", knows_targets).await?.is_empty();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut waiting = VecDeque::from([(name.clone(), None::<TableName>)]);
    while let Some((name, view)) = waiting.pop_front() {
        if !seen.insert((name.database.clone(), name.table.clone())) {
            continue;
        }
        let Some(table) = ask(connection, &name, knows_targets).await? else { continue };
        let Table { engine, plain, replicated, rows, views, target: [database, table] } = table;
        if engine == "MaterializedView" && !table.is_empty() {
            waiting.push_back((TableName { database, table }, Some(name)));
            continue;
        }
        waiting.extend(
            views
                .into_iter()
                .map(|[database, table]| (TableName { database, table }, view.clone())),
        );
        let window = match &*engine {
            engine if is_replicated(engine) => replicated,
            engine if engine.ends_with("MergeTree") => plain,
            _ => 0,
        };
        let view = view.or_else(|| (engine == "MaterializedView").then(|| name.clone()));
        found.push(Deduplication { name, engine, view, window, rows });
    }
    Ok(found)
}

/// The settings by which servers since 26.2 deduplicate blocks; they override `insert_deduplicate`.
///
/// With its default, the first of these servers [ignore the
/// token](https://github.com/ClickHouse/ClickHouse/pull/99206) unless the SELECT has `ORDER BY ALL`.
const RECOGNITION: [(&str, &str); 2] = [
    ("deduplicate_insert", "enable"),
    ("deduplicate_insert_select", "enable_even_for_bad_queries"),
];

/// The settings that an `INSERT … SELECT` needs beside its token to be deduplicated: those of
/// [these](https://clickhouse.com/docs/reference/settings/session-settings/deduplicate-insert) that
/// the server has.
///
/// # Errors
/// Those of the query.
pub(crate) async fn deduplication_settings(connection: &Connection) -> Result<Settings, Error> {
    let names = literal_list(RECOGNITION.map(|(name, _)| name));
    let known = connection
        .rows::<Named>(
            "schema",
            &format!("SELECT name FROM system.settings WHERE name IN ({names})"),
        )
        .await?;
    let known =
        RECOGNITION.into_iter().filter(|(name, _)| known.iter().any(|known| known.name == *name));
    Ok(Settings::default().with_all(known))
}

/// The setting among these, if any, that disables deduplication whatever a table's window is.
pub(crate) fn deduplication_disabled_by(settings: &Settings) -> Option<&str> {
    settings
        .iter()
        .find(|(name, value)| {
            *value == "disable" && RECOGNITION.iter().any(|(known, _)| known == name)
        })
        .map(|(name, _)| name)
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn ask(
    connection: &Connection,
    name: &TableName,
    knows_targets: bool,
) -> Result<Option<Table>, Error> {
    // The engine, which decides between the two, is not known yet.
    let window = |engine: &str| merge_tree_setting(engine, window_setting(engine));
    let target = if knows_targets { "[target_database, target_table]" } else { "['', '']" };
    let sql = format!(
        "SELECT engine, {} AS plain, {} AS replicated, total_rows AS rows, {target} AS target, \
         arrayMap((database, table) -> [database, table], dependencies_database, dependencies_table) AS views \
         FROM system.tables WHERE database = {} AND name = {}",
        window("MergeTree"),
        window("ReplicatedMergeTree"),
        quote_literal(&name.database),
        quote_literal(&name.table)
    );
    Ok(connection.rows::<Table>("schema", &sql).await?.into_iter().next())
}
