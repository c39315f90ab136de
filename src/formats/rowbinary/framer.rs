//! Cutting a stream that arrives in pieces into rows.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::walk::{Progress, Walk};
use super::{Malformed, RowGroup, RowLayout};

/// The most rows in a group: enough to prefetch their lookups, and few enough that the prefetched
/// memory stays in the L1 cache.
pub(crate) const ROWS_PER_GROUP: usize = 32;

/// The fewest bytes to copy at a time when completing a row that the end of a piece has cut. Bytes
/// after the end of the row are given back; copying them is cheaper than stopping after every value.
const LOOK_AHEAD_BYTES: usize = 2048;

/// The largest buffer kept after a row that was cut, in bytes. The memory of one huge row is freed.
const KEPT_BYTES: usize = 1 << 20;

/// Cuts a stream of RowBinary into rows.
///
/// The stream is pushed in pieces of any size. Rows within a piece are yielded in place; a row that
/// is cut is assembled in a buffer, which is allocated only if it has to grow. Every byte is walked
/// over once, however the stream is cut.
#[derive(Debug)]
pub struct RowFramer {
    layout: Arc<RowLayout>,
    max_row_bytes: usize,
    /// The bytes so far of an incomplete row.
    partial: Vec<u8>,
    /// The walk over the incomplete row; at the beginning if there is none.
    walk: Walk,
    /// The minimum length of the incomplete row.
    at_least: usize,
    /// Whether the row in the buffer is complete, and was not taken yet.
    is_held: bool,
    /// The ends of the rows of the current group.
    row_ends: Vec<usize>,
    /// The ends of the marked columns of each row of a group. The incomplete row uses the first
    /// entries.
    column_ends: Vec<usize>,
    rows: u64,
    bytes: u64,
    failed: bool,
}

/// A stream that does not consist of rows of the layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A row has bytes that are not a value of their column's type.
    #[error("row {row} (from byte {offset} of the stream) cannot be read: {malformed}")]
    Malformed {
        /// The index of the row.
        row: u64,
        /// The offset of the row in the stream.
        offset: u64,
        /// What is wrong.
        malformed: Malformed,
    },
    /// A row is longer than the limit.
    #[error(
        "row {row} (from byte {offset} of the stream) is longer than the {max_row_bytes} bytes allowed"
    )]
    RowTooLong {
        /// The index of the row.
        row: u64,
        /// The offset of the row in the stream.
        offset: u64,
        /// The limit, in bytes.
        max_row_bytes: usize,
    },
    /// The stream ends within a row.
    #[error(
        "the stream ends within row {row}: {bytes} bytes of it have come, and at least {missing} are missing"
    )]
    PartialRow {
        /// The index of the row.
        row: u64,
        /// The number of bytes of the row that have arrived.
        bytes: usize,
        /// The minimum number of missing bytes.
        missing: usize,
    },
    /// The framer was used after an error.
    #[error("the stream has failed before")]
    FailedBefore,
}

