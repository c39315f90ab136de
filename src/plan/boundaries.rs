//! Finding the bounds of chunks in the server's metadata of parts and primary keys.

use serde::Deserialize;

use super::chunk::{Bound, Chunk, ChunkBounds, decode_hex, predicate};
use super::error::PlanError;
use super::key::{KeyColumn, bounding_prefix};
use super::partition::Partition;
use crate::clickhouse::{
    Connection, Described, Error as ServerError, ErrorClass, Settings, TableSchema,
    quote_identifier, quote_literal,
};

/// Finds bounds such that there are about `chunk_rows` rows, versions not collapsed, between each
/// two.
///
/// From [mergeTreeIndex](https://clickhouse.com/docs/sql-reference/table-functions/mergeTreeIndex),
/// which reads no rows. A user without the right to it gets one chunk, which is correct but slower.
/// `usable` gives the columns of the key that bounds may be in.
pub(super) async fn boundaries(
    connection: &Connection,
    table: &TableSchema,
    stored: &Stored,
    chunk_rows: u64,
    usable: impl FnOnce(Vec<KeyColumn>) -> Vec<KeyColumn>,
) -> Result<ChunkBounds, PlanError> {
    match from_index(connection, table, stored, chunk_rows, usable).await {
        Ok(boundaries) => Ok(boundaries),
        Err(error)
            if matches!(error, ServerError::Server { .. })
                && error.class() == ErrorClass::Fatal =>
        {
            tracing::warn!(%error, "the primary index cannot be read, so the partition is read as one chunk");
            Ok(ChunkBounds::default())
        }
        Err(source) => Err(PlanError::Server {
            what: "reading the primary index",
            table: table.name.clone(),
            source,
        }),
    }
}

#[derive(Deserialize)]
struct Row {
    bound: Vec<String>,
}

/// Quotes a key column that is a column of the table; any other is an expression and stays as the
/// server writes it.
fn key_column(table: &TableSchema, described: Described) -> KeyColumn {
    let Described { name, type_name } = described;
    let expression = if table.column(&name).is_some() {
        quote_identifier(&name).to_string()
    } else {
        name.clone()
    };
    KeyColumn { name, expression, type_name }
}

/// Checks that bounds of an earlier plan fit the table's present primary key.
///
/// # Errors
/// [`PlanError::OtherKey`] if the bounds are in other columns, and [`PlanError::Server`].
pub(super) async fn check_bounds(
    connection: &Connection,
    table: &TableSchema,
    bounds: &ChunkBounds,
) -> Result<(), PlanError> {
    if bounds.bounds.is_empty() && bounds.key.is_empty() {
        return Ok(());
    }
    let asked = bounding_key(connection, table).await;
    let key = asked.map_err(|source| PlanError::Server {
        what: "reading the primary key",
        table: table.name.clone(),
        source,
    })?;
    if bounds.is_whole() && key.starts_with(&bounds.key) {
        return Ok(());
    }
    let text = |key: &[KeyColumn]| match key {
        [] => "nothing".to_owned(),
        key => key
            .iter()
            .map(|column| format!("{} {}", column.expression, column.type_name))
            .collect::<Vec<_>>()
            .join(", "),
    };
    Err(PlanError::OtherKey {
        table: table.name.clone(),
        bounds: text(&bounds.key),
        key: text(&key),
    })
}

/// The table function that shows the primary index.
fn index_of(table: &TableSchema) -> String {
    format!(
        "mergeTreeIndex({}, {})",
        quote_literal(&table.name.database),
        quote_literal(&table.name.table)
    )
}

/// The leading key columns in which this table's chunks have bounds.
async fn bounding_key(
    connection: &Connection,
    table: &TableSchema,
) -> Result<Vec<KeyColumn>, ServerError> {
    let described =
        connection.rows::<Described>("plan", &format!("DESCRIBE {}", index_of(table))).await?;
    let columns =
        described.into_iter().skip_while(|column| column.name != "rows_in_granule").skip(1);
    Ok(bounding_prefix(columns.map(|column| key_column(table, column)).collect()))
}

