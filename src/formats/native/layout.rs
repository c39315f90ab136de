//! The columns of a block.

use super::column::Column;
use super::error::{MalformedRow, MalformedRowKind, UnsupportedNative};
use super::output::{write_number, write_text};
use crate::formats::rowbinary::DataType;

/// The columns of the blocks that a [`BlockBuilder`](super::BlockBuilder) makes, and of the rows
/// that it takes.
#[derive(Debug, Clone)]
pub struct NativeLayout {
    columns: Box<[LayoutColumn]>,
}

#[derive(Debug, Clone)]
struct LayoutColumn {
    name: String,
    /// The name and the type as they stand before the column's data.
    header: Vec<u8>,
    /// The column without a value.
    empty: Column,
}

impl NativeLayout {
    /// A layout of blocks with these columns (name and type), which are also those of the rows.
    ///
    /// The names are those that the insert's `input('<structure>')` gives its columns, since the
    /// server matches them by name.
    ///
    /// # Errors
    ///
    /// Names the first column whose type cannot be sent in this way: `QBit`, arrays whose elements
    /// take no bytes, and `Nullable` of types wider than 256 bytes. RowBinary takes those.
    pub fn new(columns: &[(String, DataType)]) -> Result<Self, UnsupportedNative> {
        let columns = columns.iter().map(|(name, data_type)| {
            let type_name = data_type.to_string();
            let mut header = Vec::new();
            write_text(name, &mut header);
            write_text(&type_name, &mut header);
            match Column::new(data_type) {
                Ok(empty) => Ok(LayoutColumn { name: name.clone(), header, empty }),
                Err(reason) => Err(UnsupportedNative { column: name.clone(), type_name, reason }),
            }
        });
        Ok(Self { columns: columns.collect::<Result<_, _>>()? })
    }

    /// The columns without a value.
    pub(super) fn empty_columns(&self) -> Vec<Column> {
        self.columns.iter().map(|column| column.empty.clone()).collect()
    }

    /// What stands before each column's data.
    pub(super) fn headers(&self) -> impl Iterator<Item = &[u8]> {
        self.columns.iter().map(|column| &column.header[..])
    }

    /// What a block begins with.
    pub(super) fn beginning(&self, rows: u64) -> Vec<u8> {
        let mut beginning = Vec::new();
        write_number(self.columns.len() as u64, &mut beginning);
        write_number(rows, &mut beginning);
        beginning
    }

    /// Names the column.
    pub(super) fn malformed(&self, column: usize, kind: MalformedRowKind) -> MalformedRow {
        let name = self.columns.get(column).map_or("", |column| &column.name);
        MalformedRow { column: name.to_owned(), kind }
    }
}