impl RowFramer {
    /// A framer at the beginning of a stream. A row of more than `max_row_bytes` bytes is an error,
    /// and at most that many are buffered.
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
            is_held: false,
            rows: 0,
            bytes: 0,
            failed: false,
        }
    }

    /// Takes the next piece of the stream and yields all rows that it completes, in order, in groups
    /// of at most [`ROWS_PER_GROUP`].
    ///
    /// # Errors
    ///
    /// If a row is malformed or too long, after yielding the rows before it, and any error of
    /// `on_rows`. After an error, every further use is an error.
    pub fn push<E: From<FramingError>>(
        &mut self,
        piece: &[u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.push_until(piece, &mut |group| on_rows(group).map(ControlFlow::Continue)).map(drop)
    }

    /// Takes the next piece of the stream as [`push`](Self::push) does, until `on_rows` breaks with
    /// the number of rows that it has taken of its group. Returns the rest of the piece, which must
    /// be pushed next. It begins with the first row that was not taken.
    ///
    /// A row that was cut may remain in the framer although the rest is empty: see
    /// [`holds_row`](Self::holds_row).
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_until<'p, E: From<FramingError>>(
        &mut self,
        piece: &'p [u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<ControlFlow<usize>, E>,
    ) -> Result<&'p [u8], E> {
        if self.failed {
            return Err(FramingError::FailedBefore.into());
        }
        // Reset on success only, so it also holds if `on_rows` panics.
        self.failed = true;
        let (mut rest, mut flow) = (piece, ControlFlow::Continue(()));
        if self.is_held {
            flow = self.yield_buffered_row(on_rows)?;
        } else if !self.partial.is_empty() {
            (rest, flow) = self.complete_partial_row(rest, on_rows)?;
        }
        while !rest.is_empty() && flow.is_continue() {
            (rest, flow) = self.next_group(rest, on_rows)?;
        }
        self.failed = false;
        Ok(rest)
    }

    /// Whether a complete row waits to be taken by the next push, which may be of an empty piece.
    #[must_use]
    pub fn holds_row(&self) -> bool {
        self.is_held
    }

    /// The minimum length of the row whose beginning is in the buffer, in bytes; 0 if there is none.
    #[must_use]
    pub fn buffered_row_bytes(&self) -> usize {
        if self.partial.is_empty() { 0 } else { self.at_least.max(self.partial.len()) }
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// If the stream ends within a row, or the framer was used after an error.
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

    /// The number of rows yielded.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of bytes of the rows yielded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies from the piece what the incomplete row needs, and yields the row once it is complete.
    /// Returns the rest of the piece, and whether to go on.
    fn complete_partial_row<'p, E: From<FramingError>>(
        &mut self,
        mut piece: &'p [u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<ControlFlow<usize>, E>,
    ) -> Result<(&'p [u8], ControlFlow<()>), E> {
        while !piece.is_empty() {
            let before = self.partial.len();
            let room = self.max_row_bytes.saturating_sub(before);
            let wanted = self.at_least.saturating_sub(before).max(LOOK_AHEAD_BYTES).min(room);
            let (copied, _) = piece.split_at(wanted.min(piece.len()));
            self.make_room(copied.len());
            self.partial.extend_from_slice(copied);
            match self.layout.advance(&mut self.walk, &self.partial, &mut self.column_ends) {
                Progress::Complete(length) => {
                    self.partial.truncate(length);
                    let flow = self.yield_buffered_row(on_rows)?;
                    let rest = piece.get(length.saturating_sub(before)..).unwrap_or_default();
                    return Ok((rest, flow));
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
        Ok((piece, ControlFlow::Continue(())))
    }

    /// Makes room for more bytes of the incomplete row: for the whole row, as far as its length is
    /// known. The usual doubling would take twice the memory of a long row.
    fn make_room(&mut self, more: usize) {
        let length = self.partial.len();
        if self.partial.capacity() - length < more {
            let wanted = self.at_least.max(length + more).max(length + length / 4);
            self.partial.reserve_exact(wanted.min(self.max_row_bytes).saturating_sub(length));
        }
    }

    /// Yields the complete row in the buffer. It stays there if it is not taken.
    fn yield_buffered_row<E>(
        &mut self,
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<ControlFlow<usize>, E>,
    ) -> Result<ControlFlow<()>, E> {
        let mut row = std::mem::take(&mut self.partial);
        self.row_ends.clear();
        self.row_ends.push(row.len());
        let flow = self.yield_rows(&row, on_rows)?;
        self.is_held = flow == ControlFlow::Break(0);
        if self.is_held {
            self.partial = row;
        } else {
            row.clear();
            if row.capacity() <= KEPT_BYTES {
                self.partial = row;
            }
        }
        Ok(flow.map_break(drop))
    }

    /// Yields the next rows of a piece that begins with a row. Returns the rest of the piece, and
    /// whether to go on; an incomplete row at the end of the piece is buffered instead.
    fn next_group<'p, E: From<FramingError>>(
        &mut self,
        piece: &'p [u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<ControlFlow<usize>, E>,
    ) -> Result<(&'p [u8], ControlFlow<()>), E> {
        let marked = self.layout.marked();
        let mut rest = piece;
        let mut last = Progress::Complete(0);
        self.row_ends.clear();
        while self.row_ends.len() < ROWS_PER_GROUP && !rest.is_empty() {
            let ends = self.column_ends.get_mut(self.row_ends.len() * marked..).unwrap_or_default();
            // A row that exceeds the limit is incomplete here.
            let within_limit = rest.get(..self.max_row_bytes).unwrap_or(rest);
            last = self.layout.advance(&mut self.walk, within_limit, ends);
            let Progress::Complete(length) = last else {
                break;
            };
            rest = rest.get(length..).unwrap_or_default();
            self.row_ends.push(piece.len() - rest.len());
        }
        let rows = self.row_ends.len();
        let mut flow = ControlFlow::Continue(());
        if rows > 0 {
            let complete = piece.get(..piece.len() - rest.len()).unwrap_or_default();
            let taken = self.yield_rows(complete, on_rows)?;
            flow = taken.map_break(drop);
            if let ControlFlow::Break(taken) = taken
                && taken < rows
            {
                // The rows that were not taken are walked over once more.
                self.walk = Walk::default();
                let end = taken.checked_sub(1).and_then(|last| self.row_ends.get(last));
                return Ok((piece.get(end.copied().unwrap_or(0)..).unwrap_or_default(), flow));
            }
        }
        match last {
            Progress::Complete(_) => Ok((rest, flow)),
            Progress::Incomplete { at_least } => {
                self.keep_waiting(at_least)?;
                self.make_room(rest.len());
                self.partial.extend_from_slice(rest);
                // The walk does not revisit columns: their ends move to the first entries.
                let marks_of_next = rows * marked;
                let end = self.column_ends.len().min(marks_of_next + marked);
                self.column_ends.copy_within(marks_of_next..end, 0);
                Ok((&[], flow))
            }
            Progress::Malformed { step, kind } => Err(self.malformed(step, kind).into()),
        }
    }

    /// Yields the rows whose ends are in `row_ends`. Breaks with the number of rows that were taken.
    fn yield_rows<E>(
        &mut self,
        bytes: &[u8],
        on_rows: &mut impl FnMut(RowGroup<'_>) -> Result<ControlFlow<usize>, E>,
    ) -> Result<ControlFlow<usize>, E> {
        let rows = self.row_ends.len();
        let group = RowGroup::new(bytes, &self.row_ends, &self.column_ends, self.layout.marked());
        let flow = on_rows(group)?.map_break(|taken| taken.min(rows));
        let taken = match flow {
            ControlFlow::Continue(()) => rows,
            ControlFlow::Break(taken) => taken,
        };
        self.rows += taken as u64;
        let end = taken.checked_sub(1).and_then(|last| self.row_ends.get(last));
        self.bytes += end.map_or(0, |&end| end as u64);
        Ok(flow)
    }

    /// Sets the minimum length of the incomplete row, unless it exceeds the limit.
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
