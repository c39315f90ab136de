//! Blocks of ClickHouse's [Native] format, built from rows of RowBinary.
//!
//! The server parses a block of columns in about half the time that the same rows take it. A block
//! holds what the rows hold, the other way round: each column's values lie together. Most values
//! have the same bytes in both formats, so that building a block is copying the bytes of each value
//! to the end of its column, without decoding them.
//!
//! - [`NativeLayout`] is the list of the block's columns; it says which types cannot travel in this
//!   way;
//! - [`BlockBuilder`] takes rows and gives blocks;
//! - `column` holds the column of each kind of type, `pieces` the buffers that they are made of,
//!   `read` takes values off the rows, `output` puts the block together.
//!
//! It leaves to others where the rows come from, and what a block is inserted into. An insert of
//! blocks must carry [`INSERT_SETTINGS`]: ClickHouse matches the columns of a block by their names,
//! and without them drops those that it does not know without a word.
//!
//! [Native]: https://clickhouse.com/docs/interfaces/formats/Native

mod block;
mod column;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod output;
mod pieces;
mod read;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use block::BlockBuilder;
pub use error::{MalformedRow, MalformedRowKind, UnsupportedNative, UnsupportedReason};
pub use layout::NativeLayout;

/// The settings (name and value) without which an insert of blocks would not mean what the same
/// rows mean: a column that the structure does not have or has with another type is an error, and
/// the types' names are texts.
///
/// See [format
/// settings](https://clickhouse.com/docs/operations/settings/formats#input_format_skip_unknown_fields).
pub const INSERT_SETTINGS: [(&str, &str); 3] = [
    ("input_format_skip_unknown_fields", "0"),
    ("input_format_native_allow_types_conversion", "0"),
    ("input_format_native_decode_types_in_binary_format", "0"),
];
