//! What can go wrong while a lookup map is filled or read.

use thiserror::Error;

/// Why a row could not be kept, or an answer not be given.
///
/// A map that returned an error from [`insert`](super::LookupMap::insert) is still consistent: the
/// row that failed is not in it, every other row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LookupError {
    /// The row has another number of columns than the map was made for.
    #[error("a lookup row has {found} {side} columns, the map expects {expected}")]
    ColumnCount {
        /// `key` or `attribute`.
        side: &'static str,
        /// Columns the map was made for.
        expected: usize,
        /// Columns the row has.
        found: usize,
    },

    /// The ends of the columns do not rise, or do not end where the bytes end.
    #[error("the {side} column ends of a lookup row do not fit its {length} bytes")]
    ColumnEnds {
        /// `key` or `attribute`.
        side: &'static str,
        /// Bytes of all columns of that side together.
        length: usize,
    },

    /// One key or one record is longer than an offset inside a record can say (4 GiB).
    #[error("a lookup row of {length} bytes is too large for the map")]
    RowTooLarge {
        /// Bytes of the row, as counted when it was refused.
        length: usize,
    },

    /// A shard has used all of its addresses (4 GiB of records each).
    #[error(
        "the lookup map is full: one of its {shards} shards has no address left, use more and smaller waves"
    )]
    Full {
        /// Shards the map has.
        shards: usize,
    },

    /// The allocator refused.
    #[error("out of memory while {bytes} bytes were asked for by the lookup map")]
    OutOfMemory {
        /// Bytes of the refused request.
        bytes: usize,
    },

    /// The answer comes from another map, whose records this one does not have.
    #[error("a lookup result was used with a map that did not give it")]
    ForeignResult,
}
