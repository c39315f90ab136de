//! Blocks of ClickHouse's [Native] format, built from rows of RowBinary.
//!
//! The server parses a block of columns in about half the time that the same rows take it. A block holds what the rows hold, the
//! other way round: each column's values lie together. Most values have the same bytes in both formats, so that building a
//! block is copying the bytes of each value to the end of its column, without decoding them.
//!
//! - [`NativeLayout`] is the list of the block's columns; it says which types cannot travel in this way;
//! - [`BlockBuilder`] takes rows and gives blocks;
//! - `column` holds the column of each kind of type, `pieces` the buffers that they are made of, `bytes` reads the rows.
//!
//! It leaves to others where the rows come from, and what a block is inserted into. An insert of blocks must say
//! `input_format_skip_unknown_fields = 0`: ClickHouse matches the columns of a block by their names, and drops those that it
//! does not know without a word.
//!
//! [Native]: https://clickhouse.com/docs/interfaces/formats/Native

mod block;
mod bytes;
mod column;
mod error;
mod layout;
mod output;
mod pieces;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use block::BlockBuilder;
pub use error::{MalformedRow, MalformedRowKind, UnsupportedNative, UnsupportedReason};
pub use layout::NativeLayout;
