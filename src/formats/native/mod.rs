//! Blocks of ClickHouse's [Native] format: built from rows of RowBinary, or read and passed on.
//!
//! The server parses a block in about half the time it needs for the same rows in RowBinary. In a
//! block, the values of a column are contiguous. Most values have the same bytes in both formats, so
//! building a block copies each value to the end of its column without decoding it.
//!
//! - [`NativeLayout`] is the list of the columns of a block that is sent;
//! - [`BlockBuilder`] builds blocks from rows;
//! - [`SourceLayout`] is the list of the columns of a block that is read;
//! - [`BlockReader`] cuts a stream into [`SourceBlock`]s, in [`BlockBuffers`];
//! - [`BlockExtender`] makes blocks of their columns as they came and of values for other columns.
//!
//! A stream of blocks must be read with the [`READ_SETTINGS`]. An insert of blocks must have the [`INSERT_SETTINGS`]: ClickHouse matches the columns of a block
//! by name, and silently drops unknown ones by default.
//!
//! [Native]: https://clickhouse.com/docs/interfaces/formats/Native

mod block;
mod buffer;
mod column;
mod dictionary;
#[doc(hidden)]
pub(crate) mod fuzzing;
mod read;
#[cfg(test)]
mod reference;
mod scan;
mod shape;
mod source;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use block::MalformedRow;
pub use block::{BlockBuilder, NativeLayout};
pub(crate) use buffer::BlockBuffers;
pub(crate) use scan::{BlockError, BlockReader};
pub(crate) use source::{
    BlockExtender, ExtendError, MalformedColumn, SourceBlock, SourceLayout, SourceRows,
};

/// The version of a `JSON` serialization: values are strings.
const JSON_AS_STRING: u64 = 1;
/// The mode of `Variant` discriminators: one for each value.
const PLAIN_DISCRIMINATORS: u64 = 0;
/// The version of a `LowCardinality` serialization: the block has the distinct values.
const DICTIONARY_WITH_KEYS: u64 = 1;
/// The flags beside the index width of a `LowCardinality`: the distinct values follow, and values of
/// earlier blocks are not used.
const DICTIONARY_FLAGS: u64 = 1 << 9 | 1 << 10;
/// The discriminator of a NULL `Variant`, in both formats.
const NULL_DISCRIMINATOR: u8 = 255;

/// The settings (name and value) with which a stream of blocks is read: type names are text, and
/// `LowCardinality` columns have dictionaries.
pub(crate) const READ_SETTINGS: [(&str, &str); 2] = [
    ("output_format_native_encode_types_in_binary_format", "0"),
    ("low_cardinality_allow_in_native_format", "1"),
];
/// The setting (name and value) in addition where a column contains a `JSON`: its values are strings.
pub(crate) const READ_JSON_SETTING: (&str, &str) =
    ("output_format_native_write_json_as_string", "1");

/// The settings (name and value) that an insert of blocks needs to mean the same as an insert of the
/// rows: unknown columns and columns of another type are errors, and type names are text.
///
/// See [format
/// settings](https://clickhouse.com/docs/operations/settings/formats#input_format_skip_unknown_fields).
pub const INSERT_SETTINGS: [(&str, &str); 3] = [
    ("input_format_skip_unknown_fields", "0"),
    ("input_format_native_allow_types_conversion", "0"),
    ("input_format_native_decode_types_in_binary_format", "0"),
];
