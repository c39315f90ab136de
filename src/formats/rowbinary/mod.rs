//! Rows of ClickHouse's [RowBinary] format, known by their lengths alone.
//!
//! A type's name says how many bytes a value takes; the values of a row follow one another without
//! a separator. So a stream of bytes can be cut into rows, and a row into its leading columns and
//! the rest, without decoding a single value. That is all this room does:
//!
//! - [`DataType`] is a type name, parsed; `type_name` holds the parser, `data_type` the names and
//!   questions about them;
//! - [`RowLayout`] is the list of steps that walks over one row of given columns;
//! - [`RowFramer`] applies a layout to a stream that arrives in pieces cut anywhere, and hands out
//!   rows in groups;
//! - [`VersionEncoding`] compares the encoded values of one column of integers, dates or times.
//!
//! It leaves to others where the bytes come from, what the columns mean, and every conversion of
//! values: ClickHouse evaluates all expressions. Streams must be read with
//! `output_format_binary_write_json_as_string = 1`, since a `JSON` value is taken to be a string.
//!
//! [RowBinary]: https://clickhouse.com/docs/interfaces/formats/RowBinary

mod data_type;
mod framer;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod layout;
#[cfg(test)]
mod strategies;
mod type_name;
mod version;

pub use data_type::{DataType, EnumValue, Field, GeoType, IntervalUnit};
pub use framer::{FramingError, ROWS_PER_GROUP, RowFramer};
pub use group::{Row, RowGroup, Rows};
pub use layout::{Frame, LayoutError, Malformed, MalformedKind, RowLayout};
pub use type_name::{MAX_NESTING, TypeNameError, TypeNameErrorKind};
pub use version::VersionEncoding;
