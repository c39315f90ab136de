//! Blocks whose first columns are those of a block that was read, as they came.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{BlockBuilder, MalformedRow, NativeLayout};
use super::source::{MalformedColumn, SourceBlock, SourceRows};

/// Builds the columns that follow the passed ones in a block.
///
/// One extender builds many blocks: it sizes the buffers of each block by the last one.
#[derive(Debug)]
pub(crate) struct BlockExtender {
    builder: BlockBuilder,
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
    pub(crate) fn new(layout: Arc<NativeLayout>, passed: usize) -> Self {
        Self { builder: BlockBuilder::after(layout, passed) }
    }

    /// The size of the values in RowBinary.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.builder.bytes()
    }

    /// Appends a row's values for the columns that are not passed on, in RowBinary.
    ///
    /// # Errors
    /// If the bytes are not exactly these values. From then on, every call of this method and of
    /// [`finish`](Self::finish) returns the same error.
    pub(crate) fn append(&mut self, values: &[u8]) -> Result<(), MalformedRow> {
        self.builder.append([values, &[]])
    }

    /// Drops all values.
    pub(crate) fn clear(&mut self) {
        self.builder.clear();
    }

    /// Returns a block with the columns of `block` that are passed on and with the values, and
    /// empties the extender. Where only some rows have values, `kept` are all columns of the block, and
    /// these rows as ascending ranges. Without it, the columns are passed on without a copy.
    ///
    /// # Errors
    /// If a row was malformed, or if a column contradicts itself.
    pub(crate) fn finish(
        &mut self,
        block: &SourceBlock,
        kept: Option<(&SourceRows<'_>, &[Range<usize>])>,
    ) -> Result<Vec<Bytes>, ExtendError> {
        let mut output = self.builder.begin()?;
        let mut headers = self.builder.layout().headers();
        match kept {
            None => {
                for (column, header) in block.passed().zip(headers.by_ref()) {
                    output.push(header);
                    output.push_shared(column);
                }
            }
            Some((rows, kept)) => rows.write_passed(kept, &mut headers, &mut output)?,
        }
        drop(headers);
        Ok(self.builder.end(output))
    }
}
