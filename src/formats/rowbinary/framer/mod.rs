//! Cutting a stream into rows, wherever the network has cut it into pieces.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::layout::{Progress, Walk};
use super::{Malformed, RowGroup, RowLayout};

/// How many rows are handed out together at most: enough for their look-ups to be prefetched, few
/// enough for what they point to to stay in the processor's nearest cache.
pub const ROWS_PER_GROUP: usize = 32;

/// How many bytes are copied at least to complete a row that the end of a piece has cut. Copying a
/// few bytes too many is cheaper than stopping after every value; what lies behind the row's end is
/// given back.
const LOOK_AHEAD_BYTES: usize = 2048;

/// The longest buffer that is kept after a row that was cut, in bytes. One huge row must not hold
/// its memory for ever.
const KEPT_BYTES: usize = 1 << 20;

/// Cuts a stream of RowBinary into rows.
///
/// The stream is pushed in pieces of any size. Rows that lie within a piece are handed out as they
/// lie there; a row that is cut is put together in a buffer of its own. Nothing is allocated for a
/// row, unless it is longer than any before that was cut, and every byte is walked over once,
/// however the stream is cut.
#[derive(Debug)]
pub struct RowFramer {
    layout: Arc<RowLayout>,
    max_row_bytes: usize,
    /// What has come of a row that is not complete.
    partial: Vec<u8>,
    /// The walk over the row that is not complete; at the beginning if there is none.
    walk: Walk,
    /// How many bytes the partial row has at least.
    at_least: usize,
    /// The ends of the rows of the current group.
    row_ends: Vec<usize>,
    /// The ends of the marked columns, for each row of a group. The partial row uses the first
    /// places.
    column_ends: Vec<usize>,
    rows: u64,
    bytes: u64,
    failed: bool,
}

/// A stream that is not what its columns say, or not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A row holds bytes that are not a value of their column's type.
    #[error("row {row} (from byte {offset} of the stream) cannot be read: {malformed}")]
    Malformed {
        /// The number of the row, the first being 0.
        row: u64,
        /// Where the row begins, in bytes.
        offset: u64,
        /// What is wrong.
        malformed: Malformed,
    },
    /// A row is longer than allowed.
    #[error(
        "row {row} (from byte {offset} of the stream) is longer than the {max_row_bytes} bytes allowed"
    )]
    RowTooLong {
        /// The number of the row, the first being 0.
        row: u64,
        /// Where the row begins, in bytes.
        offset: u64,
        /// The limit, in bytes.
        max_row_bytes: usize,
    },
    /// The stream has ended within a row.
    #[error(
        "the stream ends within row {row}: {bytes} bytes of it have come, and at least {missing} are missing"
    )]
    PartialRow {
        /// The number of the row, the first being 0.
        row: u64,
        /// How many bytes of the row have come.
        bytes: usize,
        /// How many bytes are missing at least.
        missing: usize,
    },
    /// The stream has failed before.
    #[error("the stream has failed before")]
    FailedBefore,
}

impl RowFramer {
    /// A framer at the beginning of a stream. A row of more than `max_row_bytes` bytes is an error;
    /// less than that is ever buffered.
    #[must_use]
    pub fn new(layout: Arc<RowLayout>, max_row_bytes: usize) -> Self {
        Self {
            row_ends: Vec::with_capacity(ROWS_PER_GROUP),
            column_ends: vec![0; ROWS_PER_GROUP.saturating_mul(layout.marked())],
            layout,
            max_row_bytes,
            partial: Vec::new(),
            walk: Walk::default(),
            at_least: 0,
            rows: 0,
            bytes: 0,
            failed: false,
        }
    }

