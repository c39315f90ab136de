//! Rows that are put aside, in the order in which they came.

use crate::formats::rowbinary::Row;
use crate::job::statements::KeyBytes;

/// What a row takes beside its bytes: its entry, the ends of its key's columns, and its place among
/// the keys that are asked for.
const ROW_BYTES: usize = 96;

/// Rows with their keys, one after the other in one buffer.
#[derive(Debug, Default)]
pub(super) struct Aside {
    bytes: Vec<u8>,
    rows: Vec<Place>,
    /// The ends of the key's columns, for each row.
    key_ends: Vec<usize>,
}

#[derive(Debug)]
struct Place {
    /// Where the row begins, with its key; where that ends; and where the row ends.
    begin: usize,
    key_end: usize,
    end: usize,
    /// Where its key's ends begin.
    key_ends: usize,
}

impl Aside {
    /// Whether this row fits, within so many bytes. The first one always does.
    pub fn has_room(&self, row: &Row<'_>, limit_bytes: usize) -> bool {
        let taken = self.bytes.len() + self.rows.len() * ROW_BYTES;
        self.rows.is_empty() || taken + row.bytes().len() + ROW_BYTES <= limit_bytes
    }

    /// Puts a row aside: its key, and of its other bytes these.
    pub fn push(&mut self, row: &Row<'_>, columns: &[u8], limit_bytes: usize) {
        if self.bytes.capacity() == 0 {
            // Never copied to grow; what is not used is not touched.
            self.bytes.reserve_exact(limit_bytes);
        }
        let (begin, key_ends) = (self.bytes.len(), self.key_ends.len());
        self.bytes.extend_from_slice(row.marked_columns());
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(columns);
        self.key_ends.extend_from_slice(row.marked_ends());
        self.rows.push(Place { begin, key_end, end: self.bytes.len(), key_ends });
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The key of a row, and its columns.
    pub fn row(&self, number: usize) -> Option<(KeyBytes<'_>, &[u8])> {
        let place = self.rows.get(number)?;
        let next = self.rows.get(number + 1).map_or(self.key_ends.len(), |next| next.key_ends);
        let key = KeyBytes {
            bytes: self.bytes.get(place.begin..place.key_end)?,
            ends: self.key_ends.get(place.key_ends..next)?,
        };
        Some((key, self.bytes.get(place.key_end..place.end)?))
    }

    /// Forgets the rows and keeps the room, unless one huge row has made it larger than it should
    /// be.
    pub fn clear(&mut self, limit_bytes: usize) {
        self.rows.clear();
        self.key_ends.clear();
        self.bytes.clear();
        if self.bytes.capacity() > limit_bytes {
            self.bytes = Vec::new();
        }
    }
}
