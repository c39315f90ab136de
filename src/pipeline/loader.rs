//! Filling the map from a stream of RowBinary rows.
//!
//! A row is: the key columns, the version if there is one, the deleted flag (a `Bool`) if there is one, the attribute columns. Where the
//! bytes come from, and what happens when they end too early, is left to the caller.

use std::sync::Arc;

use crate::lookup::{FrozenLookupMap, LookupError, LookupMap, MapShape};
use crate::rowbinary::{FramingError, RowFramer, RowLayout, VersionEncoding};

/// What the columns of a row are.
#[derive(Clone, Debug)]
pub struct LoaderShape {
    /// How many leading columns are the key.
    pub key_columns: usize,
    /// Positions of key columns that can be NULL. A row with a NULL in its key can never be found, and is not kept.
    pub nullable_keys: Vec<usize>,
    /// How the version column is ordered, if there is one. Without one, all versions count as equally new.
    pub version: Option<VersionEncoding>,
    /// Whether there is a deleted flag.
    pub deleted: bool,
    /// How many attribute columns follow.
    pub attribute_columns: usize,
}

/// Frames rows and puts them into the map.
pub struct Loader {
    layout: Arc<RowLayout>,
    framer: RowFramer,
    shape: LoaderShape,
    max_row_bytes: usize,
    map: LookupMap,
    rows: u64,
}

impl Loader {
    /// A loader with an empty map; all columns of the layout must be marked.
    pub fn new(layout: Arc<RowLayout>, shape: LoaderShape, max_row_bytes: usize) -> Self {
        let map = LookupMap::new(MapShape { key_columns: shape.key_columns, attribute_columns: shape.attribute_columns });
        Self { framer: RowFramer::new(layout.clone(), max_row_bytes), layout, shape, max_row_bytes, map, rows: 0 }
    }

    /// Takes the next piece of the stream, cut anywhere; gives how many rows it completed.
    ///
    /// # Errors
    /// Bytes that are not such rows, and a map that cannot take more.
    pub fn push<E: From<FramingError> + From<LookupError>>(&mut self, piece: &[u8]) -> Result<u64, E> {
        let (map, shape) = (&mut self.map, &self.shape);
        let mut attribute_ends = vec![0; shape.attribute_columns];
        let mut rows = 0;
        self.framer.push(piece, &mut |group| {
            for row in group {
                rows += 1;
                if shape.nullable_keys.iter().any(|&position| row.marked_column(position).first() == Some(&1)) {
                    continue;
                }
                let mut next = shape.key_columns;
                let version = match shape.version {
                    Some(encoding) => {
                        next += 1;
                        encoding.order(row.marked_column(next - 1)).unwrap_or_default()
                    }
                    None => 0,
                };
                let deleted = shape.deleted && {
                    next += 1;
                    row.marked_column(next - 1) != [0]
                };
                let ends = row.marked_ends();
                let key_end = ends.get(shape.key_columns.wrapping_sub(1)).copied().unwrap_or_default();
                let attributes_begin = ends.get(next.wrapping_sub(1)).copied().unwrap_or_default();
                for (end, absolute) in attribute_ends.iter_mut().zip(ends.iter().skip(next)) {
                    *end = absolute - attributes_begin;
                }
                let bytes = row.bytes();
                let (key, attributes) = (bytes.get(..key_end).unwrap_or_default(), bytes.get(attributes_begin..).unwrap_or_default());
                map.insert(key, ends.get(..shape.key_columns).unwrap_or_default(), version, deleted, attributes, &attribute_ends)?;
            }
            Ok::<(), E>(())
        })?;
        self.rows += rows;
        Ok(rows)
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    /// Where it ended in the middle of a row.
    pub fn end_of_stream(&self) -> Result<(), FramingError> {
        self.framer.finish()
    }

    /// Prepares for the stream to begin again; what is in the map stays, and coming again changes nothing.
    pub fn rewind(&mut self) {
        self.framer = RowFramer::new(self.layout.clone(), self.max_row_bytes);
        self.rows = 0;
    }

    /// Rows taken since the stream began.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Keys in the map.
    pub fn keys(&self) -> usize {
        self.map.len()
    }

    /// Bytes that the map takes.
    pub fn memory_bytes(&self) -> usize {
        self.map.memory_bytes()
    }

    /// The map, ready to be shared.
    ///
    /// # Errors
    /// [`LookupError`] where it cannot be brought into its final form.
    pub fn finish(self) -> Result<FrozenLookupMap, LookupError> {
        self.map.freeze()
    }
}
