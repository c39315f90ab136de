//! Loading the map from a stream of RowBinary rows.
//!
//! A row has the key columns, an optional version, an optional deleted flag (a `Bool`), the
//! attribute columns, and one byte that ends it.

use std::sync::Arc;

use super::{FrozenLookupMap, LookupError, LookupMap, LookupRow, MapShape};
use crate::formats::rowbinary::{
    FramingError, ROWS_PER_GROUP, Row, RowFramer, RowGroup, RowLayout, VersionEncoding,
};

/// The columns of a row.
#[derive(Clone, Debug)]
pub(crate) struct LoaderShape {
    /// The number of key columns, which come first.
    pub key_columns: usize,
    /// The indexes of nullable key columns. A row with a NULL in its key can never be found, and is
    /// skipped.
    pub nullable_keys: Vec<usize>,
    /// The encoding of the version column, if there is one. Without one, all versions are equal.
    pub version: Option<VersionEncoding>,
    /// Whether there is a deleted flag.
    pub deleted: bool,
    /// The number of attribute columns.
    pub attribute_columns: usize,
}

/// Frames rows and inserts them into the map.
pub(crate) struct Loader {
    layout: Arc<RowLayout>,
    framer: RowFramer,
    shape: LoaderShape,
    max_row_bytes: usize,
    map: LookupMap,
    /// The ends of the attribute columns of each row of a group, from the first attribute.
    attribute_ends: Vec<usize>,
    rows: u64,
    /// The bytes of the longest row, since the loader was made.
    longest: usize,
}

impl Loader {
    /// A loader with an empty map. All columns of the layout must be marked.
    pub(crate) fn new(layout: Arc<RowLayout>, shape: LoaderShape, max_row_bytes: usize) -> Self {
        let map = LookupMap::new(MapShape {
            key_columns: shape.key_columns,
            attribute_columns: shape.attribute_columns,
        });
        let framer = RowFramer::new(layout.clone(), max_row_bytes);
        Self {
            layout,
            framer,
            shape,
            max_row_bytes,
            map,
            attribute_ends: Vec::new(),
            rows: 0,
            longest: 0,
        }
    }

    /// Takes the next piece of the stream, cut anywhere. Returns the number of rows it completed.
    ///
    /// # Errors
    /// If the bytes are not rows of the layout, or the map is full.
    pub(crate) fn push<E: From<FramingError> + From<LookupError>>(
        &mut self,
        piece: &[u8],
    ) -> Result<u64, E> {
        let Self { framer, shape, map, attribute_ends, longest, .. } = self;
        let mut rows = 0;
        framer.push(piece, &mut |group| {
            rows += group.len() as u64;
            // A long row is a group by itself.
            *longest = (*longest).max(group.bytes().len() / group.len().max(1));
            Ok::<(), E>(shape.insert(group, attribute_ends, map)?)
        })?;
        self.rows += rows;
        Ok(rows)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// If it ends within a row.
    pub(crate) fn end_of_stream(&self) -> Result<(), FramingError> {
        self.framer.finish()
    }

    /// Prepares for the stream to restart. The map keeps its rows; inserting them again has no
    /// effect.
    pub(crate) fn rewind(&mut self) {
        self.framer = RowFramer::new(self.layout.clone(), self.max_row_bytes);
        self.rows = 0;
    }

    /// The number of rows since the stream started.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The bytes of the longest row, or of one that has not arrived whole.
    pub(crate) fn longest_row_bytes(&self) -> usize {
        self.longest.max(self.incomplete_row_bytes())
    }

    /// The bytes of a row that has not arrived whole, at least.
    pub(crate) fn incomplete_row_bytes(&self) -> usize {
        self.framer.buffered_row_bytes()
    }

    /// The number of keys in the map.
    pub(crate) fn keys(&self) -> usize {
        self.map.len()
    }

    /// The number of bytes that the map has allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.map.memory_bytes()
    }

    /// The frozen map.
    ///
    /// # Errors
    /// If the map cannot be frozen.
    pub(crate) fn finish(self) -> Result<FrozenLookupMap, LookupError> {
        self.map.freeze()
    }
}

