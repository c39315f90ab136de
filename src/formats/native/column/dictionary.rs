//! The values of a `LowCardinality`: the different ones, and for each row the number of one of
//! them.
//!
//! See [the type](https://clickhouse.com/docs/sql-reference/data-types/lowcardinality).

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::Pieces;
use crate::formats::native::error::MalformedRowKind;
use crate::formats::native::output::Output;
use crate::formats::native::read::{Read, string_bytes, take, take_null_flag};
use crate::formats::rowbinary::DataType;

/// The flag that says that the different values follow; the number's lowest byte says how many
/// bytes a number takes.
const HAS_KEYS: u64 = 1 << 9;
/// The flag that says that no earlier block's values are meant.
const IS_NEW: u64 = 1 << 10;

/// The different values of a block, and the number of one of them for each value.
#[derive(Debug, Clone)]
pub(in crate::formats::native) struct Dictionary {
    /// The bytes of each value, or `None` for strings.
    width: Option<usize>,
    nullable: bool,
    /// The different values, encoded as they are in a row. The first is the type's default, or
    /// stands for NULL.
    keys: Vec<u8>,
    entries: Vec<Entry>,
    /// Numbers of entries, by the hashes of their values.
    table: HashTable<u32>,
    hasher: RandomState,
    /// The number of the last value.
    last: u32,
    /// The number for each value, in `index_width`.
    indexes: Pieces,
    index_width: IndexWidth,
    values: u64,
}

/// A value that differs from the others.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where in the keys it is.
    start: usize,
    end: usize,
    /// The number of the value that came after this one when it came last. The keys of maps come in
    /// the same order again and again, so that this one is mostly the next as well, and nothing has
    /// to be hashed.
    next: u32,
}

/// The bytes of a number. It is kept from block to block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IndexWidth {
    One,
    Two,
    Four,
}

impl IndexWidth {
    /// How the width is called in a block.
    fn code(self) -> u64 {
        match self {
            Self::One => 0,
            Self::Two => 1,
            Self::Four => 2,
        }
    }
}

impl Dictionary {
    /// `None` for a type that the server has no `LowCardinality` of.
    pub(super) fn new(inner: &DataType) -> Option<Self> {
        let value = inner.strip_nullable();
        let width = match value {
            DataType::String => None,
            DataType::Tuple(_) | DataType::Geo(_) => return None,
            other => Some(usize::try_from(other.fixed_width()?).ok()?),
        };
        let mut dictionary = Self {
            width,
            nullable: inner.is_nullable(),
            keys: Vec::new(),
            entries: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::default(),
            last: 0,
            indexes: Pieces::default(),
            index_width: IndexWidth::One,
            values: 0,
        };
        dictionary.begin();
        Some(dictionary)
    }

    /// The first entries: as the server makes them, NULL if there can be one, then the type's
    /// default.
    fn begin(&mut self) {
        self.keys.clear();
        self.entries.clear();
        self.table.clear();
        (self.last, self.values) = (0, 0);
        let default_bytes = self.width.unwrap_or(1);
        for _ in 0..=usize::from(self.nullable) {
            let start = self.keys.len();
            self.keys.resize(start + default_bytes, 0);
            self.entries.push(Entry { start, end: self.keys.len(), next: 0 });
        }
        let default = self.entries.len() - 1;
        let hash =
            self.hasher.hash_one(self.keys.get(default * default_bytes..).unwrap_or_default());
        self.table.insert_unique(hash, u32::from(self.nullable), |_| hash);
    }

    /// Adds the value that the input begins with.
    #[inline]
    pub(super) fn append(&mut self, input: &mut &[u8]) -> Read<()> {
        if self.nullable && take_null_flag(input)? {
            self.append_default();
            return Ok(());
        }
        let bytes = match self.width {
            None => string_bytes(input)?,
            Some(width) => width,
        };
        let value = take(input, bytes)?;
        let expected = self.entries.get(self.last as usize).map_or(0, |entry| entry.next);
        let index = if self.is(expected, value) && !(self.nullable && expected == 0) {
            expected
        } else {
            self.find(value)?
        };
        self.append_index(index);
        Ok(())
    }

    /// Adds the first entry, which is the default, or NULL if there can be one.
    #[inline]
    pub(super) fn append_default(&mut self) {
        self.append_index(0);
    }

    #[inline]
    fn is(&self, index: u32, value: &[u8]) -> bool {
        self.entries.get(index as usize).and_then(|entry| self.keys.get(entry.start..entry.end))
            == Some(value)
    }

    #[inline]
    fn append_index(&mut self, index: u32) {
        self.last = index;
        self.values += 1;
        let [first, second, ..] = index.to_le_bytes();
        match self.index_width {
            IndexWidth::One => self.indexes.append_array(&[first]),
            IndexWidth::Two => self.indexes.append_array(&[first, second]),
            IndexWidth::Four => self.indexes.append_array(&index.to_le_bytes()),
        }
    }

    /// The number of a value, which is a new one if there was none like it.
    fn find(&mut self, value: &[u8]) -> Read<u32> {
        let hash = self.hasher.hash_one(value);
        let found = self.table.find(hash, |&index| self.is(index, value)).copied();
        let index = match found {
            Some(index) => index,
            None => self.add(hash, value)?,
        };
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = index;
        }
        Ok(index)
    }

    #[cold]
    fn add(&mut self, hash: u64, value: &[u8]) -> Read<u32> {
        let index =
            u32::try_from(self.entries.len()).map_err(|_| MalformedRowKind::TooManyValues)?;
        let start = self.keys.len();
        self.keys.extend_from_slice(value);
        self.entries.push(Entry { start, end: self.keys.len(), next: 0 });
        let (entries, keys, hasher) = (&self.entries, &self.keys, &self.hasher);
        self.table.insert_unique(hash, index, |&other| {
            hasher.hash_one(
                entries
                    .get(other as usize)
                    .and_then(|entry| keys.get(entry.start..entry.end))
                    .unwrap_or_default(),
            )
        });
        match (self.index_width, index) {
            (IndexWidth::One, 0x100..) => self.widen(IndexWidth::Two, &[0]),
            (IndexWidth::Two, 0x1_0000..) => self.widen(IndexWidth::Four, &[0, 0]),
            _ => {}
        }
        Ok(index)
    }

    /// Writes the numbers so far once more, with as many zeros after each as it has bytes.
    fn widen(&mut self, to: IndexWidth, zeros: &[u8]) {
        for piece in self.indexes.take_all() {
            for index in piece.chunks(zeros.len()) {
                self.indexes.append(index);
                self.indexes.append(zeros);
            }
        }
        self.index_width = to;
    }

    /// Hands everything over, and begins anew. Where there are no values at all, a block has
    /// nothing.
    pub(super) fn finish(&mut self, output: &mut Output) {
        if self.values > 0 {
            output.push(&(HAS_KEYS | IS_NEW | self.index_width.code()).to_le_bytes());
            output.push(&(self.entries.len() as u64).to_le_bytes());
            output.push(&self.keys);
            output.push(&self.values.to_le_bytes());
            self.indexes.finish(output);
        }
        self.begin();
    }
}
