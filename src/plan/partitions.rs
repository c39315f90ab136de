//! Which partitions a table has.
//!
//! From [system.parts](https://clickhouse.com/docs/operations/system-tables/parts). A user without
//! the right to read it gets the same from the table itself.

use serde::{Deserialize, Serialize};

use crate::clickhouse::{Connection, Error as ServerError, TableName, quote_literal};

/// What is stored of one partition, versions and deletions not collapsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPartition {
    /// The partition's id.
    pub id: String,
    /// Its rows.
    pub rows: u64,
}

/// The partitions of a table that have rows, by their ids.
pub async fn partitions(
    connection: &Connection,
    table: &TableName,
) -> Result<Vec<StoredPartition>, ServerError> {
    let (database, name) = (quote_literal(&table.database), quote_literal(&table.table));
    let sql = format!(
        "SELECT partition_id AS id, sum(rows) AS rows FROM system.parts
         WHERE active AND database = {database} AND table = {name} GROUP BY id HAVING rows > 0 ORDER BY id"
    );
    match connection.rows("plan", &sql).await {
        Err(error) if error.is_denied() => {
            let sql = format!(
                "SELECT _partition_id AS id, count() AS rows FROM {} GROUP BY id ORDER BY id",
                table.quoted()
            );
            connection.rows("plan", &sql).await
        }
        found => found,
    }
}