async fn from_index(
    connection: &Connection,
    table: &TableSchema,
    stored: &Stored,
    chunk_rows: u64,
    usable: impl FnOnce(Vec<KeyColumn>) -> Vec<KeyColumn>,
) -> Result<ChunkBounds, ServerError> {
    let index = index_of(table);
    let key = usable(bounding_key(connection, table).await?);
    if key.is_empty() {
        return Ok(ChunkBounds::default());
    }
    let (list, texts) = (names(&key), bound_texts(&key));
    // The granules of all parts in the key's order; each chunk begins behind the first granule that
    // reaches its share of the rows.
    let sql = format!(
        "SELECT [{texts}] AS bound FROM (
            SELECT intDiv(rows_before, {chunk_rows}) AS chunk, min(tuple({list})) AS first FROM (
                SELECT {list}, sum(rows_in_granule) OVER (ORDER BY {list} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - rows_in_granule AS rows_before
                FROM {index}
                WHERE part_name IN ({})
                    AND rows_in_granule > 0
            ) GROUP BY chunk HAVING chunk > 0
        ) GROUP BY first ORDER BY first",
        stored.names
    );
    let bounds = bounds_of(connection, &sql).await?;
    Ok(ChunkBounds { key, bounds, ..ChunkBounds::default() })
}

/// The columns of a key in the index, as a list.
fn names(key: &[KeyColumn]) -> String {
    let names: Vec<_> =
        key.iter().map(|column| quote_identifier(&column.name).to_string()).collect();
    names.join(", ")
}

/// The values of the tuple `first` as hexadecimal texts, as a list.
fn bound_texts(key: &[KeyColumn]) -> String {
    let text = |(position, column): (usize, &KeyColumn)| {
        format!("hex({})", column.text_of(&format!("tupleElement(first, {})", position + 1)))
    };
    let texts: Vec<_> = key.iter().enumerate().map(text).collect();
    texts.join(", ")
}

async fn bounds_of(connection: &Connection, sql: &str) -> Result<Vec<Bound>, ServerError> {
    let rows = connection.rows_with::<Row>("plan", sql, &Settings::common()).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.bound.iter().map(|text| decode_hex(text)).collect::<Option<Bound>>())
        .collect())
}

/// Finds cuts that divide a chunk into about this many parts of equal size; none where it lies within
/// one granule, or the primary index cannot be read.
///
/// # Errors
/// The server's error.
pub(crate) async fn cuts(
    connection: &Connection,
    table: &TableSchema,
    partition: &Partition,
    key: &[KeyColumn],
    chunk: &Chunk,
    parts: usize,
) -> Result<Vec<Bound>, ServerError> {
    if key.is_empty() {
        return Ok(Vec::new());
    }
    let stored = stored(connection, table, partition).await?;
    // In the index, an expression of the key is a column.
    let index_key: Vec<_> = key
        .iter()
        .map(|column| KeyColumn {
            expression: quote_identifier(&column.name).to_string(),
            ..column.clone()
        })
        .collect();
    let (above, until) = (chunk.limits.0.as_ref(), chunk.limits.1.as_ref());
    let range = predicate(&index_key, above, until).unwrap_or_else(|| "1".to_owned());
    let (list, texts) = (names(key), bound_texts(key));
    let sql = format!(
        "SELECT [{texts}] AS bound FROM (
            SELECT intDiv(rows_before * {parts}, all_rows) AS part, min(tuple({list})) AS first FROM (
                SELECT {list}, sum(rows_in_granule) OVER (ORDER BY {list} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - rows_in_granule AS rows_before,
                    sum(rows_in_granule) OVER () AS all_rows
                FROM {}
                WHERE part_name IN ({})
                    AND rows_in_granule > 0
                    AND ({range})
            ) GROUP BY part HAVING part > 0
        ) GROUP BY first ORDER BY first",
        index_of(table),
        stored.names
    );
    let mut cuts = bounds_of(connection, &sql).await?;
    // Nothing would lie above it.
    cuts.retain(|cut| Some(cut) != until);
    Ok(cuts)
}

