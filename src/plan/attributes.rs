//! Estimating the memory that attributes need, and finding the column by whose ranges both tables can
//! be cut.

use serde::Deserialize;

use super::chunk::ChunkBounds;
use super::key::KeyColumn;
use crate::clickhouse::{
    Connection, Error as ServerError, Settings, literal_list, quote_identifier, quote_literal,
};
use crate::formats::rowbinary::DataType;
use crate::job::statements::{LookupTimes, lookup_from};
use crate::job::{BoundJob, BoundLookup};

/// Bytes of a key and its record in the map, without the attributes (measured: 67 to 72 bytes for
/// UUIDs).
const KEY_BYTES: f64 = 72.0;
/// Rows of the lookup table that are read to estimate the length of attributes.
const SAMPLE_ROWS: u64 = 100_000;

/// Number of rows in the lookup's window and the length of their attributes.
#[derive(Clone, Debug)]
pub(super) struct AttributeStatistics {
    /// Rows in each slot: before the first leading value, at it, between it and the next, and so
    /// on; one slot where there is no leading column.
    pub slots: Vec<u64>,
    /// Estimated bytes of the map for each row.
    pub bytes_per_row: f64,
}

impl AttributeStatistics {
    /// Estimated bytes of the map for the whole window.
    pub(super) fn bytes(&self) -> f64 {
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

/// Counts the window's rows by slots, and measures the attributes of some of them.
pub(super) async fn statistics(
    connection: &Connection,
    lookup: &BoundLookup,
    window: Option<LookupTimes>,
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

/// The longest attributes of a key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct LongestAttributes {
    /// Their bytes in memory, about as many as in RowBinary.
    pub bytes: u64,
    /// The key, as the server writes it.
    pub key: String,
}

/// No value has more bytes in RowBinary.
const LARGEST_VALUE: u64 = 1 << 30;

/// How long the server may search for the longest attributes. A run that meets longer ones than fit
/// fails.
const SEARCH_SECONDS: &str = "30";

/// The longest attributes of the window; `None` where none can have `threshold` bytes, or the search
/// takes too long.
pub(super) async fn longest(
    connection: &Connection,
    lookup: &BoundLookup,
    window: Option<LookupTimes>,
    threshold: u64,
) -> Result<Option<LongestAttributes>, ServerError> {
    let names: Vec<_> = lookup.columns.iter().map(|column| column.name.as_str()).collect();
    if names.is_empty()
        || threshold > LARGEST_VALUE
        || stored_bytes(connection, lookup, &names).await < threshold
    {
        return Ok(None);
    }
    let quoted = |names: &[&str]| {
        names.iter().map(|name| quote_identifier(name).to_string()).collect::<Vec<_>>().join(", ")
    };
    let keys: Vec<_> = lookup.keys.iter().map(|key| key.lookup.as_str()).collect();
    let sql = format!(
        "SELECT max(`bytes of a row`) AS bytes, \
         substringUTF8(toValidUTF8(toString(argMax(`key of a row`, `bytes of a row`))), 1, 200) AS key \
         FROM (SELECT toUInt64(byteSize({})) AS `bytes of a row`, tuple({}) AS `key of a row` {})",
        quoted(&names),
        quoted(&keys),
        lookup_from(lookup, window, None)
    );
    let settings = Settings::common().with("max_execution_time", SEARCH_SECONDS);
    match connection.rows_with::<LongestAttributes>("plan", &sql, &settings).await {
        Ok(rows) => Ok(rows.into_iter().next().filter(|longest| longest.bytes >= threshold)),
        Err(error) if error.code() == Some(TIMEOUT_EXCEEDED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `TIMEOUT_EXCEEDED`
const TIMEOUT_EXCEEDED: u32 = 159;

/// The bytes that these columns have in the whole table; the greatest number where the server does
/// not tell.
async fn stored_bytes(connection: &Connection, lookup: &BoundLookup, names: &[&str]) -> u64 {
    #[derive(Deserialize)]
    struct Stored {
        parts: u64,
        bytes: u64,
    }
    let sql = format!(
        "SELECT count() AS parts, sum(column_data_uncompressed_bytes) AS bytes FROM system.parts_columns \
         WHERE active AND database = {} AND table = {} AND column IN ({})",
        quote_literal(&lookup.table.name.database),
        quote_literal(&lookup.table.name.table),
        literal_list(names)
    );
    match connection.row::<Stored>("plan", &sql).await {
        Ok(Stored { parts, bytes }) if parts > 0 => bytes,
        _ => u64::MAX,
    }
}

/// Counts rows by slot. Slot 2k lies between the leading values k - 1 and k, slot 2k + 1 is the value
/// k itself.
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

/// The first column of the source's primary key, if it is part of the join's key: source rows of a
/// range of it match lookup rows of the same range.
#[derive(Clone, Debug)]
pub(super) struct LeadingColumn {
    /// The lookup's column, quoted.
    pub lookup: String,
    /// The distinct first values of the chunks' bounds, as SQL literals in their order.
    pub values: Vec<String>,
    /// For each bound, the position of its first value.
    pub of_bound: Vec<usize>,
}

impl LeadingColumn {
    /// `None` where the tables share no such column.
    pub(super) fn find(job: &BoundJob, bounds: &ChunkBounds) -> Option<Self> {
        let lookup = job.lookup.as_ref()?;
        let first = bounds.key.first()?;
        let key = lookup.keys.iter().find(|key| key.source == first.name)?;
        let theirs = lookup.table.column(&key.lookup)?;
        if !orders_alike(first, &theirs.type_name) {
            return None;
        }
        let (mut values, mut of_bound) = (Vec::<String>::new(), Vec::new());
        for bound in &bounds.bounds {
            let literal = first.literal(bound.first()?);
            if values.last() != Some(&literal) {
                values.push(literal);
            }
            of_bound.push(values.len() - 1);
        }
        Some(Self { lookup: quote_identifier(&key.lookup).to_string(), values, of_bound })
    }

    /// The position of the leading value of the bound below this chunk: chunk n lies between the
    /// bounds n - 1 and n.
    pub(super) fn below(&self, chunk: usize) -> Option<usize> {
        chunk.checked_sub(1).and_then(|bound| self.of_bound.get(bound).copied())
    }
}

/// Whether both columns order values alike: they have the same type, apart from dictionaries and
/// NULLs.
fn orders_alike(ours: &KeyColumn, theirs: &str) -> bool {
    let (Ok(ours), Ok(theirs)) = (DataType::parse(&ours.type_name), DataType::parse(theirs)) else {
        return false;
    };
    let plain = |parsed: &DataType| parsed.strip_low_cardinality().strip_nullable().clone();
    plain(&ours) == plain(&theirs)
}
