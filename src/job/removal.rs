//! Removing rows by lightweight DELETEs, from the target and from what its materialized views fill.
//!
//! A row that is marked as deleted stays visible to readers without FINAL that do not look at the
//! mark. Where an application reads its tables in this way, a job says `removal = "delete"`.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use super::bound::BoundJob;
use super::lexer::{Token, tokens};
use super::target_key::TargetKey;
use crate::clickhouse::{
    Connection, Error as ServerError, Settings, TableName, TableSchema, quote_literal,
    table_schema, unquoted,
};

/// Rows that one statement removes.
pub(crate) const ROWS_PER_STATEMENT: usize = 1000;

/// The tables from which rows are deleted.
#[derive(Clone, Debug)]
pub(crate) struct DeleteTables {
    /// The tables that views fill, then the target: what an interrupted removal leaves is still found in
    /// the target.
    pub tables: Vec<DeleteTable>,
    /// Tables and views with rows that cannot be deleted.
    pub unreachable: Vec<Unreachable>,
}

/// A table from which rows are deleted by the keys of the target.
#[derive(Clone, Debug)]
pub(crate) struct DeleteTable {
    /// Its name.
    pub name: TableName,
    /// Whether it has the partitions of the target.
    same_partitions: bool,
    /// Whether it has the sorting key of the target.
    same_order: bool,
}

/// A table that a view fills and from which rows cannot be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreachable {
    /// The table; the view where its table is unknown.
    pub name: TableName,
    /// Why.
    pub reason: String,
    /// A grant with which it would be reached.
    pub grant: Option<String>,
}

/// Rows of one part of the target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedRows<'a> {
    /// The id of the partition; `None` where it is unknown.
    pub partition_id: Option<&'a str>,
    /// A predicate over the target's sorting key.
    pub range: Option<&'a str>,
    /// Hashes of keys, each with the greatest version that is deleted.
    pub rows: &'a [(u64, i128)],
}

impl DeleteTables {
    /// Only the target.
    pub(crate) fn target(job: &BoundJob) -> Self {
        Self { tables: vec![DeleteTable::target(job)], unreachable: Vec::new() }
    }

    /// The target and the tables that its views fill, in turn.
    ///
    /// # Errors
    /// Those of the queries.
    pub(crate) async fn read(
        connection: &Connection,
        job: &BoundJob,
        key: &TargetKey,
    ) -> Result<Self, ServerError> {
        let mut found = Self::target(job);
        let target = &job.target.name;
        let mut seen = vec![target.clone()];
        let mut waiting = VecDeque::from(views_of(connection, target).await?);
        while let Some(view) = waiting.pop_front() {
            if seen.contains(&view) {
                continue;
            }
            seen.push(view.clone());
            let user = connection.endpoint().user();
            let Some(table) = table_of_view(connection, &view).await? else {
                let reason = format!("the user {user} cannot see what this view fills");
                let grant = Some(format!("GRANT SHOW TABLES ON {view} TO {user}"));
                found.unreachable.push(Unreachable { name: view, reason, grant });
                continue;
            };
            if seen.contains(&table) {
                continue;
            }
            seen.push(table.clone());
            waiting.extend(views_of(connection, &table).await?);
            let schema = table_schema(connection, &table).await?;
            let Some(schema) = schema.filter(|schema| !schema.columns.is_empty()) else {
                let reason = format!("the user {user} cannot see its columns");
                let grant = Some(format!("GRANT SELECT, ALTER DELETE ON {table} TO {user}"));
                found.unreachable.push(Unreachable { name: table, reason, grant });
                continue;
            };
            match DeleteTable::filled(&schema, job, key) {
                Ok(table) => found.tables.insert(0, table),
                Err(reason) => {
                    found.unreachable.push(Unreachable { name: table, reason, grant: None });
                }
            }
        }
        Ok(found)
    }

    /// The statements that delete these rows, each with the table that it changes.
    pub(crate) fn statements<'a>(
        &'a self,
        job: &'a BoundJob,
        key: &'a TargetKey,
        rows: KeyedRows<'a>,
    ) -> impl Iterator<Item = (&'a TableName, String)> {
        self.tables.iter().map(move |table| (&table.name, table.delete(job, key, rows)))
    }
}

