//! The steps that walk over one row, compiled from its columns' types.
//!
//! `compile` turns types into a flat list of `step`s, `walk` carries them out. The list is flat,
//! with the loops of arrays kept beside it, so that a walk can stop at any byte, be kept, and go on
//! when more bytes have come: nothing that was walked is walked again. What is fixed in width is
//! added up beforehand.

mod compile;
mod error;
mod step;
#[cfg(test)]
mod tests;
mod walk;

pub use error::{Frame, LayoutError, Malformed, MalformedKind};
use step::Step;
pub(super) use walk::{Progress, Walk};

use super::DataType;

/// How to find the end of a row of given columns.
///
/// The first columns can be *marked*: then the ends of each of them are found along with the end of
/// the row.
#[derive(Debug, Clone)]
pub struct RowLayout {
    steps: Box<[Step]>,
    /// For every `Step::Choice`, the step at which each type of the `Variant` begins.
    choices: Box<[Box<[u32]>]>,
    /// The columns' names, and the step after the last one that belongs to each.
    columns: Box<[(String, u32)]>,
    marked: usize,
}

impl RowLayout {
    /// A layout of rows with the given columns (name and type), the first `marked` of which are
    /// marked.
    ///
    /// # Errors
    ///
    /// If there are fewer columns than are to be marked, or if the columns take no bytes at all
    /// (none, or only the likes of `Tuple()`), since such rows cannot be told from one another.
    pub fn new(columns: &[(String, DataType)], marked: usize) -> Result<Self, LayoutError> {
        if marked > columns.len() {
            return Err(LayoutError::TooManyMarked { marked, columns: columns.len() });
        }
        if columns.iter().all(|(_, data_type)| data_type.minimum_width() == 0) {
            return Err(LayoutError::NoBytes);
        }
        compile::compile(columns, marked)
    }

    /// The number of marked columns.
    #[must_use]
    pub fn marked(&self) -> usize {
        self.marked
    }

    /// Frames the row that begins at the first of `bytes`; more than the row may follow.
    ///
    /// If the row is complete, `ends` receives the end of each marked column, in bytes from the
    /// row's beginning. If `ends` is shorter than that, the last ones are left out.
    ///
    /// Takes time linear in the row's length. Rows that come in pieces are better framed by a
    /// [`RowFramer`](super::RowFramer), which does not begin anew with each piece.
    #[must_use]
    pub fn frame(&self, bytes: &[u8], ends: &mut [usize]) -> Frame {
        match self.advance(&mut Walk::default(), bytes, ends) {
            Progress::Complete(length) => Frame::Complete(length),
            Progress::Incomplete { at_least } => Frame::Incomplete { at_least },
            Progress::Malformed { step, kind } => Frame::Malformed(self.malformed(step, kind)),
        }
    }

    /// Names the column to which a step belongs.
    pub(super) fn malformed(&self, step: usize, kind: MalformedKind) -> Malformed {
        let column = self.columns.partition_point(|(_, end)| *end as usize <= step);
        let column = self.columns.get(column).map_or("", |(name, _)| name);
        Malformed { column: column.to_owned(), kind }
    }
}