/// The parts of a partition; versions and deletions are not collapsed.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub rows: u64,
    /// Uncompressed; 0 if unknown.
    pub bytes: u64,
    pub parts: u64,
    /// The greatest number of a block or of a mutation; rows with a greater one were written later.
    pub newest_block: u64,
    /// The greatest number of a mutation or of a lightweight UPDATE; 0 if there is none.
    pub newest_update: u64,
    /// A SELECT of the parts' names.
    pub names: String,
}

/// SQL for the greatest number of a block or a mutation over rows of `system.parts`. Mutations take
/// numbers of blocks.
const NEWEST_CHANGE: &str = "toUInt64(max(greatest(toUInt64(max_block_number), data_version)))";
/// The same for the name of the part that a row lies in.
const NEWEST_CHANGE_OF_PART: &str = "greatest(toUInt64OrZero(splitByChar('_', _part)[3]), toUInt64OrZero(splitByChar('_', _part)[5]))";

/// SQL for the number of the mutation or of the lightweight UPDATE over rows of `system.parts`; 0 for
/// parts without one.
const UPDATE: &str = "multiIf(startsWith(partition_id, 'patch-'), toUInt64(max_block_number), data_version > toUInt64(min_block_number), data_version, 0)";
/// The same for the name of the part that a row lies in.
const UPDATE_OF_PART: &str = "toUInt64OrZero(splitByChar('_', _part)[5])";

#[derive(Deserialize)]
struct Figures {
    rows: u64,
    bytes: u64,
    parts: u64,
    newest_block: u64,
    newest_update: u64,
}

/// Reads the parts of a partition from
/// [system.parts](https://clickhouse.com/docs/operations/system-tables/parts), or, without the right
/// to it, from the table itself, which does not give the bytes.
pub(crate) async fn stored(
    connection: &Connection,
    table: &TableSchema,
    partition: &Partition,
) -> Result<Stored, ServerError> {
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let of_table = format!(
        "FROM system.parts AS part WHERE active AND database = {database} AND table = {name}"
    );
    // A lightweight UPDATE or DELETE leaves a part with the changed columns, in a partition of its own.
    let patches = format!(
        "startsWith(partition_id, 'patch-') AND endsWith(partition_id, {})",
        quote_literal(&format!("-{}", partition.id()))
    );
    let partition = quote_literal(partition.id());
    let own = format!("partition_id = {partition}");
    let sql = format!(
        "SELECT sumIf(part.rows, {own}) AS rows, sumIf(data_uncompressed_bytes, {own}) AS bytes, countIf({own}) AS parts, \
         {NEWEST_CHANGE} AS newest_block, toUInt64(max({UPDATE})) AS newest_update {of_table} AND ({own} OR {patches})"
    );
    let of_parts = format!("{of_table} AND {own}");
    match connection.row::<Figures>("plan", &sql).await {
        Ok(Figures { rows, bytes, parts, newest_block, newest_update }) => Ok(Stored {
            rows,
            bytes,
            parts,
            newest_block,
            newest_update,
            names: format!("SELECT name {of_parts}"),
        }),
        Err(error) if error.is_access_denied() => {
            tracing::warn!(
                "the user may not read system.parts, so the rows of the partition are counted; GRANT SELECT ON system.parts avoids that"
            );
            let of_table =
                format!("FROM {} WHERE _partition_id = {partition}", table.name.quoted());
            let sql = format!(
                "SELECT count() AS rows, toUInt64(0) AS bytes, uniqExact(_part) AS parts, max({NEWEST_CHANGE_OF_PART}) AS newest_block, \
                 max({UPDATE_OF_PART}) AS newest_update {of_table}"
            );
            let Figures { rows, bytes, parts, newest_block, newest_update } =
                connection.row("plan", &sql).await?;
            Ok(Stored {
                rows,
                bytes,
                parts,
                newest_block,
                newest_update,
                names: format!("SELECT DISTINCT _part {of_table}"),
            })
        }
        Err(error) => Err(error),
    }
}
