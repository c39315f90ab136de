//! The values of one column, or of a part of one, in the form that they have in a block.
//!
//! `compile` makes columns of types, `append` adds values to them, and `finish` hands their bytes
//! over.

mod append;
mod compile;
mod dictionary;
mod finish;

use dictionary::Dictionary;

use super::pieces::Pieces;

/// A column.
#[derive(Debug, Clone)]
pub(super) enum Column {
    /// Values of that many bytes each.
    Fixed { width: usize, values: Pieces },
    /// Values with their lengths in front.
    String(Pieces),
    /// The same; a block says that its `JSON` are strings.
    Json(Pieces),
    /// Values without bytes. A block has one byte for each.
    Empty { values: u64 },
    /// Flags that are 1 for NULL, and a value for each, also for a NULL.
    Nullable { flags: Pieces, values: Box<Column> },
    /// The numbers of different values, and these.
    LowCardinality(Box<Dictionary>),
    /// For each array, how many elements there are up to its end; and the elements of all arrays.
    Array {
        ends: Pieces,
        elements: u64,
        /// The bytes that an element takes at least in a row; not 0.
        minimum: u64,
        element: Box<Column>,
    },
    /// A column for each element.
    Tuple(Box<[Column]>),
    /// The numbers of the values' types, and for each type the values of that type.
    Variant { discriminators: Pieces, types: Box<[Column]> },
}

/// The discriminator of a `Variant` that is NULL, in both formats.
const NULL_DISCRIMINATOR: u8 = 255;
