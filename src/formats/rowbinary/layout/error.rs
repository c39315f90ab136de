//! What can come of framing a row.

/// What framing found at the beginning of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole row, of this many bytes.
    Complete(usize),
    /// The beginning of a row.
    Incomplete {
        /// The row takes at least this many bytes, which is more than there are. The number
        /// saturates: a row that declares more than an address space holds gives `usize::MAX`.
        at_least: usize,
    },
    /// Bytes that no row begins with.
    Malformed(Malformed),
}

/// Bytes that are not a value of their column's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {kind}")]
pub struct Malformed {
    /// The name of the column.
    pub column: String,
    /// What is wrong.
    pub kind: MalformedKind,
}

/// What is wrong with bytes that are not a value of their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKind {
    /// The byte that says whether a `Nullable` is NULL is neither 0 nor 1.
    #[error("the flag of a Nullable is {0}, neither 0 nor 1")]
    NullFlag(u8),
    /// The byte that numbers the types of a `Variant` has no type.
    #[error("the discriminator of a Variant is {found}, but it has {types} types")]
    Discriminator {
        /// The byte.
        found: u8,
        /// How many types there are.
        types: usize,
    },
    /// A [varuint](https://en.wikipedia.org/wiki/LEB128) that does not fit into 64 bits.
    #[error("a length does not fit into 64 bits")]
    VarUintTooLong,
}

/// Columns of which no layout can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// More columns are to be marked than there are.
    #[error("{marked} columns are to be marked, but there are {columns}")]
    TooManyMarked {
        /// Columns to be marked.
        marked: usize,
        /// Columns of the row.
        columns: usize,
    },
    /// Rows take no bytes.
    #[error("rows of these columns take no bytes, so they cannot be told apart")]
    NoBytes,
    /// There are more steps than a layout can hold (2³²).
    #[error("the columns' types are too large")]
    TooLarge,
}
