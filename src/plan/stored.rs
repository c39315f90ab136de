//! What is stored of a partition: rows, bytes, and the names of its parts.
//!
//! From [system.parts](https://clickhouse.com/docs/operations/system-tables/parts). A user without
//! the right to read it gets the same from the table itself, except for the bytes.

use serde::Deserialize;

use super::Partition;
use crate::clickhouse::{Connection, Error as ServerError, TableSchema, quote_literal};
use crate::job::statements::NEWEST_BLOCK_OF_PART;

/// What is stored of a partition, versions and deletions not collapsed.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub rows: u64,
    /// Uncompressed; 0 where the server does not tell.
    pub bytes: u64,
    pub parts: u64,
    /// The greatest number of a block of inserted rows: what has a greater one came later.
    pub newest_block: u64,
    /// A SELECT of the parts' names.
    pub names: String,
}

#[derive(Deserialize)]
struct Figures {
    rows: u64,
    bytes: u64,
    parts: u64,
    newest_block: u64,
}

/// Asks for the figures of a partition.
pub(super) async fn stored(
    connection: &Connection,
    table: &TableSchema,
    partition: &Partition,
) -> Result<Stored, ServerError> {
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let partition = quote_literal(partition.id());
    let of_parts = format!(
        "FROM system.parts WHERE active AND database = {database} AND table = {name} AND partition_id = {partition}"
    );
    let sql = format!(
        "SELECT sum(rows) AS rows, sum(data_uncompressed_bytes) AS bytes, count() AS parts, toUInt64(max(max_block_number)) AS newest_block {of_parts}"
    );
    match connection.row::<Figures>("plan", &sql).await {
        Ok(Figures { rows, bytes, parts, newest_block }) => Ok(Stored {
            rows,
            bytes,
            parts,
            newest_block,
            names: format!("SELECT name {of_parts}"),
        }),
        Err(error) if error.is_denied() => {
            tracing::warn!(
                "the user may not read system.parts, so the rows of the partition are counted: GRANT SELECT ON system.parts spares that"
            );
            let of_table =
                format!("FROM {} WHERE _partition_id = {partition}", table.name.quoted());
            let sql = format!(
                "SELECT count() AS rows, toUInt64(0) AS bytes, uniqExact(_part) AS parts, max({NEWEST_BLOCK_OF_PART}) AS newest_block {of_table}"
            );
            let Figures { rows, bytes, parts, newest_block } = connection.row("plan", &sql).await?;
            Ok(Stored {
                rows,
                bytes,
                parts,
                newest_block,
                names: format!("SELECT DISTINCT _part {of_table}"),
            })
        }
        Err(error) => Err(error),
    }
}
