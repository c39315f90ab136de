//! Deferred rows: rows that found nothing in the lookup's window, kept until their keys are looked
//! up without it.

use crate::formats::rowbinary::Row;
use crate::job::statements::KeyBytes;

/// What a row takes beside its bytes: its position, the ends of its key columns, and its entry among
/// the keys that are asked for.
const ROW_OVERHEAD: usize = 96;

/// The deferred rows of one attempt, in buffers of a bounded size: one that grows, and those that
/// were filled since they were last taken.
#[derive(Debug)]
pub(super) struct DeferredRows {
    buffer_bytes: usize,
    growing: RowBuffer,
    full: Vec<RowBuffer>,
}

impl DeferredRows {
    /// Buffers of this size.
    pub(super) fn new(buffer_bytes: usize) -> Self {
        Self { buffer_bytes, growing: RowBuffer::default(), full: Vec::new() }
    }

    /// Defers a row. Of its bytes, its key and these columns are kept.
    pub(super) fn push(&mut self, row: &Row<'_>, columns: &[u8]) {
        if !self.growing.has_room(row, self.buffer_bytes) {
            self.full.push(std::mem::take(&mut self.growing));
        }
        self.growing.push(row, columns, self.buffer_bytes);
    }

    /// Whether a buffer is full.
    pub(super) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Takes the oldest full buffer.
    pub(super) fn take_full(&mut self) -> Option<RowBuffer> {
        if self.full.is_empty() { None } else { Some(self.full.remove(0)) }
    }

    /// Takes the buffer that grows.
    pub(super) fn take_rest(&mut self) -> RowBuffer {
        std::mem::take(&mut self.growing)
    }
}

/// Rows with their keys, one after the other.
#[derive(Debug, Default)]
pub(super) struct RowBuffer {
    bytes: Vec<u8>,
    rows: Vec<RowPosition>,
    /// The ends of the key columns of all rows.
    key_ends: Vec<usize>,
}

#[derive(Debug)]
struct RowPosition {
    /// Where the row begins, with its key; where its key ends; and where the row ends.
    begin: usize,
    key_end: usize,
    end: usize,
    /// Where the ends of its key columns begin.
    key_ends: usize,
}

impl RowBuffer {
    /// Whether this row fits. The first one always does.
    fn has_room(&self, row: &Row<'_>, limit_bytes: usize) -> bool {
        let taken = self.bytes.len() + self.rows.len() * ROW_OVERHEAD;
        self.rows.is_empty() || taken + row.bytes().len() + ROW_OVERHEAD <= limit_bytes
    }

    fn push(&mut self, row: &Row<'_>, columns: &[u8], limit_bytes: usize) {
        if self.bytes.capacity() == 0 {
            // The buffer is never copied to grow. Pages that are not used are not touched.
            self.bytes.reserve_exact(limit_bytes);
        }
        let (begin, key_ends) = (self.bytes.len(), self.key_ends.len());
        self.bytes.extend_from_slice(row.marked_columns());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(columns);
        self.key_ends.extend_from_slice(row.marked_ends());
        self.rows.push(RowPosition { begin, key_end, end: self.bytes.len(), key_ends });
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The key of a row, and its columns.
    pub(super) fn row(&self, number: usize) -> Option<(KeyBytes<'_>, &[u8])> {
        let position = self.rows.get(number)?;
        let next = self.rows.get(number + 1).map_or(self.key_ends.len(), |next| next.key_ends);
        let key = KeyBytes {
            bytes: self.bytes.get(position.begin..position.key_end)?,
            ends: self.key_ends.get(position.key_ends..next)?,
        };
        Some((key, self.bytes.get(position.key_end..position.end)?))
    }
}