impl DeleteTable {
    fn target(job: &BoundJob) -> Self {
        Self { name: job.target.name.clone(), same_partitions: true, same_order: true }
    }

    /// A table that a view fills; the error says why its rows cannot be named by the target's key.
    fn filled(schema: &TableSchema, job: &BoundJob, key: &TargetKey) -> Result<Self, String> {
        if !schema.is_merge_tree() {
            return Err(format!("its engine {} does not support DELETE", schema.engine));
        }
        let type_in = |table: &TableSchema, name: &str| {
            table.column(name).map(|column| column.type_name.clone())
        };
        let owned = job.owned.iter().flat_map(|owned| &owned.columns);
        let names = key.columns.iter().chain(&key.version).map(|(name, _)| name).chain(owned);
        for name in names {
            match type_in(schema, name) {
                None => return Err(format!("it has no column {name}")),
                Some(found) if Some(&found) != type_in(&job.target, name).as_ref() => {
                    return Err(format!("its column {name} has the type {found}"));
                }
                Some(_) => {}
            }
        }
        Ok(Self {
            name: schema.name.clone(),
            same_partitions: schema.partition_key == job.target.partition_key,
            same_order: schema.sorting_key == job.target.sorting_key,
        })
    }

    /// A statement that deletes these rows. Older versions of a row would become visible, newer ones are a
    /// live writer's.
    fn delete(&self, job: &BoundJob, key: &TargetKey, rows: KeyedRows<'_>) -> String {
        let (hash, version) = (key.hash(), key.version_number());
        let keys: Vec<_> = rows.rows.iter().map(|(key, _)| key.to_string()).collect();
        let keys = keys.join(", ");
        let versions: Vec<_> =
            rows.rows.iter().map(|(_, version)| format!("'{version}'")).collect();
        let greatest = format!(
            "toInt128(transform({hash}, [{keys}]::Array(UInt64), [{}], '0'))",
            versions.join(", ")
        );
        let partition = rows.partition_id.filter(|_| self.same_partitions);
        let partition = partition.map(|id| format!("_partition_id = {} AND ", quote_literal(id)));
        let range = rows.range.filter(|_| self.same_order).map(|range| format!("({range}) AND "));
        format!(
            "DELETE FROM {} WHERE {}{}{hash} IN ({keys}) AND {version} <= {greatest} AND {}",
            self.name.quoted(),
            partition.unwrap_or_default(),
            range.unwrap_or_default(),
            job.is_owned()
        )
    }
}

/// The settings of a statement that removes rows: it waits for all replicas.
pub(crate) fn removal_settings(sql: &str) -> Settings {
    Settings::common()
        .with("max_query_size", &(sql.len() + 4096).to_string())
        .with("lightweight_deletes_sync", "2")
}

/// Rows of one statement: the id of their partition, if known, and hashes of keys with versions.
pub(crate) type RowBatch = (Option<String>, Vec<(u64, i128)>);

/// Rows in batches of one statement each, by the partition that they lie in. Of several versions of a
/// row the greatest counts.
pub(crate) fn in_batches(
    rows: impl IntoIterator<Item = (Option<String>, u64, i128)>,
) -> Vec<RowBatch> {
    let mut by_partition = BTreeMap::<Option<String>, BTreeMap<u64, i128>>::new();
    for (partition, key, version) in rows {
        let known = by_partition.entry(partition).or_default().entry(key).or_insert(version);
        *known = version.max(*known);
    }
    let mut batches = Vec::new();
    for (partition, rows) in by_partition {
        let rows: Vec<_> = rows.into_iter().collect();
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            batches.push((partition.clone(), rows.to_vec()));
        }
    }
    batches
}

/// The materialized views that inserts into a table trigger, whether or not the user may see them.
async fn views_of(
    connection: &Connection,
    table: &TableName,
) -> Result<Vec<TableName>, ServerError> {
    #[derive(Deserialize)]
    struct Views {
        views: Vec<(String, String)>,
    }
    let sql = format!(
        "SELECT arrayZip(dependencies_database, dependencies_table) AS views FROM system.tables WHERE database = {} AND name = {}",
        quote_literal(&table.database),
        quote_literal(&table.table)
    );
    let found = connection.rows::<Views>("views", &sql).await?;
    let views = found.into_iter().flat_map(|found| found.views);
    Ok(views.map(|(database, table)| TableName { database, table }).collect())
}

