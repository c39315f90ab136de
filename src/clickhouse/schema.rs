//! Tables, columns, engines and functions, as the server's tables of `system` describe them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use super::connection::Connection;
use super::error::Error;
use super::sql::{Quoted, literal_list, quote_identifier, quote_literal, quoted_prefix};

/// What stands in the place of a database for objects, which are in none. No name that is read has a NUL.
const OBJECTS: &str = "\0objects";

/// A table with its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// Reads `table` or `database.table`; without a database, it is `default_database`. A name in
    /// backquotes may contain dots.
    pub fn parse(text: &str, default_database: &str) -> Self {
        let (database, table) = match quoted_prefix(text, '`') {
            Some((table, "")) => (default_database.to_owned(), table),
            Some((database, rest)) if rest.starts_with('.') => {
                (database, unquoted(rest.split_at(1).1))
            }
            _ => match text.split_once('.') {
                Some((database, table)) => (database.to_owned(), unquoted(table)),
                None => (default_database.to_owned(), text.to_owned()),
            },
        };
        let without_nul = |name: String| name.replace('\0', "\u{fffd}");
        Self { database: without_nul(database), table: without_nul(table) }
    }

    /// The name of objects, which are in no database.
    pub(crate) fn of_objects(pattern: &str) -> Self {
        Self { database: OBJECTS.to_owned(), table: pattern.to_owned() }
    }

    /// The quoted name for a statement.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.database), quote_identifier(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.database == OBJECTS {
            return formatter.write_str(&self.table);
        }
        write!(formatter, "{}.{}", shown(&self.database), shown(&self.table))
    }
}

/// A name as [`TableName::parse`] reads it back.
fn shown(name: &str) -> Cow<'_, str> {
    if name.contains(['.', '`']) {
        Cow::Owned(format!("`{}`", name.replace('\\', r"\\").replace('`', "``")))
    } else {
        Cow::Borrowed(name)
    }
}

/// A name without the backquotes around it.
fn unquoted(text: &str) -> String {
    match quoted_prefix(text, '`') {
        Some((name, "")) => name,
        _ => text.to_owned(),
    }
}

/// A column as [`system.columns`](https://clickhouse.com/docs/operations/system-tables/columns)
/// describes it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Column {
    /// Its name; columns of a Nested have dotted names.
    pub name: String,
    /// Its type, as the server writes it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// `DEFAULT`, `MATERIALIZED`, `ALIAS`, `EPHEMERAL` or empty.
    pub default_kind: String,
}

impl Column {
    /// Whether an insert may name it.
    pub fn is_insertable(&self) -> bool {
        !matches!(self.default_kind.as_str(), "MATERIALIZED" | "ALIAS")
    }

    /// Whether a select may name it.
    pub fn is_selectable(&self) -> bool {
        self.default_kind != "EPHEMERAL"
    }
}

/// A column as [DESCRIBE](https://clickhouse.com/docs/sql-reference/statements/describe-table) describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    /// Its name.
    pub name: String,
    /// Its type, as the server writes it.
    #[serde(rename = "type")]
    pub type_name: String,
}

impl From<Described> for Column {
    fn from(Described { name, type_name }: Described) -> Self {
        Self { name, type_name, default_kind: String::new() }
    }
}

/// A table as [`system.tables`](https://clickhouse.com/docs/operations/system-tables/tables) and
/// `system.columns` describe it.
#[derive(Clone, Debug)]
pub struct TableSchema {
    /// The table's name.
    pub name: TableName,
    /// The server's identity of the table, which another table of its name does not have; empty where
    /// the database's engine gives none.
    pub uuid: String,
    /// The engine's name, such as `ReplacingMergeTree`.
    pub engine: String,
    /// The sorting key as the server writes it.
    pub sorting_key: String,
    /// The partition key as the server writes it; empty if there is none.
    pub partition_key: String,
    /// Its columns in order.
    pub columns: Vec<Column>,
}

