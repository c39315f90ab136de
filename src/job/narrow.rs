//! Which tables are read by their winners first.
//!
//! FINAL keeps a decompressed block of each column of each part in memory while it merges rows that
//! share a key. A *narrow* read finds the winners by FINAL over the few columns that decide, and reads
//! all columns of those rows alone, without FINAL: the same rows for a fifth of the memory. A row is
//! recognized by its position among the rows of all parts, so both reads, which are one statement,
//! must see the same parts. Servers that cannot promise that are read by plain FINAL.

use serde::Deserialize;

use crate::clickhouse::{Connection, Error as ServerError, Settings, TableSchema, quote_literal};

/// The setting under which all reads of one statement see the same parts of a table.
const SHARED_SNAPSHOT: &str = "enable_shared_storage_snapshot_in_query";
/// SQL for the position of a row among the rows of all parts that the statement sees.
const POSITION: &str = "(_part_starting_offset + _part_offset)";
/// From this many uncompressed bytes a row on, a narrow read needs less of the server's CPU. Below 500, it
/// needs a tenth to a half more, and saves little memory.
const MIN_ROW_BYTES: u32 = 1000;

/// Whether a narrow read of this table sees one snapshot and costs less than FINAL.
///
/// # Errors
/// Those of the query.
pub(crate) async fn is_read_narrow(
    connection: &Connection,
    table: &TableSchema,
) -> Result<bool, ServerError> {
    #[derive(Deserialize)]
    struct Answer {
        yes: u8,
    }
    // FINAL of other engines makes rows that no part has.
    let plain = table.engine.trim_start_matches("Replicated");
    if plain != "ReplacingMergeTree" {
        return Ok(false);
    }
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let is_shared = format!(
        "SELECT count() > 0 AS yes FROM system.settings WHERE name = '{SHARED_SNAPSHOT}' AND (value = '1' OR readonly = 0)"
    );
    let is_wide = format!(
        "SELECT count() > 0 AS yes FROM system.tables WHERE database = {database} AND name = {name} \
         AND total_rows > 0 AND total_bytes_uncompressed >= {MIN_ROW_BYTES} * total_rows"
    );
    // Older servers do not have what the later questions name.
    for sql in [is_shared, is_wide] {
        if connection.row::<Answer>("narrow", &sql).await?.yes == 0 {
            return Ok(false);
        }
    }
    let position = format!("SELECT {POSITION} FROM {} LIMIT 0", table.name.quoted());
    Ok(connection.execute("narrow", &position, &Settings::read()).await.is_ok())
}

/// `WHERE …` for the rows of `table` that meet `predicate` and are among the `winners`, which is made
/// of `FROM … FINAL WHERE …` over the same table.
pub(crate) fn narrow(predicate: &str, winners: &str) -> String {
    format!(
        "WHERE {predicate}\n  AND {POSITION} IN (\n    SELECT {POSITION}\n    {}\n  )",
        winners.replace('\n', "\n    ")
    )
}

/// The settings of a statement, with those of a narrow read if it has one.
pub(crate) fn narrow_settings(settings: Settings, narrow: bool) -> Settings {
    if !narrow {
        return settings;
    }
    // The cache would keep which granules an earlier set of positions lay in.
    settings.with(SHARED_SNAPSHOT, "1").with("use_query_condition_cache", "0")
}