/// The table that a view fills; `None` if the user may not see the view.
async fn table_of_view(
    connection: &Connection,
    view: &TableName,
) -> Result<Option<TableName>, ServerError> {
    #[derive(Deserialize)]
    struct Definition {
        uuid: String,
        create_table_query: String,
    }
    let sql = format!(
        "SELECT toString(uuid) AS uuid, create_table_query FROM system.tables WHERE database = {} AND name = {}",
        quote_literal(&view.database),
        quote_literal(&view.table)
    );
    let found = connection.rows::<Definition>("views", &sql).await?;
    let Some(Definition { uuid, create_table_query }) = found.into_iter().next() else {
        return Ok(None);
    };
    let own = || {
        let has_uuid = uuid.chars().any(|digit| !matches!(digit, '0' | '-'));
        let table =
            if has_uuid { format!(".inner_id.{uuid}") } else { format!(".inner.{}", view.table) };
        TableName { database: view.database.clone(), table }
    };
    Ok(Some(named_table(&create_table_query, &view.database).unwrap_or_else(own)))
}

/// The table that the definition of a view names behind TO; `None` for a view with a table of its own.
fn named_table(definition: &str, database: &str) -> Option<TableName> {
    let tokens = tokens(definition).ok()?;
    let is_end = |token: &Token<'_>| {
        matches!(token, Token::Sign('(')) || matches!(token, Token::Word(word) if *word == "AS")
    };
    let head = tokens.iter().take_while(|token| !is_end(token)).collect::<Vec<_>>();
    let at = head.iter().position(|token| matches!(token, Token::Word(word) if *word == "TO"))?;
    let name = |token: Option<&&Token<'_>>| match token? {
        Token::Word(word) => Some((*word).to_owned()),
        Token::QuotedName(name) => Some(unquoted(name)),
        Token::Text(_) | Token::Sign(_) => None,
    };
    let first = name(head.get(at + 1))?;
    match head.get(at + 2) {
        Some(Token::Sign('.')) => {
            Some(TableName { database: first, table: name(head.get(at + 3))? })
        }
        Some(Token::Word("UUID")) if first == "INNER" => None,
        _ => Some(TableName { database: database.to_owned(), table: first }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_views_name_their_table() {
        let named = |definition: &str| {
            named_table(&format!("CREATE MATERIALIZED VIEW {definition}"), "here")
                .map(|table| table.to_string())
        };
        let text = |name: &str| Some(name.to_owned());
        assert_eq!(named("d.v TO d.core (`a` String) AS SELECT a FROM d.full"), text("d.core"));
        assert_eq!(named("d.v TO `d e`.`to.core` AS SELECT 1 AS `TO`"), text("d e.`to.core`"));
        assert_eq!(named("v TO core AS SELECT 1"), text("here.core"));
        assert_eq!(named("v TO INNER UUID '1' (`a` String) AS SELECT 1"), None);
        assert_eq!(named("v (`TO` String) ENGINE = MergeTree AS SELECT 1"), None);
        assert_eq!(named("`TO` ENGINE = MergeTree ORDER BY a AS SELECT 1"), None);
    }

    #[test]
    fn the_greatest_version_of_a_row_counts_and_batches_are_bounded() {
        let partition = |name: &str| Some(name.to_owned());
        let rows = (0..2500_u64).map(|key| (partition("b"), key, 1));
        let rows = rows.chain([(partition("a"), 7, 3), (partition("a"), 7, 5), (None, 8, 1)]);
        let batches = in_batches(rows);
        let shape: Vec<_> =
            batches.iter().map(|(partition, rows)| (partition.as_deref(), rows.len())).collect();
        assert_eq!(
            shape,
            [(None, 1), (Some("a"), 1), (Some("b"), 1000), (Some("b"), 1000), (Some("b"), 500)]
        );
        assert_eq!(batches[1].1, [(7, 5)]);
    }
}