impl LoaderShape {
    /// Inserts a group of rows into the map.
    fn insert(
        &self,
        group: RowGroup<'_>,
        attribute_ends: &mut Vec<usize>,
        map: &mut LookupMap,
    ) -> Result<(), LookupError> {
        attribute_ends.clear();
        for row in group {
            let (first, begin) = self.attributes_begin(&row);
            let ends = row.marked_ends().iter().skip(first).take(self.attribute_columns);
            attribute_ends.extend(ends.map(|end| end.saturating_sub(begin)));
        }
        let mut rows: [LookupRow<'_>; ROWS_PER_GROUP] = [LookupRow::default(); ROWS_PER_GROUP];
        let mut kept = 0;
        for (position, row) in group.into_iter().enumerate() {
            if self.nullable_keys.iter().any(|&key| row.marked_column(key).first() == Some(&1)) {
                continue;
            }
            let own = position * self.attribute_columns..(position + 1) * self.attribute_columns;
            if let Some(place) = rows.get_mut(kept) {
                *place = self.lookup_row(&row, attribute_ends.get(own).unwrap_or_default());
                kept += 1;
            }
        }
        map.insert_group(rows.get(..kept).unwrap_or_default())
    }

    /// The index of the first attribute column, and where it begins in the row.
    fn attributes_begin(&self, row: &Row<'_>) -> (usize, usize) {
        let first =
            self.key_columns + usize::from(self.version.is_some()) + usize::from(self.deleted);
        (first, end_of(row, first))
    }

    fn lookup_row<'a>(&self, row: &Row<'a>, attribute_ends: &'a [usize]) -> LookupRow<'a> {
        let (first, begin) = self.attributes_begin(row);
        let (bytes, ends) = (row.bytes(), row.marked_ends());
        LookupRow {
            key: bytes.get(..end_of(row, self.key_columns)).unwrap_or_default(),
            key_ends: ends.get(..self.key_columns).unwrap_or_default(),
            version: self
                .version
                .and_then(|encoding| encoding.order(row.marked_column(self.key_columns)))
                .unwrap_or_default(),
            deleted: self.deleted && row.marked_column(first - 1) != [0],
            attributes: bytes
                .get(begin..end_of(row, first + self.attribute_columns))
                .unwrap_or_default(),
            attribute_ends,
        }
    }
}

/// The end of the first `columns` columns of the row.
fn end_of(row: &Row<'_>, columns: usize) -> usize {
    columns.checked_sub(1).and_then(|last| row.marked_ends().get(last).copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::rowbinary::DataType;

    /// Rows of a key that can be NULL, a version, a deleted flag, an attribute and the byte that
    /// ends the row.
    fn load(rows: &[&[u8]]) -> FrozenLookupMap {
        let types = ["Nullable(UInt8)", "UInt16", "Bool", "String", "UInt8"];
        let columns: Vec<_> =
            types.iter().map(|name| ((*name).to_owned(), DataType::parse(name).unwrap())).collect();
        let layout = Arc::new(RowLayout::new(&columns, columns.len()).unwrap());
        let version = VersionEncoding::of(&columns[1].1);
        let shape = LoaderShape {
            key_columns: 1,
            nullable_keys: vec![0],
            version,
            deleted: true,
            attribute_columns: 1,
        };
        let mut loader = Loader::new(layout, shape, 1 << 20);
        let stream = rows.concat();
        for half in stream.chunks(7) {
            loader.push::<Box<dyn std::error::Error>>(half).unwrap();
        }
        loader.end_of_stream().unwrap();
        assert_eq!(loader.rows(), rows.len() as u64);
        loader.finish().unwrap()
    }

    fn find(map: &FrozenLookupMap, key: &[u8]) -> Option<Vec<u8>> {
        map.find(key).map(|found| {
            let mut bytes = Vec::new();
            map.append_to(found, &mut bytes).unwrap();
            bytes
        })
    }

    #[test]
    fn the_newest_version_counts_and_null_keys_are_left_out() {
        let map = load(&[
            b"\x00\x07\x02\x01\x00\x01b\x00", // key 7, version 0x0102, live, "b"
            b"\x00\x07\x03\x00\x00\x01a\x00", // key 7, version 3: older, though its first byte is greater
            b"\x01\x09\x00\x00\x01x\x00",     // key NULL
            b"\x00\x08\x01\x00\x00\x01y\x00", // key 8, live
            b"\x00\x08\x02\x00\x01\x01z\x00", // key 8, newer, deleted
        ]);
        assert_eq!(find(&map, b"\x00\x07"), Some(b"\x01b".to_vec()));
        assert_eq!(find(&map, b"\x00\x08"), None);
        assert_eq!(find(&map, b"\x01"), None);
        assert_eq!(map.len(), 1);
    }
}
