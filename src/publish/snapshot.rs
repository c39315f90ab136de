//! A copy of a partition of the source, by hard links, that stays as it is while a run reads it.
//!
//! Nothing of it is recorded but its name, which has the id of the run: the partition is attached in one
//! step, so a copy with rows is whole, and one without is made again.

use serde::Deserialize;

use super::PublishError;
use super::rights::{Right, not_granted};
use super::tables::PublishTables;
use crate::clickhouse::{
    Connection, Error as ServerError, Settings, TableName, TableSchema, is_replicated,
    quote_literal,
};

/// The code of a TTL that cannot be removed, since there is none.
const NO_TTL: u32 = 36;

/// The name of a run's copy of a partition of the source.
pub(crate) fn snapshot_name(source: &TableName, run_id: &str) -> String {
    format!("{}_snap_{run_id}", source.table)
}

/// A run's copy of a partition of the source, beside the source.
pub(crate) struct Snapshot<'a> {
    pub connection: &'a Connection,
    pub source: &'a TableName,
    pub run_id: &'a str,
}

impl Snapshot<'_> {
    /// The table.
    pub(crate) fn table(&self) -> TableName {
        self.tables().beside(&snapshot_name(self.source, self.run_id))
    }

    fn tables(&self) -> PublishTables<'_> {
        PublishTables { connection: self.connection, target: self.source }
    }

    /// Whether it has been made.
    pub(crate) async fn is_made(&self) -> Result<bool, PublishError> {
        #[derive(Deserialize)]
        struct Stored {
            rows: Option<u64>,
        }
        let table = self.table();
        let sql = format!(
            "SELECT total_rows AS rows FROM system.tables WHERE database = {} AND name = {}",
            quote_literal(&table.database),
            quote_literal(&table.table)
        );
        let found = self.connection.rows::<Stored>("snapshot", &sql).await;
        let found = found.map_err(PublishError::of("asking for the rows of", &table))?;
        Ok(found.iter().any(|stored| stored.rows.is_some_and(|rows| rows > 0)))
    }

    /// Makes it, in place of one that was begun.
    pub(crate) async fn make(&self, partition_id: &str) -> Result<(), PublishError> {
        let (table, tables) = (self.table(), self.tables());
        tables.drop_table(&table).await?;
        create_copy(self.connection, self.source, &table).await?;
        tables.attach(&table, &[partition_id.to_owned()], self.source).await
    }
}

/// Creates an empty table like the source whose parts stay as they are.
pub(super) async fn create_copy(
    connection: &Connection,
    source: &TableName,
    copy: &TableName,
) -> Result<(), PublishError> {
    let execute = async |sql: &str| connection.execute("create", sql, &Settings::common()).await;
    let failed = |error| PublishError::of("preparing", copy)(error);
    let sql = format!("CREATE TABLE {} AS {}", copy.quoted(), source.quoted());
    execute(&sql).await.map_err(failed)?;
    // A TTL would remove rows of the copy.
    match execute(&format!("ALTER TABLE {} REMOVE TTL", copy.quoted())).await {
        Err(error) if error.code() != Some(NO_TTL) => {
            return Err(PublishError::of("removing the TTL of", copy)(error));
        }
        _ => {}
    }
    // Merged parts would take disk.
    execute(&format!("SYSTEM STOP MERGES {}", copy.quoted())).await.map_err(failed)
}

/// Drops the copies of these runs, where they are.
///
/// # Errors
/// Those of the statements.
pub(crate) async fn drop_snapshots(
    connection: &Connection,
    source: &TableName,
    run_ids: impl Iterator<Item = &str>,
) -> Result<(), PublishError> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = {} AND startsWith(name, {})",
        quote_literal(&source.database),
        quote_literal(&snapshot_name(source, ""))
    );
    let found = connection.rows::<Named>("snapshot", &sql).await;
    let found = found.map_err(PublishError::of("looking for copies of", source))?;
    let tables = PublishTables { connection, target: source };
    for run_id in run_ids {
        let name = snapshot_name(source, run_id);
        if found.iter().any(|named| named.name == name) {
            tables.drop_table(&tables.beside(&name)).await?;
        }
    }
    Ok(())
}

/// Why no copy of this table can be made; `None` if one can.
pub(crate) fn snapshot_obstacle(source: &TableSchema) -> Option<String> {
    let TableSchema { name, engine, .. } = source;
    if !source.is_merge_tree() {
        return Some(format!(
            "{name} is {engine}, and only partitions of a MergeTree can be copied by hard links"
        ));
    }
    is_replicated(engine).then(|| {
        format!("{name} is {engine}: each replica has parts of its own, so a copy may lack rows that another replica has")
    })
}

/// The rights that the user of the source lacks to make a copy of it.
///
/// # Errors
/// The server cannot be asked.
pub(crate) async fn missing_rights_of_snapshot(
    connection: &Connection,
    source: &TableSchema,
    table: &TableName,
) -> Result<Vec<String>, ServerError> {
    let copy = "CREATE TABLE, DROP TABLE, SELECT, INSERT, ALTER TTL, SYSTEM MERGES";
    let needed = vec![
        Right::on("SELECT", &source.name),
        Right::of_engine(&source.engine),
        Right::beside(copy, table),
    ];
    not_granted(connection, needed).await
}
