//! A parser of [ClickHouse type names](https://clickhouse.com/docs/sql-reference/data-types), as
//! `DESCRIBE`, `system.columns` and `toTypeName` print them.
//!
//! `cursor` reads words, numbers and quoted texts; `composite` and `scalar` know what may stand
//! between the parentheses of each type. Names are those the server itself prints, so aliases such
//! as `INT` or `VARCHAR` are unknown here. White space between words does not matter, since
//! `DESCRIBE` breaks long names into lines.

mod arguments;
mod composite;
mod cursor;
mod error;
mod scalar;
#[cfg(test)]
mod tests;

use cursor::Cursor;
pub use error::{TypeNameError, TypeNameErrorKind};

use super::DataType;

/// How many types may be nested in one another. The server's own limit, `max_parser_depth`, is of
/// the same kind; real names stay below ten.
pub const MAX_NESTING: usize = 100;

impl DataType {
    /// Parses a type name. Takes time linear in its length for any input.
    ///
    /// # Errors
    ///
    /// Says where and what, for names that are not complete and correct, for unknown types, for
    /// types nested deeper than [`MAX_NESTING`], and for types whose values cannot be framed in
    /// RowBinary: `AggregateFunction`, `Dynamic` and `Object`.
    pub fn parse(type_name: &str) -> Result<Self, TypeNameError> {
        let mut cursor = Cursor::new(type_name);
        composite::data_type(&mut cursor, 1)
            .and_then(|data_type| cursor.expect_end().map(|()| data_type))
            .map_err(|problem| TypeNameError::new(type_name, problem))
    }
}

impl std::str::FromStr for DataType {
    type Err = TypeNameError;

    fn from_str(type_name: &str) -> Result<Self, TypeNameError> {
        Self::parse(type_name)
    }
}