impl TableSchema {
    /// What is read by a function of the server: it has columns, and nothing else of a table.
    pub(crate) fn outside(name: &str, engine: String, columns: Vec<Column>) -> Self {
        Self {
            name: TableName::of_objects(name),
            uuid: String::new(),
            engine,
            sorting_key: String::new(),
            partition_key: String::new(),
            columns,
        }
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether the table has parts and partitions.
    pub fn is_merge_tree(&self) -> bool {
        self.engine.ends_with("MergeTree")
    }

    /// Whether repeated rows collapse by the sorting key.
    pub fn is_replacing(&self) -> bool {
        self.engine.ends_with("ReplacingMergeTree")
    }
}

/// The uuid of a row of `system.tables` as text.
const TABLE_UUID: &str =
    "if(uuid = toUUID('00000000-0000-0000-0000-000000000000'), '', toString(uuid))";

/// Reads the uuids and columns of several tables of one server, with a single query. Tables that do
/// not exist are left out.
///
/// # Errors
/// Those of the query.
pub(crate) async fn table_identities(
    connection: &Connection,
    names: &[TableName],
) -> Result<Vec<TableIdentity>, Error> {
    /// A column; or, where the name is empty, the table with its uuid.
    #[derive(Deserialize)]
    struct Row {
        database: String,
        table: String,
        name: String,
        #[serde(rename = "type")]
        type_name: String,
        default_kind: String,
    }
    let any_of = |column: &str| {
        let one = |name: &TableName| {
            let (database, table) = (quote_literal(&name.database), quote_literal(&name.table));
            format!("database = {database} AND {column} = {table}")
        };
        names.iter().map(one).collect::<Vec<_>>().join(" OR ")
    };
    let sql = format!(
        "SELECT database, system.tables.name AS table, '' AS name, {TABLE_UUID} AS type, '' AS default_kind FROM system.tables WHERE {} \
         UNION ALL SELECT database, table, name, type, toString(default_kind) FROM system.columns WHERE {}",
        any_of("system.tables.name"),
        any_of("table")
    );
    let rows: Vec<Row> = connection.rows("schema", &sql).await?;
    let (tables, columns): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.name.is_empty());
    let mut found: Vec<_> = tables
        .into_iter()
        .map(|row| TableIdentity {
            name: TableName { database: row.database, table: row.table },
            uuid: row.type_name,
            columns: Vec::new(),
        })
        .collect();
    for row in columns {
        let of_table = |table: &&mut TableIdentity| {
            table.name.database == row.database && table.name.table == row.table
        };
        if let Some(table) = found.iter_mut().find(of_table) {
            let Row { name, type_name, default_kind, .. } = row;
            table.columns.push(Column { name, type_name, default_kind });
        }
    }
    Ok(found)
}

/// A disk of the server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// Bytes that can still be written.
    pub free: u64,
    /// All of its bytes.
    pub total: u64,
}

/// The disks on which a table is stored.
///
/// # Errors
/// Those of the query.
pub(crate) async fn disks_of(
    connection: &Connection,
    table: &TableName,
) -> Result<Vec<Disk>, Error> {
    let sql = format!(
        "SELECT name, path, toUInt64(least(free_space, unreserved_space)) AS free, toUInt64(total_space) AS total FROM system.disks \
         WHERE name IN (SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name = \
         (SELECT any(storage_policy) FROM system.tables WHERE database = {} AND name = {}))",
        quote_literal(&table.database),
        quote_literal(&table.table)
    );
    connection.rows("disks", &sql).await
}

/// Whether the user has a right, such as `INSERT(name) ON db.target`, by
/// [CHECK GRANT](https://clickhouse.com/docs/sql-reference/statements/check-grant). `purpose` is part of
/// the id of the query.
///
/// # Errors
/// Those of the query; a server that does not know the statement answers with a syntax error.
pub(crate) async fn is_granted(
    connection: &Connection,
    purpose: &str,
    right: &str,
) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct Granted {
        result: u8,
    }
    let granted = connection.row::<Granted>(purpose, &format!("CHECK GRANT {right}")).await?;
    Ok(granted.result != 0)
}

