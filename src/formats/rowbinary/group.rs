//! Rows in one buffer, with the ends of their marked columns.

#![expect(
    clippy::indexing_slicing,
    reason = "the framer checks its offsets against the bytes; for the caller's indices a panic is documented, as for slices"
)]

/// Consecutive rows of a stream.
#[derive(Debug, Clone, Copy)]
pub struct RowGroup<'a> {
    /// The rows, without a gap.
    bytes: &'a [u8],
    /// The end of each row, in bytes from the beginning of the first.
    row_ends: &'a [usize],
    /// The ends of the marked columns of each row, in bytes from the beginning of the row.
    column_ends: &'a [usize],
    marked: usize,
}

impl<'a> RowGroup<'a> {
    /// `row_ends` must be ascending offsets into `bytes`, and `column_ends` must have `marked`
    /// ascending offsets for each row.
    pub(super) fn new(
        bytes: &'a [u8],
        row_ends: &'a [usize],
        column_ends: &'a [usize],
        marked: usize,
    ) -> Self {
        Self { bytes, row_ends, column_ends, marked }
    }

    /// The number of rows: at least 1 and at most [`ROWS_PER_GROUP`](super::ROWS_PER_GROUP).
    #[must_use]
    pub fn len(&self) -> usize {
        self.row_ends.len()
    }

    /// Whether there are no rows. The framer yields no empty groups.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.row_ends.is_empty()
    }

    /// The bytes of all rows, without a gap between them.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The row at `index`.
    ///
    /// # Panics
    ///
    /// If `index` is out of range.
    #[must_use]
    pub fn row(&self, index: usize) -> Row<'a> {
        let start = if index == 0 { 0 } else { self.row_ends[index - 1] };
        Row {
            bytes: &self.bytes[start..self.row_ends[index]],
            ends: &self.column_ends[index * self.marked..(index + 1) * self.marked],
        }
    }

    /// An iterator over the rows.
    #[must_use]
    pub fn iter(&self) -> Rows<'a> {
        Rows { group: *self, next: 0 }
    }
}

impl<'a> IntoIterator for RowGroup<'a> {
    type Item = Row<'a>;
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &RowGroup<'a> {
    type Item = Row<'a>;
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.iter()
    }
}

/// An iterator over the rows of a group.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    group: RowGroup<'a>,
    next: usize,
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        if self.next == self.group.len() {
            return None;
        }
        let row = self.group.row(self.next);
        self.next += 1;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.group.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Rows<'_> {}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    bytes: &'a [u8],
    /// The ends of the marked columns.
    ends: &'a [usize],
}

impl<'a> Row<'a> {
    /// All bytes of the row.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the marked column at `index`.
    ///
    /// # Panics
    ///
    /// If `index` is out of range.
    #[must_use]
    pub fn marked_column(&self, index: usize) -> &'a [u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// The bytes of all marked columns.
    #[must_use]
    pub fn marked_columns(&self) -> &'a [u8] {
        &self.bytes[..self.payload_start()]
    }

    /// The end of each marked column, in bytes from the beginning of the row.
    #[must_use]
    pub fn marked_ends(&self) -> &'a [usize] {
        self.ends
    }

    /// The bytes after the last marked column.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.payload_start()..]
    }

    fn payload_start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}
