//! Rows that lie one after the other in one buffer, each with the ends of its marked columns.

#![expect(
    clippy::indexing_slicing,
    reason = "the offsets come from the framer, which holds them against the bytes; other indices are the caller's, as for slices"
)]

/// Rows handed out together, in the order of the stream.
#[derive(Debug, Clone, Copy)]
pub struct RowGroup<'a> {
    /// The rows, without a gap.
    bytes: &'a [u8],
    /// The end of each row, in bytes from the first row's beginning.
    row_ends: &'a [usize],
    /// For each row the ends of its marked columns, in bytes from the row's beginning.
    column_ends: &'a [usize],
    marked: usize,
}

impl<'a> RowGroup<'a> {
    /// `row_ends` must rise and lie within `bytes`, and `column_ends` hold `marked` rising offsets
    /// for each row.
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

    /// Whether there are no rows. No group is handed out without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.row_ends.is_empty()
    }

    /// The bytes of all rows, without a gap between them.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The row of this number, the first being 0.
    ///
    /// # Panics
    ///
    /// If there is no such row, as slices do.
    #[must_use]
    pub fn row(&self, index: usize) -> Row<'a> {
        let start = if index == 0 { 0 } else { self.row_ends[index - 1] };
        Row {
            bytes: &self.bytes[start..self.row_ends[index]],
            ends: &self.column_ends[index * self.marked..(index + 1) * self.marked],
        }
    }

    /// The rows, one after the other.
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

/// The rows of a group, one after the other.
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

    /// The bytes of the marked column of this number, the first being 0.
    ///
    /// # Panics
    ///
    /// If no such column is marked, as slices do.
    #[must_use]
    pub fn marked_column(&self, index: usize) -> &'a [u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// The bytes of all marked columns together.
    #[must_use]
    pub fn marked_columns(&self) -> &'a [u8] {
        &self.bytes[..self.payload_start()]
    }

    /// Where each marked column ends, in bytes from the beginning of the row.
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
