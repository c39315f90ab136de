//! Rows of ClickHouse's [RowBinary] format, framed without decoding them.
//!
//! A type determines how many bytes a value takes, and the values of a row follow one another
//! without a separator. So a stream can be cut into rows, and a row into its leading columns and the
//! rest, without decoding a value:
//!
//! - [`DataType`] is a parsed type name;
//! - [`RowLayout`] is the list of steps over one row of given columns;
//! - [`RowFramer`] applies a layout to a stream that arrives in pieces, and yields rows in groups;
//! - [`VersionEncoding`] compares encoded values of a column of integers, dates or times.
//!
//! Streams must be read with `output_format_binary_write_json_as_string = 1`: a `JSON` value is
//! framed as a string.
//!
//! [RowBinary]: https://clickhouse.com/docs/interfaces/formats/RowBinary

mod data_type;
mod framer;
#[doc(hidden)]
pub(crate) mod fuzzing;
mod group;
mod layout;
#[cfg(test)]
mod strategies;
mod type_name;
mod version;
mod walk;

pub use data_type::DataType;
pub(crate) use data_type::{EnumValue, Field, GeoType, IntervalUnit};
pub(crate) use framer::ROWS_PER_GROUP;
pub use framer::{FramingError, RowFramer};
pub(crate) use group::Row;
pub use group::RowGroup;
pub use layout::RowLayout;
pub(crate) use layout::{Malformed, MalformedKind};
pub use type_name::{TypeNameError, TypeNameErrorKind};
pub(crate) use version::VersionEncoding;
pub(crate) use walk::Frame;
