//! Building blocks row by row.

use std::sync::Arc;

use bytes::Bytes;

use super::column::Column;
use super::error::{MalformedRow, MalformedRowKind};
use super::layout::NativeLayout;
use super::output::Output;

/// Takes rows, and gives blocks.
///
/// A builder is used for one block after the other: the columns' buffers of the next are made as
/// large as those of the last.
#[derive(Debug)]
pub struct BlockBuilder {
    layout: Arc<NativeLayout>,
    columns: Vec<Column>,
    rows: u64,
    bytes: u64,
    /// A row that was not whole has left some columns with a value more than others.
    malformed: Option<MalformedRow>,
}

impl BlockBuilder {
    /// A builder without rows.
    #[must_use]
    pub fn new(layout: Arc<NativeLayout>) -> Self {
        let columns = layout.empty_columns();
        Self { layout, columns, rows: 0, bytes: 0, malformed: None }
    }

    /// The rows of the block so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The bytes of these rows in RowBinary. In a block they take about as many: for each row, up
    /// to 8 more for an array, and the bytes of a value for each NULL, but fewer for a
    /// `LowCardinality`.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends a row, whose RowBinary is the two parts one after the other. A value lies in one of
    /// them as a whole.
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one row. The block cannot be used then: all further rows, and
    /// [`finish`](Self::finish), give the same error.
    pub fn append(&mut self, parts: [&[u8]; 2]) -> Result<(), MalformedRow> {
        if let Some(malformed) = &self.malformed {
            return Err(malformed.clone());
        }
        let [mut input, second] = parts;
        let mut second = Some(second);
        for (index, column) in self.columns.iter_mut().enumerate() {
            if input.is_empty()
                && let Some(second) = second.take()
            {
                input = second;
            }
            if let Err(kind) = column.append(&mut input) {
                return Err(self.poison(index, kind));
            }
        }
        let left = input.len() + second.map_or(0, <[u8]>::len);
        if left > 0 {
            return Err(
                self.poison(self.columns.len().saturating_sub(1), MalformedRowKind::TooLong(left))
            );
        }
        self.rows += 1;
        self.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }

    /// The block, in pieces that are sent one after the other; none if there are no rows. The
    /// builder is empty then.
    ///
    /// Large pieces are the columns' buffers themselves.
    ///
    /// # Errors
    ///
    /// If a row was not whole. The builder is of no use any more.
    pub fn finish(&mut self) -> Result<Vec<Bytes>, MalformedRow> {
        if let Some(malformed) = &self.malformed {
            return Err(malformed.clone());
        }
        let mut output = Output::default();
        if !self.is_empty() {
            output.push(&self.layout.beginning(self.rows));
            for (header, column) in self.layout.headers().zip(&mut self.columns) {
                output.push(header);
                column.write_prefix(&mut output);
                column.finish(&mut output);
            }
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(output.finish())
    }

    #[cold]
    fn poison(&mut self, column: usize, kind: MalformedRowKind) -> MalformedRow {
        let malformed = self.layout.malformed(column, kind);
        self.malformed = Some(malformed.clone());
        malformed
    }
}