    /// Takes the next piece of the stream, and hands out all rows that are complete with it, in
    /// groups of at most [`ROWS_PER_GROUP`], in the order of the stream.
    ///
    /// # Errors
    ///
    /// If a row is malformed or too long; the rows before it have been handed out then. Errors of
    /// `on_rows` are passed on. After any error the framer is of no use, and says so when it is
    /// used again.
    pub fn push<E: From<FramingError>>(
        &mut self,
        piece: &[u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.push_until(piece, &mut |group| on_rows(group).map(ControlFlow::Continue)).map(drop)
    }

    /// Takes the next piece of the stream as [`push`](Self::push) does, until `on_rows` breaks off
    /// after a group. Returns what it did not take, which is to be pushed next; nothing when the
    /// whole piece was taken.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_until<'p, E: From<FramingError>>(
        &mut self,
        piece: &'p [u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<&'p [u8], E> {
        if self.failed {
            return Err(FramingError::FailedBefore.into());
        }
        // Forgotten only if all goes well, also if `on_rows` panics.
        self.failed = true;
        let (mut rest, flow) = (piece, Cell::new(ControlFlow::Continue(())));
        let mut noting = |group: RowGroup<'_>| on_rows(group).map(|next| flow.set(next));
        if !self.partial.is_empty() {
            rest = self.complete_partial_row(rest, &mut noting)?;
        }
        while !rest.is_empty() && flow.get().is_continue() {
            rest = self.next_group(rest, &mut noting)?;
        }
        self.failed = false;
        Ok(rest)
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// If the stream ends within a row, or has failed before.
    pub fn finish(&self) -> Result<(), FramingError> {
        if self.failed {
            return Err(FramingError::FailedBefore);
        }
        if self.partial.is_empty() {
            return Ok(());
        }
        let bytes = self.partial.len();
        Err(FramingError::PartialRow {
            row: self.rows,
            bytes,
            missing: self.at_least.saturating_sub(bytes),
        })
    }

    /// The number of rows handed out.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of bytes of the rows handed out.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies of the piece what the partial row needs, and hands the row out if it is complete.
    /// Returns what is left.
    fn complete_partial_row<'p, E: From<FramingError>>(
        &mut self,
        mut piece: &'p [u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<(), E>,
    ) -> Result<&'p [u8], E> {
        while !piece.is_empty() {
            let before = self.partial.len();
            let room = self.max_row_bytes.saturating_sub(before);
            let wanted = self.at_least.saturating_sub(before).max(LOOK_AHEAD_BYTES).min(room);
            let (copied, _) = piece.split_at(wanted.min(piece.len()));
            self.partial.extend_from_slice(copied);
            match self.layout.advance(&mut self.walk, &self.partial, &mut self.column_ends) {
                Progress::Complete(length) => {
                    self.partial.truncate(length);
                    self.row_ends.clear();
                    self.row_ends.push(length);
                    let mut row = std::mem::take(&mut self.partial);
                    self.hand_out(&row, on_rows)?;
                    row.clear();
                    if row.capacity() <= KEPT_BYTES {
                        self.partial = row;
                    }
                    return Ok(piece.get(length.saturating_sub(before)..).unwrap_or_default());
                }
                Progress::Incomplete { at_least } => {
                    self.keep_waiting(at_least)?;
                    piece = piece.get(copied.len()..).unwrap_or_default();
                }
                Progress::Malformed { step, kind } => {
                    return Err(self.malformed(step, kind).into());
                }
            }
        }
        Ok(piece)
    }

    /// Hands out the next rows of a piece that begins with a row. Returns what is left, and keeps
    /// it if it is only the beginning of a row.
    fn next_group<'p, E: From<FramingError>>(
        &mut self,
        piece: &'p [u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<(), E>,
    ) -> Result<&'p [u8], E> {
        let marked = self.layout.marked();
        let mut rest = piece;
        let mut last = Progress::Complete(0);
        self.row_ends.clear();
        while self.row_ends.len() < ROWS_PER_GROUP && !rest.is_empty() {
            let ends = self.column_ends.get_mut(self.row_ends.len() * marked..).unwrap_or_default();
            // A row that does not end within the limit is seen to need more.
            let within_limit = rest.get(..self.max_row_bytes).unwrap_or(rest);
            last = self.layout.advance(&mut self.walk, within_limit, ends);
            let Progress::Complete(length) = last else {
                break;
            };
            rest = rest.get(length..).unwrap_or_default();
            self.row_ends.push(piece.len() - rest.len());
        }
        let marks_of_next = self.row_ends.len() * marked;
        if !self.row_ends.is_empty() {
            let complete = piece.get(..piece.len() - rest.len()).unwrap_or_default();
            self.hand_out(complete, on_rows)?;
        }
        match last {
            Progress::Complete(_) => Ok(rest),
            Progress::Incomplete { at_least } => {
                self.keep_waiting(at_least)?;
                self.partial.extend_from_slice(rest);
                // Columns that the walk has passed are not passed again: their ends move to the
                // first places.
                let end = self.column_ends.len().min(marks_of_next + marked);
                self.column_ends.copy_within(marks_of_next..end, 0);
                Ok(&[])
            }
            Progress::Malformed { step, kind } => Err(self.malformed(step, kind).into()),
        }
    }

    /// Hands out the rows whose ends have been noted.
    fn hand_out<E>(
        &mut self,
        bytes: &[u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rows += self.row_ends.len() as u64;
        self.bytes += bytes.len() as u64;
        on_rows(RowGroup::new(bytes, &self.row_ends, &self.column_ends, self.layout.marked()))
    }

    /// Notes how long the partial row is at least, if it may be that long.
    fn keep_waiting(&mut self, at_least: usize) -> Result<(), FramingError> {
        if at_least > self.max_row_bytes {
            return Err(FramingError::RowTooLong {
                row: self.rows,
                offset: self.bytes,
                max_row_bytes: self.max_row_bytes,
            });
        }
        self.at_least = at_least;
        Ok(())
    }

    fn malformed(&self, step: usize, kind: super::MalformedKind) -> FramingError {
        FramingError::Malformed {
            row: self.rows,
            offset: self.bytes,
            malformed: self.layout.malformed(step, kind),
        }
    }
}
