//! Building blocks row by row.

use std::sync::Arc;

use bytes::Bytes;

use super::buffer::BlockWriter;
use super::column::{Column, UnsupportedReason};
use super::read::MalformedRowKind;
use crate::formats::rowbinary::DataType;
use crate::formats::varint;

/// The columns of the blocks that a [`BlockBuilder`] builds, and of the rows that it takes.
#[derive(Debug, Clone)]
pub struct NativeLayout {
    columns: Box<[LayoutColumn]>,
}

#[derive(Debug, Clone)]
struct LayoutColumn {
    name: String,
    /// The encoded name and type, which precede the column's data.
    header: Vec<u8>,
    /// The column without values.
    empty: Column,
}

impl NativeLayout {
    /// A layout of blocks and rows with these columns (name and type).
    ///
    /// The names must be those of the insert's `input('<structure>')`: the server matches columns
    /// by name.
    ///
    /// # Errors
    ///
    /// If a column has a type that cannot be sent in a block: `QBit`, arrays whose elements take no
    /// bytes, or `Nullable` of a type wider than 256 bytes. RowBinary supports these types.
    pub fn new(columns: &[(String, DataType)]) -> Result<Self, UnsupportedNative> {
        let columns = columns.iter().map(|(name, data_type)| {
            let type_name = data_type.to_string();
            let mut header = Vec::new();
            varint::write_slice(name.as_bytes(), &mut header);
            varint::write_slice(type_name.as_bytes(), &mut header);
            match Column::new(data_type) {
                Ok(empty) => Ok(LayoutColumn { name: name.clone(), header, empty }),
                Err(reason) => Err(UnsupportedNative { column: name.clone(), type_name, reason }),
            }
        });
        Ok(Self { columns: columns.collect::<Result<_, _>>()? })
    }

    /// The columns after the first `skipped`, without values.
    fn empty_columns_from(&self, skipped: usize) -> Vec<Column> {
        self.columns.iter().skip(skipped).map(|column| column.empty.clone()).collect()
    }

    /// What precedes the data of each column.
    pub(super) fn headers(&self) -> impl Iterator<Item = &[u8]> {
        self.columns.iter().map(|column| &column.header[..])
    }

    /// The beginning of a block.
    fn beginning(&self, rows: u64) -> Vec<u8> {
        let mut beginning = Vec::new();
        varint::write(self.columns.len() as u64, &mut beginning);
        varint::write(rows, &mut beginning);
        beginning
    }

    /// The error for a row that is malformed at a column.
    fn malformed(&self, column: usize, kind: MalformedRowKind) -> MalformedRow {
        let name = self.columns.get(column).map_or("", |column| &column.name);
        MalformedRow { column: name.to_owned(), kind }
    }
}

/// Builds blocks from rows.
///
/// One builder builds many blocks: it sizes the buffers of each block by the last one.
#[derive(Debug)]
pub struct BlockBuilder {
    layout: Arc<NativeLayout>,
    /// The number of columns before those that it builds.
    passed: usize,
    columns: Vec<Column>,
    rows: u64,
    bytes: u64,
    /// Set after a malformed row, which leaves columns of different lengths.
    malformed: Option<MalformedRow>,
}

impl BlockBuilder {
    /// A builder without rows.
    #[must_use]
    pub fn new(layout: Arc<NativeLayout>) -> Self {
        Self::after(layout, 0)
    }

    /// A builder, without rows, of the columns after the first `passed`.
    pub(super) fn after(layout: Arc<NativeLayout>, passed: usize) -> Self {
        let columns = layout.empty_columns_from(passed);
        Self { layout, passed, columns, rows: 0, bytes: 0, malformed: None }
    }

    pub(super) fn layout(&self) -> &NativeLayout {
        &self.layout
    }

    /// Drops all rows.
    pub(super) fn clear(&mut self) {
        *self = Self::after(Arc::clone(&self.layout), self.passed);
    }

    /// The number of rows in the block.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The size of these rows in RowBinary. The block has about the same size: up to 8 bytes more
    /// for each array, the size of a value more for each NULL, and less for a `LowCardinality`.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the block has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends a row, given as the two parts of its RowBinary. No value spans both parts.
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one row. From then on, every call of this method and of
    /// [`finish`](Self::finish) returns the same error.
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

    /// Returns the block as pieces, in order, and empties the builder. Without rows there are no
    /// pieces. Large pieces are the columns' buffers, not copies.
    ///
    /// # Errors
    ///
    /// If a row was malformed.
    pub fn finish(&mut self) -> Result<Vec<Bytes>, MalformedRow> {
        let output = self.begin()?;
        Ok(if self.is_empty() { Vec::new() } else { self.end(output) })
    }

    /// The beginning of a block of these rows.
    ///
    /// # Errors
    ///
    /// If a row was malformed.
    pub(super) fn begin(&self) -> Result<BlockWriter, MalformedRow> {
        if let Some(malformed) = &self.malformed {
            return Err(malformed.clone());
        }
        let mut output = BlockWriter::default();
        output.push(&self.layout.beginning(self.rows));
        Ok(output)
    }

    /// Ends a block with the columns that were built, and empties the builder.
    pub(super) fn end(&mut self, mut output: BlockWriter) -> Vec<Bytes> {
        for (header, column) in self.layout.headers().skip(self.passed).zip(&mut self.columns) {
            output.push(header);
            column.write_prefix(&mut output);
            column.finish(&mut output);
        }
        (self.rows, self.bytes) = (0, 0);
        output.finish()
    }

    #[cold]
    fn poison(&mut self, column: usize, kind: MalformedRowKind) -> MalformedRow {
        let malformed = self.layout.malformed(self.passed + column, kind);
        self.malformed = Some(malformed.clone());
        malformed
    }
}

/// A column that cannot be sent in a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}` of type {type_name} cannot be sent in Native blocks: {reason}")]
pub struct UnsupportedNative {
    /// The name of the column.
    pub column: String,
    /// Its type.
    pub type_name: String,
    /// Why its values cannot be sent.
    pub reason: UnsupportedReason,
}

/// Bytes that are not one row of the block's columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {kind}")]
pub struct MalformedRow {
    /// The name of the malformed column; the last one if the row is too long.
    pub column: String,
    /// What is wrong.
    pub kind: MalformedRowKind,
}
