//! The error of lookup maps.

use thiserror::Error;

/// Why a row cannot be stored or looked up.
///
/// After an error from [`insert`](super::LookupMap::insert) the map is consistent: it has every row
/// but the rejected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The row does not have the map's number of columns.
    #[error("a lookup row has {found} {side} columns, the map expects {expected}")]
    ColumnCount {
        /// `key` or `attribute`.
        side: &'static str,
        /// The number of columns of the map.
        expected: usize,
        /// The number of columns of the row.
        found: usize,
    },

    /// The ends of the columns are not ascending, or do not end where the bytes end.
    #[error("the {side} column ends of a lookup row do not fit its {length} bytes")]
    ColumnEnds {
        /// `key` or `attribute`.
        side: &'static str,
        /// The number of bytes of all columns of that side.
        length: usize,
    },

    /// A key or record is longer than offsets in a record can address (4 GiB).
    #[error("a lookup row of {length} bytes is too large for the map")]
    RowTooLarge {
        /// The number of bytes of the row.
        length: usize,
    },

    /// A shard has used all of its addresses (4 GiB of records).
    #[error(
        "the lookup map is full: one of its {shards} shards has no address left, use more and smaller waves"
    )]
    Full {
        /// The number of shards of the map.
        shards: usize,
    },

    /// An allocation failed.
    #[error("out of memory: the lookup map could not allocate {bytes} bytes")]
    OutOfMemory {
        /// The number of bytes of the failed allocation.
        bytes: usize,
    },

    /// The result is of another map.
    #[error("a lookup result was used with a map that did not return it")]
    ForeignResult,
}
