//! What can be wrong with columns, and with rows.

use crate::formats::rowbinary::MalformedKind;

/// A column that cannot be sent in blocks; RowBinary takes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}` of type {type_name} cannot be sent in Native blocks: {reason}")]
pub struct UnsupportedNative {
    /// The name of the column.
    pub column: String,
    /// Its type.
    pub type_name: String,
    /// Why not.
    pub reason: UnsupportedReason,
}

/// Why a type cannot be sent in blocks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedReason {
    /// In a block, values of the type have another form than in RowBinary, and no other type stands
    /// for it.
    #[error("values of {0} have another form there")]
    AnotherForm(String),
    /// The elements of an array take no bytes in a row, but some in a block: a short row would make
    /// a long block.
    #[error("elements of type {0} take no bytes in a row")]
    ElementsWithoutBytes(String),
    /// A NULL is one byte in a row; in a block there are as many bytes as for a value.
    #[error("each NULL would take {bytes} bytes")]
    WideNull {
        /// Bytes for each NULL.
        bytes: u64,
    },
}

/// Bytes that are not one row of the block's columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {kind}")]
pub struct MalformedRow {
    /// The name of the column that the bytes at fault belong to; the last one if there are too many
    /// bytes.
    pub column: String,
    /// What is wrong.
    pub kind: MalformedRowKind,
}

/// What is wrong with bytes that are not one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRowKind {
    /// The row, or its first part, ends inside a value.
    #[error("the row ends inside a value")]
    TooShort,
    /// There are bytes after the last column.
    #[error("the row has {0} bytes more than its columns")]
    TooLong(usize),
    /// The bytes are not a value of the column's type.
    #[error(transparent)]
    Value(#[from] MalformedKind),
    /// A block holds more different values of a `LowCardinality` than can be numbered (2³²).
    #[error("a block holds too many different values")]
    TooManyValues,
}
