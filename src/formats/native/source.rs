//! Blocks that are read: key columns, the columns that are passed on, and the end of the rows; and
//! blocks whose first columns are those of a block that was read, as they came.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::block::{BlockBuilder, MalformedRow, NativeLayout, UnsupportedNative};
use super::buffer::BlockWriter;
use super::shape::Shape;
use super::view::{ColumnBytes, View};
use crate::formats::rowbinary::DataType;

/// The columns of a stream of blocks, the first of which are keys.
#[derive(Debug, Clone)]
pub struct SourceLayout {
    columns: Box<[SourceColumn]>,
    keys: usize,
    contains_json: bool,
}

#[derive(Debug, Clone)]
pub(super) struct SourceColumn {
    pub name: String,
    pub shape: Shape,
}

impl SourceLayout {
    /// A layout of blocks with these columns (name and type), the first `keys` of which are keys.
    ///
    /// # Errors
    /// If a column has a type whose values have another form in a block, such as `QBit`.
    pub fn new(columns: &[(String, DataType)], keys: usize) -> Result<Self, UnsupportedNative> {
        let contains_json = columns.iter().any(|(_, data_type)| data_type.contains_json());
        let columns = columns.iter().map(|(name, data_type)| match Shape::new(data_type) {
            Ok(shape) => Ok(SourceColumn { name: name.clone(), shape }),
            Err(reason) => {
                let type_name = data_type.to_string();
                Err(UnsupportedNative { column: name.clone(), type_name, reason })
            }
        });
        Ok(Self { columns: columns.collect::<Result<_, _>>()?, keys, contains_json })
    }

    /// Whether a column contains a `JSON` at any depth.
    pub(crate) fn contains_json(&self) -> bool {
        self.contains_json
    }

    pub(super) fn columns(&self) -> &[SourceColumn] {
        &self.columns
    }

    pub(super) fn name(&self, column: usize) -> &str {
        self.columns.get(column).map_or("", |column| &column.name)
    }
}

/// A block that has come completely.
#[derive(Debug, Clone)]
pub(crate) struct SourceBlock {
    layout: Arc<SourceLayout>,
    bytes: Bytes,
    rows: usize,
    columns: BlockColumns,
}

/// Where the columns of a block lie.
#[derive(Debug, Clone, Default)]
pub(super) struct BlockColumns {
    /// The bytes of each column, from its prefix on.
    pub bytes: Vec<Range<usize>>,
    /// The ends of strings, in bytes from the beginning of the block.
    pub string_ends: Vec<u32>,
    /// The first of these ends in each column.
    pub first_end: Vec<usize>,
}

/// A column whose parts contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a block of the stream contradicts itself in the column `{column}`")]
pub struct MalformedColumn {
    /// The name of the column.
    pub column: String,
}

impl SourceBlock {
    pub(super) fn new(
        layout: Arc<SourceLayout>,
        bytes: Bytes,
        rows: usize,
        columns: BlockColumns,
    ) -> Self {
        Self { layout, bytes, rows, columns }
    }

    /// The number of rows, at least 1.
    #[must_use]
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The size of the block.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The keys of all rows.
    ///
    /// # Errors
    /// If a key column contradicts itself.
    pub(crate) fn keys(&self) -> Result<SourceRows<'_>, MalformedColumn> {
        self.some_columns(0..self.layout.keys)
    }

    /// All columns of all rows, as rows of RowBinary.
    ///
    /// # Errors
    /// If a column contradicts itself.
    pub(crate) fn all_columns(&self) -> Result<SourceRows<'_>, MalformedColumn> {
        self.some_columns(0..self.columns.bytes.len())
    }

    /// The bytes of the columns that are passed on, from their prefixes on: all but the keys and the
    /// last one, which ends the rows.
    pub(super) fn passed(&self) -> impl Iterator<Item = Bytes> {
        self.passed_columns().map(|column| {
            let range = self.columns.bytes.get(column).cloned().unwrap_or_default();
            self.bytes.slice(range)
        })
    }

    fn passed_columns(&self) -> Range<usize> {
        self.layout.keys..self.columns.bytes.len().saturating_sub(1)
    }

    fn some_columns(&self, columns: Range<usize>) -> Result<SourceRows<'_>, MalformedColumn> {
        let views = columns.map(|column| self.view(column)).collect::<Result<_, _>>()?;
        Ok(SourceRows { block: self, views })
    }

    fn view(&self, column: usize) -> Result<View<'_>, MalformedColumn> {
        let view = || {
            let shape = &self.layout.columns.get(column)?.shape;
            let column_bytes = self.columns.bytes.get(column)?;
            let begin = column_bytes.start + shape.prefix().len();
            let first_end = *self.columns.first_end.get(column)?;
            let mut values = ColumnBytes {
                bytes: self.bytes.get(begin..column_bytes.end)?,
                begin,
                ends: self.columns.string_ends.get(first_end..)?,
                kept: first_end,
            };
            View::take(shape, shape.root(), self.rows, &mut values)
        };
        view().ok_or_else(|| self.malformed(column))
    }

    #[cold]
    fn malformed(&self, column: usize) -> MalformedColumn {
        MalformedColumn { column: self.layout.name(column).to_owned() }
    }
}

/// The keys of all rows of a block, or all of their columns.
#[derive(Debug)]
pub(crate) struct SourceRows<'a> {
    block: &'a SourceBlock,
    views: Vec<View<'a>>,
}

impl SourceRows<'_> {
    /// Appends these columns of a row as RowBinary.
    ///
    /// # Errors
    /// If a column contradicts itself.
    pub(crate) fn write_row(&self, row: usize, out: &mut Vec<u8>) -> Result<(), MalformedColumn> {
        for (column, view) in self.views.iter().enumerate() {
            view.write_row(row, out).ok_or_else(|| self.block.malformed(column))?;
        }
        Ok(())
    }

    /// Appends the columns that are passed on, with only these rows, given as ascending ranges, and each
    /// with its header in front. There are none where these are only the keys.
    pub(super) fn write_passed<'h>(
        &self,
        kept: &[Range<usize>],
        headers: &mut impl Iterator<Item = &'h [u8]>,
        out: &mut BlockWriter,
    ) -> Result<(), MalformedColumn> {
        let Self { block, views } = self;
        for (column, view) in block.passed_columns().zip(views.iter().skip(block.layout.keys)) {
            out.push(headers.next().unwrap_or_default());
            out.push(
                block.layout.columns.get(column).map_or(&[][..], |column| column.shape.prefix()),
            );
            view.write_values(kept, out).ok_or_else(|| block.malformed(column))?;
        }
        Ok(())
    }

    /// Whether a column of a row, of a nullable type, is NULL.
    #[must_use]
    pub(crate) fn is_null(&self, row: usize, column: usize) -> bool {
        self.views.get(column).is_some_and(|view| view.is_null(row))
    }
}

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