/// What makes a table the one that a job was held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableIdentity {
    /// Its name.
    pub name: TableName,
    /// See [`TableSchema::uuid`].
    pub uuid: String,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// Reads the schema of a table; `None` if it does not exist.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn table_schema(
    connection: &Connection,
    name: &TableName,
) -> Result<Option<TableSchema>, Error> {
    #[derive(Deserialize)]
    struct Table {
        table_uuid: String,
        engine: String,
        sorting_key: String,
        partition_key: String,
    }
    let (database, table) = (quote_literal(&name.database), quote_literal(&name.table));
    let found = connection
        .rows::<Table>(
            "schema",
            &format!("SELECT {TABLE_UUID} AS table_uuid, engine, sorting_key, partition_key FROM system.tables WHERE database = {database} AND name = {table}"),
        )
        .await?;
    let Some(found) = found.into_iter().next() else { return Ok(None) };
    let columns = connection
        .rows(
            "schema",
            &format!(
                "SELECT name, type, default_kind FROM system.columns WHERE database = {database} AND table = {table} ORDER BY position"
            ),
        )
        .await?;
    Ok(Some(TableSchema {
        name: name.clone(),
        uuid: found.table_uuid,
        engine: found.engine,
        sorting_key: found.sorting_key,
        partition_key: found.partition_key,
        columns,
    }))
}

/// The functions among these that are not deterministic according to
/// [`system.functions`](https://clickhouse.com/docs/operations/system-tables/functions). Functions of
/// which the server does not know it (aggregates, user-defined ones) are not among them.
pub(crate) async fn functions_not_deterministic(
    connection: &Connection,
    names: &[String],
) -> Result<Vec<String>, Error> {
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // The column has two names, depending on the version.
    let column = connection
        .rows::<Name>("functions", "SELECT name FROM system.columns WHERE database = 'system' AND table = 'functions' AND name IN ('deterministic', 'is_deterministic')")
        .await?;
    let Some(column) = column.first() else { return Ok(Vec::new()) };
    let list = literal_list(names);
    let lower = literal_list(names.iter().map(|name| name.to_lowercase()));
    let flag: Quoted = quote_identifier(&column.name);
    let sql = format!(
        "SELECT name FROM system.functions WHERE {flag} = 0 AND (name IN ({list}) OR (case_insensitive AND lower(name) IN ({lower}))) ORDER BY name"
    );
    Ok(connection.rows::<Name>("functions", &sql).await?.into_iter().map(|row| row.name).collect())
}

/// The version column and the deleted flag of a
/// [ReplacingMergeTree](https://clickhouse.com/docs/engines/table-engines/mergetree-family/replacingmergetree)
/// that has both.
///
/// # Errors
/// Those of the query.
pub(crate) async fn replacing_columns(
    connection: &Connection,
    name: &TableName,
) -> Result<Option<(String, String)>, Error> {
    Ok(version_and_deleted(&engine_of(connection, name).await?))
}

/// The version column of a ReplacingMergeTree, if it has one.
///
/// # Errors
/// Those of the query.
pub(crate) async fn version_of(
    connection: &Connection,
    name: &TableName,
) -> Result<Option<String>, Error> {
    let arguments = replacing_arguments(&engine_of(connection, name).await?);
    Ok(arguments.and_then(|arguments| arguments.into_iter().next()))
}

async fn engine_of(connection: &Connection, name: &TableName) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Engine {
        engine_full: String,
    }
    let (database, table) = (quote_literal(&name.database), quote_literal(&name.table));
    let sql = format!(
        "SELECT engine_full FROM system.tables WHERE database = {database} AND name = {table}"
    );
    let engine: Engine = connection.row("schema", &sql).await?;
    Ok(engine.engine_full)
}

