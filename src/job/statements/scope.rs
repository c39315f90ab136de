//! Which part of the data a statement is about.

use crate::clickhouse::{Quoted, quote_literal};
use crate::job::BoundLookup;

/// A partition, or a range of it, with the lookup's window that belongs to it.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The source's partition id, as in `_partition_id`.
    pub partition_id: String,
    /// A predicate over the source's sorting key, already quoted; `None` for the whole partition.
    pub range: Option<String>,
    /// The part of the lookup table that is considered.
    pub window: Option<LookupWindow>,
    /// The part of the join's keys that is considered; `None` for all.
    pub bucket: Option<Bucket>,
}

/// The keys whose hash leaves this remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The remainder, below `count`.
    pub index: u32,
    /// The divisor.
    pub count: u32,
}

impl Bucket {
    /// The predicate over the key's columns, given as SQL. In a tuple a NULL has a hash, so that
    /// rows without a key are in a bucket too.
    pub(super) fn predicate(self, keys: impl Iterator<Item = String>) -> String {
        format!(
            "cityHash64(tuple({})) % {} = {}",
            keys.collect::<Vec<_>>().join(", "),
            self.count,
            self.index
        )
    }
}

impl Scope {
    /// The same, limited to a part of the join's keys.
    #[must_use]
    pub fn in_bucket(&self, bucket: Option<Bucket>) -> Self {
        Self { bucket, ..self.clone() }
    }

    /// The same partition and window, limited to a range of the sorting key.
    #[must_use]
    pub fn within(&self, range: Option<&str>) -> Self {
        Self { range: range.map(str::to_owned), ..self.clone() }
    }

    /// The predicate on the source. Partitions are named by their id: a predicate on the time would
    /// not find rows before 1970, since `toDate` wraps.
    pub(super) fn predicate(&self) -> String {
        let partition: Quoted = quote_literal(&self.partition_id);
        match &self.range {
            Some(range) => format!("_partition_id = {partition} AND ({range})"),
            None => format!("_partition_id = {partition}"),
        }
    }
}

/// A closed span of the lookup's time column, in microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupWindow {
    /// The earliest time.
    pub from: i64,
    /// The latest time.
    pub to: i64,
}

/// Times up to this many microseconds since 1970 fit into every time type: 2106-01-01 is the last
/// whole year of `DateTime`.
const SAFE_UNTIL: i64 = 4_291_747_200_000_000;

impl LookupWindow {
    /// The predicate on the lookup's time column.
    ///
    /// Where the window leaves the years 1970 to 2105 the column is hidden from the primary index
    /// by `identity`: `toDate` in a sorting key wraps there, and granules would be skipped that
    /// hold rows of the window.
    pub(super) fn predicate(self, lookup: &BoundLookup) -> Option<String> {
        let window = lookup.window.as_ref()?;
        let column = crate::clickhouse::quote_identifier(&window.column);
        let safe = self.from >= 0 && self.to < SAFE_UNTIL;
        let column = if safe { column.to_string() } else { format!("identity({column})") };
        let time =
            |microseconds: i64| format!("fromUnixTimestamp64Micro(toInt64({microseconds}), 'UTC')");
        Some(format!("{column} >= {} AND {column} <= {}", time(self.from), time(self.to)))
    }
}
