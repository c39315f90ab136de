//! Blocks whose first columns are those of a block that was read, as they came.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{MalformedRow, NativeLayout};
use super::buffer::BlockWriter;
use super::column::Column;
use super::read::MalformedRowKind;
use super::source::{MalformedColumn, SourceBlock, SourceRows};

/// Builds the columns that follow the passed ones in a block.
///
/// One extender builds many blocks: it sizes the buffers of each block by the last one.
#[derive(Debug)]
pub struct BlockExtender {
    layout: Arc<NativeLayout>,
    /// The number of columns that are passed on.
    passed: usize,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
    /// Set after a malformed row, which leaves columns of different lengths.
    malformed: Option<MalformedRow>,
}

/// A block that cannot be extended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtendError {
    /// The values of a row are malformed.
    #[error(transparent)]
    Row(#[from] MalformedRow),
    /// A column of the block is malformed.
    #[error(transparent)]
    Column(#[from] MalformedColumn),
}

impl BlockExtender {
    /// An extender of blocks of this layout, the first `passed` columns of which are passed on.
    #[must_use]
    pub fn new(layout: Arc<NativeLayout>, passed: usize) -> Self {
        let columns = layout.empty_columns_from(passed);
        Self { layout, passed, columns, rows: 0, bytes: 0, malformed: None }
    }

    /// The number of rows that have values.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The size of these values in RowBinary.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a row's values for the columns that are not passed on, in RowBinary.
    ///
    /// # Errors
    /// If the bytes are not exactly these values. From then on, every call of this method and of
    /// [`finish`](Self::finish) returns the same error.
    pub fn append(&mut self, values: &[u8]) -> Result<(), MalformedRow> {
        if let Some(malformed) = &self.malformed {
            return Err(malformed.clone());
        }
        let mut input = values;
        for (index, column) in self.columns.iter_mut().enumerate() {
            if let Err(kind) = column.append(&mut input) {
                return Err(self.poison(index, kind));
            }
        }
        if !input.is_empty() {
            let kind = MalformedRowKind::TooLong(input.len());
            return Err(self.poison(self.columns.len().saturating_sub(1), kind));
        }
        self.rows += 1;
        self.bytes += values.len();
        Ok(())
    }

    /// Drops all values.
    pub fn clear(&mut self) {
        *self = Self::new(Arc::clone(&self.layout), self.passed);
    }

    /// Returns a block with the columns of `block` that are passed on and with the values, and
    /// empties the extender. Where only some rows have values, `kept` are all columns of the block, and
    /// these rows as ascending ranges. Without it, the columns are passed on without a copy.
    ///
    /// # Errors
    /// If a row was malformed, or if a column contradicts itself.
    pub fn finish(
        &mut self,
        block: &SourceBlock,
        kept: Option<(&SourceRows<'_>, &[Range<usize>])>,
    ) -> Result<Vec<Bytes>, ExtendError> {
        if let Some(malformed) = &self.malformed {
            return Err(malformed.clone().into());
        }
        let mut output = BlockWriter::default();
        output.push(&self.layout.beginning(self.rows as u64));
        let mut headers = self.layout.headers();
        match kept {
            None => {
                for (column, header) in block.passed().zip(headers.by_ref()) {
                    output.push(header);
                    output.push_shared(column);
                }
            }
            Some((rows, kept)) => rows.write_passed(kept, &mut headers, &mut output)?,
        }
        for (column, header) in self.columns.iter_mut().zip(headers) {
            output.push(header);
            column.write_prefix(&mut output);
            column.finish(&mut output);
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(output.finish())
    }

    #[cold]
    fn poison(&mut self, column: usize, kind: MalformedRowKind) -> MalformedRow {
        let malformed = self.layout.malformed(self.passed + column, kind);
        self.malformed = Some(malformed.clone());
        malformed
    }
}
