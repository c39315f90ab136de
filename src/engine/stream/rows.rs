//! Putting enriched rows together, in the format in which they are inserted.

use std::sync::Arc;

use bytes::Bytes;

use crate::formats::native::{BlockBuilder, MalformedRow, NativeLayout};

/// Output is kept in pieces of about this size: a batch is never copied to grow, and the HTTP
/// client sends piece by piece.
const PIECE_BYTES: usize = 1024 * 1024;

/// Rows of a block at most. A batch is sent as several blocks, which the server parses and
/// evaluates one by one, in memory that it has just used for the one before, and puts together
/// again before it writes them (`min_insert_block_size_rows`): with whole batches as blocks, an
/// insert cost 6 % more processor time and read 20 % more pages of fresh memory.
const BLOCK_ROWS: u64 = 8192;
/// A block that has reached so many bytes gets no further row.
const BLOCK_BYTES: u64 = 32 << 20;

/// How rows are inserted.
#[derive(Clone, Debug)]
pub enum RowFormat {
    /// As blocks of columns, which the server parses in half the time.
    Native(Arc<NativeLayout>),
    /// As rows, for types that have no place in a block.
    RowBinary,
}

/// Rows of one batch.
#[derive(Debug)]
pub(super) enum Rows {
    Native(Blocks),
    RowBinary(Pieces),
}

impl Rows {
    pub fn new(format: &RowFormat) -> Self {
        match format {
            RowFormat::Native(layout) => Self::Native(Blocks {
                building: BlockBuilder::new(layout.clone()),
                full: Vec::new(),
            }),
            RowFormat::RowBinary => Self::RowBinary(Pieces::default()),
        }
    }

    /// Appends a row: the source's columns, then the lookup's, both in RowBinary.
    ///
    /// # Errors
    /// [`MalformedRow`] where the bytes are not exactly one row.
    pub fn append(&mut self, source: &[u8], lookup: &[u8]) -> Result<(), MalformedRow> {
        match self {
            Self::Native(blocks) => blocks.append(source, lookup),
            Self::RowBinary(pieces) => {
                pieces.append(source, lookup);
                Ok(())
            }
        }
    }

    /// Gives all rows, and begins anew.
    ///
    /// # Errors
    /// [`MalformedRow`] where one of them was refused before.
    pub fn take(&mut self) -> Result<Vec<Bytes>, MalformedRow> {
        match self {
            Self::Native(blocks) => blocks.take(),
            Self::RowBinary(pieces) => Ok(pieces.take()),
        }
    }
}

/// Rows as blocks of columns, one after the other.
#[derive(Debug)]
pub(super) struct Blocks {
    building: BlockBuilder,
    full: Vec<Bytes>,
}

impl Blocks {
    fn append(&mut self, source: &[u8], lookup: &[u8]) -> Result<(), MalformedRow> {
        self.building.append([source, lookup])?;
        if self.building.rows() >= BLOCK_ROWS || self.building.bytes() >= BLOCK_BYTES {
            self.full.extend(self.building.finish()?);
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Vec<Bytes>, MalformedRow> {
        self.full.extend(self.building.finish()?);
        Ok(std::mem::take(&mut self.full))
    }
}

/// Bytes in pieces that are never copied.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl Pieces {
    fn append(&mut self, source: &[u8], lookup: &[u8]) {
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE_BYTES);
        }
        self.last.extend_from_slice(source);
        self.last.extend_from_slice(lookup);
        // A little room stays unused, so that an ordinary row never makes the buffer grow.
        if self.last.len() >= PIECE_BYTES - PIECE_BYTES / 16 {
            self.full.push(Bytes::from(std::mem::take(&mut self.last)));
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        if !self.last.is_empty() {
            self.full.push(Bytes::from(std::mem::take(&mut self.last)));
        }
        std::mem::take(&mut self.full)
    }
}