/// The last two arguments of the engine, if there are two.
fn version_and_deleted(engine: &str) -> Option<(String, String)> {
    match replacing_arguments(engine)?.as_slice() {
        [version, deleted] => Some((version.clone(), deleted.clone())),
        _ => None,
    }
}

/// The version and the deleted flag among the arguments of the engine, if all are plain names. A replicated
/// engine has string arguments before them.
fn replacing_arguments(engine: &str) -> Option<Vec<String>> {
    let (_, rest) = engine.split_once("ReplacingMergeTree(")?;
    let mut arguments = vec![String::new()];
    let mut quoted = false;
    for character in rest.chars() {
        match character {
            '\'' => quoted = !quoted,
            ')' if !quoted => break,
            ',' if !quoted => arguments.push(String::new()),
            _ if quoted => {}
            ' ' => {}
            other => arguments.last_mut()?.push(other),
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    let plain = |name: &String| {
        name.chars().all(|character| character.is_alphanumeric() || character == '_')
    };
    (arguments.len() <= 2 && arguments.iter().all(plain)).then_some(arguments)
}

/// SQL over `system.tables` for a number that is a [setting of the
/// table](https://clickhouse.com/docs/operations/settings/merge-tree-settings): its own, else the
/// server's. `engine` is the table's. A setting that the server does not know is 0.
pub(crate) fn merge_tree_setting(engine: &str, setting: &str) -> String {
    let defaults = if is_replicated(engine) {
        "replicated_merge_tree_settings"
    } else {
        "merge_tree_settings"
    };
    // `\b` excludes longer names that end with this one.
    format!(
        "ifNull(toUInt64OrNull(extract(engine_full, '\\\\bSETTINGS .*\\\\b{setting} = (\\\\d+)')), \
         (SELECT max(toUInt64OrZero(value)) FROM system.{defaults} WHERE name = '{setting}'))"
    )
}

/// Whether tables of this engine are replicated: they have their own server-wide settings, and a
/// Keeper holds their block ids.
pub(crate) fn is_replicated(engine: &str) -> bool {
    engine.starts_with("Replicated") || engine.starts_with("Shared")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_stand_in_backquotes() {
        for (text, database, table) in [
            ("t", "d", "t"),
            ("e.t", "e", "t"),
            ("e.a.b", "e", "a.b"),
            ("`a.b`", "d", "a.b"),
            ("e.`a.b`", "e", "a.b"),
            ("`e.f`.t", "e.f", "t"),
            ("`e.f`.`a.b`", "e.f", "a.b"),
            ("`a``b`", "d", "a`b"),
            (r"`a\`b`", "d", "a`b"),
            ("`a", "d", "`a"),
            ("e.`a", "e", "`a"),
        ] {
            let name = TableName::parse(text, "d");
            assert_eq!((name.database.as_str(), name.table.as_str()), (database, table), "{text}");
            assert_eq!(TableName::parse(&name.to_string(), "x"), name, "{name}");
        }
        assert_eq!(TableName::parse("e.a.b", "d").to_string(), "e.`a.b`");
    }

    #[test]
    fn engines_name_their_version_and_their_deleted_flag() {
        let both = Some(("event_ts".to_owned(), "is_deleted".to_owned()));
        assert_eq!(
            version_and_deleted(
                "ReplacingMergeTree(event_ts, is_deleted) PARTITION BY toYYYYMM(t) ORDER BY (a, b)"
            ),
            both
        );
        assert_eq!(
            version_and_deleted(
                "ReplicatedReplacingMergeTree('/a, (b)/{shard}', '{replica}', event_ts, is_deleted) ORDER BY a"
            ),
            both
        );
        for engine in [
            "ReplacingMergeTree(v) ORDER BY (a, b)",
            "ReplacingMergeTree ORDER BY (a, b)",
            "MergeTree ORDER BY a",
            "ReplacingMergeTree(`v x`, d)",
        ] {
            assert_eq!(version_and_deleted(engine), None, "{engine}");
        }
    }
}
