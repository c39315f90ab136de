//! Estimating how much memory the attributes of a part of the lookup table will take.

use serde::Deserialize;

use super::leading::LeadingColumn;
use crate::clickhouse::{Connection, Error as ServerError, Settings, quote_identifier};
use crate::job::BoundLookup;
use crate::job::statements::{LookupWindow, lookup_from};

/// What the map takes for a key and its record, beside the attributes' bytes (measured: 67 to 72
/// bytes in all for UUIDs).
const KEY_BYTES: f64 = 72.0;
/// Rows of the lookup table from which the attributes' length is estimated.
const SAMPLE_ROWS: u64 = 100_000;

/// Rows of the lookup's window, and how long their attributes are.
#[derive(Clone, Debug)]
pub(super) struct AttributeStatistics {
    /// Rows in each slot: before the first leading value, at it, between it and the next, and so
    /// on; one slot where there is no leading column.
    pub slots: Vec<u64>,
    /// Bytes of the map a row, estimated.
    pub bytes_per_row: f64,
}

impl AttributeStatistics {
    /// Bytes of the map for all of the window.
    pub fn bytes(&self) -> f64 {
        self.slots.iter().sum::<u64>() as f64 * self.bytes_per_row
    }
}

#[derive(Deserialize)]
struct SlotRow {
    slot: usize,
    rows: u64,
}

#[derive(Deserialize)]
struct Length {
    bytes: Option<f64>,
}

/// Counts the window's rows by slots, and measures the attributes of a few.
pub(super) async fn statistics(
    connection: &Connection,
    lookup: &BoundLookup,
    window: Option<LookupWindow>,
    leading: Option<&LeadingColumn>,
) -> Result<AttributeStatistics, ServerError> {
    let from = lookup_from(lookup, window, None);
    let slots = if let Some(leading) = leading {
        slots(connection, leading, &from).await?
    } else {
        let rows = connection
            .rows::<SlotRow>("plan", &format!("SELECT 0 AS slot, count() AS rows {from}"))
            .await?;
        vec![rows.first().map_or(0, |row| row.rows)]
    };
    let columns: Vec<_> =
        lookup.columns.iter().map(|column| quote_identifier(&column.name).to_string()).collect();
    let attributes = if columns.is_empty() {
        0.0
    } else {
        let list = columns.join(", ");
        // The length in RowBinary, which is how attributes are kept.
        let sql = format!(
            "SELECT avgOrNull(length(formatRow('RowBinary', {list}))) AS bytes FROM (SELECT {list} {from} LIMIT {SAMPLE_ROWS})"
        );
        connection.row::<Length>("plan", &sql).await?.bytes.unwrap_or_default()
    };
    Ok(AttributeStatistics { slots, bytes_per_row: KEY_BYTES + attributes })
}

/// Slot 2k is what lies before leading value k (and behind the one before), slot 2k + 1 is that
/// value itself.
async fn slots(
    connection: &Connection,
    leading: &LeadingColumn,
    from: &str,
) -> Result<Vec<u64>, ServerError> {
    let LeadingColumn { lookup, values, .. } = leading;
    let mut slots = vec![0; 2 * values.len() + 1];
    let slot = if values.is_empty() {
        "0".to_owned()
    } else {
        let list = values.join(", ");
        format!("2 * arrayCount(value -> value < key, [{list}]) + has([{list}], key)")
    };
    let sql = format!(
        "SELECT toUInt64({slot}) AS slot, sum(rows) AS rows FROM (SELECT {lookup} AS key, count() AS rows {from} GROUP BY key) WHERE key IS NOT NULL GROUP BY slot"
    );
    let settings = Settings::common().with("max_query_size", &(sql.len() + 1024).to_string());
    for SlotRow { slot, rows } in connection.rows_with::<SlotRow>("plan", &sql, &settings).await? {
        if let Some(place) = slots.get_mut(slot) {
            *place += rows;
        }
    }
    Ok(slots)
}
