//! The values of a
//! [`LowCardinality`](https://clickhouse.com/docs/sql-reference/data-types/lowcardinality).

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::DICTIONARY_FLAGS;
use super::buffer::{BlockWriter, ColumnBuffer};
use super::read::{MalformedRowKind, Read, string_bytes, take, take_null_flag};
use crate::formats::rowbinary::DataType;

/// The distinct values of a block, and for each value the index of one of them.
#[derive(Debug, Clone)]
pub(super) struct Dictionary {
    /// The size of a value, or `None` for strings.
    width: Option<usize>,
    nullable: bool,
    /// The distinct values, encoded as in a row. The first is the type's default, or NULL.
    keys: Vec<u8>,
    entries: Vec<Entry>,
    /// Indexes of entries, by the hashes of their values.
    table: HashTable<u32>,
    hasher: RandomState,
    /// The index of the last value.
    last: u32,
    /// The index of each value, in `index_width`.
    indexes: ColumnBuffer,
    index_width: IndexWidth,
    values: u64,
}

/// A distinct value.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its range in the keys.
    start: usize,
    end: usize,
    /// The index of the value that last followed this one. Keys of maps repeat in the same order,
    /// so this is usually the next value, and no hash is needed.
    next: u32,
}

/// The size of an index. It is kept from block to block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IndexWidth {
    One,
    Two,
    Four,
}

impl IndexWidth {
    /// The code of the width in a block.
    fn code(self) -> u64 {
        match self {
            Self::One => 0,
            Self::Two => 1,
            Self::Four => 2,
        }
    }
}

/// The bytes of an index, from the flags of a dictionary in a block. `None` if its values lie elsewhere.
pub(super) fn index_width(flags: u64) -> Option<usize> {
    match flags ^ DICTIONARY_FLAGS {
        code @ 0..=3 => Some(1 << code),
        _ => None,
    }
}

impl Dictionary {
    /// A dictionary without values. `None` for a type that cannot be in a `LowCardinality`.
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
            indexes: ColumnBuffer::default(),
            index_width: IndexWidth::One,
            values: 0,
        };
        dictionary.begin();
        Some(dictionary)
    }

    /// Resets the entries to the first ones that the server expects: NULL if the type is nullable,
    /// then the type's default.
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

    /// Moves the value at the front of the input to the column.
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

    /// Appends the first entry: NULL if the type is nullable, else the default.
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

    /// The index of a value, which is added if it is new.
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

    /// Rewrites the indexes so far, each with as many zeros after it as it has bytes.
    fn widen(&mut self, to: IndexWidth, zeros: &[u8]) {
        for piece in self.indexes.take_all() {
            for index in piece.chunks(zeros.len()) {
                self.indexes.append(index);
                self.indexes.append(zeros);
            }
        }
        self.index_width = to;
    }

    /// Moves everything to the block, which has nothing for a column without values.
    pub(super) fn finish(&mut self, output: &mut BlockWriter) {
        if self.values > 0 {
            output.push(&(DICTIONARY_FLAGS | self.index_width.code()).to_le_bytes());
            output.push(&(self.entries.len() as u64).to_le_bytes());
            output.push(&self.keys);
            output.push(&self.values.to_le_bytes());
            self.indexes.finish(output);
        }
        self.begin();
    }
}
