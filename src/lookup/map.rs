//! The map while it is being loaded: which version of a row counts, and what happens to the others.

use std::cmp::Ordering;

use super::LookupError;
use super::arena::Address;
use super::attributes::{self, Hint, Token, Tokens};
use super::dictionary::Dictionary;
use super::frozen::FrozenLookupMap;
use super::hash::{ByteHasher, shard_of};
use super::packed_key::{FrozenPrefixes, NO_PREFIX};
use super::record::{self, Stored};
use super::shard::{SHARD_BITS, SHARDS, Shard};
use super::values::ValueId;

/// The most different prefixes of keys that get a number; keys with further ones are stored whole.
pub(super) const PREFIX_LIMIT: usize = 1 << 16;
/// The longest key, so that every offset behind it in a record fits 32 bits.
const LONGEST_KEY: usize = 1 << 31;
/// Rows that are added together.
const INSERT_GROUP: usize = 16;
/// A scratch buffer that grew beyond this is given back.
const SCRATCH_BYTES: usize = 1 << 20;

/// How many columns the rows of a map have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapShape {
    /// Columns of the key, at least one.
    pub key_columns: usize,
    /// Columns that a lookup gives back, possibly none.
    pub attribute_columns: usize,
}

/// One row to be added: byte ranges as RowBinary has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct LookupRow<'a> {
    /// The key columns, one after the other.
    pub key: &'a [u8],
    /// Where each key column ends in `key`.
    pub key_ends: &'a [usize],
    /// The version column, mapped to a number in such a way that order is kept.
    pub version: u64,
    /// Whether this version says that the row was deleted.
    pub deleted: bool,
    /// The columns that a lookup gives back, one after the other. Not kept for a deleted row.
    pub attributes: &'a [u8],
    /// Where each of them ends in `attributes`.
    pub attribute_ends: &'a [usize],
}

/// Keys with the newest version of their attributes, while rows are still being added.
///
/// When all rows are in, [`freeze`](Self::freeze) makes the map that is looked things up in.
pub struct LookupMap {
    shape: MapShape,
    hasher: ByteHasher,
    /// All but the last column of keys.
    prefixes: Dictionary,
    /// Attribute columns.
    dictionary: Dictionary,
    shards: Box<[Shard]>,
    /// The first version seen; records keep the difference, which is short.
    base_version: Option<u64>,
    rows: usize,
    deleted_rows: usize,
    record: Vec<u8>,
    scratch: Vec<u8>,
    hints: Vec<Hint>,
}

impl LookupMap {
    /// An empty map for rows of this shape.
    pub fn new(shape: MapShape) -> Self {
        let mut prefixes = Dictionary::with_limit(1, PREFIX_LIMIT);
        // Number 0 is the empty prefix. It is the first of its dictionary and never released.
        let reserved = prefixes.intern(prefixes.hash(&[]), None, &[], 0);
        debug_assert_eq!(reserved, Ok(Some(NO_PREFIX)));
        Self {
            shape,
            hasher: ByteHasher::default(),
            prefixes,
            dictionary: Dictionary::with_limit(shape.attribute_columns, usize::MAX),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            base_version: None,
            rows: 0,
            deleted_rows: 0,
            record: Vec::new(),
            scratch: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// An empty map in which hashes have none of these bits: with all of them, every key and value
    /// collides.
    #[cfg(test)]
    pub(super) fn with_poor_hashes(shape: MapShape, cleared: u64) -> Self {
        let hasher = ByteHasher::without(cleared);
        let dictionary =
            Dictionary::with_limit(shape.attribute_columns, usize::MAX).with_hasher(hasher.clone());
        Self { hasher, dictionary, ..Self::new(shape) }
    }

    /// An empty map whose tables have room for `expected_rows` keys, so that they need not grow.
    ///
    /// # Errors
    /// [`LookupError::OutOfMemory`].
    pub fn with_capacity(shape: MapShape, expected_rows: usize) -> Result<Self, LookupError> {
        let mut map = Self::new(shape);
        // Hashing does not fill all shards alike: four standard deviations of room.
        let mean = expected_rows / SHARDS;
        let room = mean + 4 * mean.isqrt() + 4;
        for shard in &mut map.shards {
            shard.table.reserve(room)?;
        }
        Ok(map)
    }

    /// Adds a row, unless a greater one with its key is there; takes the place of a lesser one.
    ///
    /// Rows are ordered by version, then deleted above not deleted, then the bytes of all
    /// attributes: the result does not depend on the order in which rows come. The arguments are
    /// those of [`LookupRow`].
    ///
    /// # Errors
    /// [`LookupError::ColumnCount`], [`LookupError::ColumnEnds`] and [`LookupError::RowTooLarge`]
    /// for a row that is not what the map was made for; [`LookupError::Full`] and
    /// [`LookupError::OutOfMemory`]. A row that is refused is not in the map; after
    /// [`LookupError::OutOfMemory`] the map should be dropped.
    pub fn insert(
        &mut self,
        key: &[u8],
        key_ends: &[usize],
        version: u64,
        deleted: bool,
        attributes: &[u8],
        attribute_ends: &[usize],
    ) -> Result<(), LookupError> {
        let row = LookupRow { key, key_ends, version, deleted, attributes, attribute_ends };
        self.check(&row)?;
        let mut hints = std::mem::take(&mut self.hints);
        hints.clear();
        hints.extend(attributes::value_columns(attributes, attribute_ends).map(|value| {
            let hash = self.dictionary.hash(value.bytes);
            Hint { hash, guess: None }
        }));
        let done = self.insert_hashed(&row, self.hasher.hash(key), &hints);
        self.hints = hints;
        done
    }

    /// Adds many rows, as [`insert`](Self::insert) does one after the other, but faster: the memory
    /// that a group of rows needs is asked for before any of it is waited for.
    ///
    /// # Errors
    /// As [`insert`](Self::insert). The rows before the one that is refused are in the map, those
    /// behind it are not.
    pub fn insert_group(&mut self, rows: &[LookupRow<'_>]) -> Result<(), LookupError> {
        rows.chunks(INSERT_GROUP).try_for_each(|rows| {
            let mut hints = std::mem::take(&mut self.hints);
            hints.clear();
            let done = self.insert_one_group(rows, &mut hints);
            self.hints = hints;
            done
        })
    }

    fn insert_one_group(
        &mut self,
        rows: &[LookupRow<'_>],
        hints: &mut Vec<Hint>,
    ) -> Result<(), LookupError> {
        let mut key_hashes = [0u64; INSERT_GROUP];
        let mut hint_ends = [0usize; INSERT_GROUP];
        for ((row, key_hash), hint_end) in rows.iter().zip(&mut key_hashes).zip(&mut hint_ends) {
            *key_hash = self.hasher.hash(row.key);
            if let Some(shard) = self.shards.get(shard_of(*key_hash, SHARD_BITS)) {
                shard.table.prefetch(*key_hash);
                shard.arena.prefetch_end();
            }
            for value in attributes::value_columns(row.attributes, row.attribute_ends) {
                let hash = self.dictionary.hash(value.bytes);
                self.dictionary.prefetch_index(hash);
                hints.push(Hint { hash, guess: None });
            }
            *hint_end = hints.len();
        }
        for hint in hints.iter_mut() {
            hint.guess = self.dictionary.guess(hint.hash);
        }
        for id in hints.iter().filter_map(|hint| hint.guess) {
            self.dictionary.prefetch_guess(id);
        }
        let mut start = 0;
        for ((row, key_hash), end) in rows.iter().zip(key_hashes).zip(hint_ends) {
            self.check(row)?;
            self.insert_hashed(row, key_hash, hints.get(start..end).unwrap_or_default())?;
            start = end;
        }
        Ok(())
    }

    /// Refuses rows that do not have the map's shape.
    #[inline]
    fn check(&self, row: &LookupRow<'_>) -> Result<(), LookupError> {
        check_columns("key", row.key, row.key_ends, self.shape.key_columns)?;
        check_columns(
            "attribute",
            row.attributes,
            row.attribute_ends,
            self.shape.attribute_columns,
        )?;
        if row.key.len() > LONGEST_KEY {
            return Err(LookupError::RowTooLarge { length: row.key.len() });
        }
        Ok(())
    }

    #[inline]
    fn insert_hashed(
        &mut self,
        row: &LookupRow<'_>,
        hash: u64,
        hints: &[Hint],
    ) -> Result<(), LookupError> {
        let index = shard_of(hash, SHARD_BITS);
        let shard = self.shards.get(index).ok_or(LookupError::Full { shards: SHARDS })?;
        match shard.find(hash, row.key, self.prefixes.values()) {
            None => self.add(hash, index, row, hints),
            Some(address) => self.replace(hash, index, address, row, hints),
        }
    }

    /// Adds a row whose key is not there yet.
    fn add(
        &mut self,
        hash: u64,
        index: usize,
        row: &LookupRow<'_>,
        hints: &[Hint],
    ) -> Result<(), LookupError> {
        let (prefix, tail) = split_key(row);
        let (prefix, tail) =
            match self.prefixes.intern(self.prefixes.hash(prefix), None, prefix, 0)? {
                Some(prefix) => (prefix, tail),
                None => (NO_PREFIX, row.key),
            };
        self.encode(prefix, tail, row, hints)?;
        let shard = self.shards.get_mut(index).ok_or(LookupError::Full { shards: SHARDS })?;
        shard.add(hash, &self.record)?;
        self.rows += 1;
        self.deleted_rows += usize::from(row.deleted);
        self.give_scratch_back();
        Ok(())
    }

    /// Puts a row in the place of the one at `address`, if it is greater.
    #[cold]
    fn replace(
        &mut self,
        hash: u64,
        index: usize,
        address: Address,
        row: &LookupRow<'_>,
        hints: &[Hint],
    ) -> Result<(), LookupError> {
        let base = self.base_version.unwrap_or(row.version);
        let shard = self.shards.get(index).ok_or(LookupError::ForeignResult)?;
        let bytes = shard.arena.bytes_at(address).ok_or(LookupError::ForeignResult)?;
        let old = Stored::read(bytes, base).ok_or(LookupError::ForeignResult)?;
        match (row.version, row.deleted).cmp(&(old.version, old.key.deleted)) {
            Ordering::Less => return Ok(()),
            // Two deleted rows are the same miss.
            Ordering::Equal if row.deleted => return Ok(()),
            Ordering::Equal => {
                self.scratch.clear();
                attributes::decode(old.tokens, |id| self.dictionary.value(id), &mut self.scratch)
                    .ok_or(LookupError::ForeignResult)?;
                if row.attributes <= self.scratch.as_slice() {
                    return Ok(());
                }
            }
            Ordering::Greater => {}
        }

        let prefix = old.key.prefix;
        let tail =
            old.key.tail_of(row.key, self.prefixes.values()).ok_or(LookupError::ForeignResult)?;
        let was_deleted = old.key.deleted;
        let old_length = old.length;
        let released: Vec<ValueId> = Tokens::new(old.tokens)
            .filter_map(|token| match token {
                Token::Stored(id) => ValueId::try_from(id).ok(),
                Token::Inline(_) => None,
            })
            .collect();

        // The new values first, so that those which stay the same are not forgotten in between.
        self.encode(prefix, tail, row, hints)?;
        let shard = self.shards.get_mut(index).ok_or(LookupError::ForeignResult)?;
        shard.replace(hash, address, old_length, &self.record)?;
        self.deleted_rows = self.deleted_rows + usize::from(row.deleted) - usize::from(was_deleted);
        for id in released {
            self.dictionary.release(id)?;
        }
        if shard.arena.wants_compaction() {
            shard.compact(|record| Stored::read(record, base).map(|stored| stored.length))?;
        }
        self.give_scratch_back();
        Ok(())
    }

    /// Writes the record of a row into `self.record`.
    fn encode(
        &mut self,
        prefix: ValueId,
        tail: &[u8],
        row: &LookupRow<'_>,
        hints: &[Hint],
    ) -> Result<(), LookupError> {
        let base = *self.base_version.get_or_insert(row.version);
        self.record.clear();
        record::write_head(prefix, tail, row.deleted, row.version, base, &mut self.record);
        if row.deleted {
            return Ok(());
        }
        attributes::encode(
            row.attributes,
            row.attribute_ends,
            hints,
            &mut self.dictionary,
            &mut self.record,
        )
    }

    fn give_scratch_back(&mut self) {
        self.record.shrink_to(SCRATCH_BYTES);
        self.scratch.shrink_to(SCRATCH_BYTES);
    }

    /// Keys that are there, those whose newest version is deleted included.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Keys that a lookup would find.
    pub fn live_len(&self) -> usize {
        self.rows - self.deleted_rows
    }

    /// Bytes that the allocator gave: chunks, tables and lists. Takes time with the number of
    /// chunks, so not to be asked for each row.
    pub fn memory_bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::allocated_bytes).sum();
        size_of::<Self>()
            + shards
            + size_of_val(&*self.shards)
            + self.dictionary.allocated_bytes()
            + self.prefixes.allocated_bytes()
            + self.record.capacity()
            + self.scratch.capacity()
            + self.hints.capacity() * size_of::<Hint>()
    }

    /// Ends the loading: drops versions, deleted rows, and what only finds equal values.
    ///
    /// Rewrites one shard at a time, so that the peak is hardly above what the map had.
    ///
    /// # Errors
    /// [`LookupError::OutOfMemory`].
    pub fn freeze(self) -> Result<FrozenLookupMap, LookupError> {
        let base = self.base_version.unwrap_or_default();
        let (values, addresses) = self.dictionary.into_values().freeze();
        let prefixes = FrozenPrefixes::new(self.prefixes.values());
        drop(self.prefixes);
        let mut shards = self.shards;
        let mut scratch = self.record;
        for shard in &mut shards {
            shard
                .freeze(|bytes, out| record::freeze(bytes, base, &addresses, out), &mut scratch)?;
        }
        Ok(FrozenLookupMap::new(self.hasher, prefixes, values, shards))
    }
}

/// All key columns but the last, and the last.
#[inline]
fn split_key<'a>(row: &LookupRow<'a>) -> (&'a [u8], &'a [u8]) {
    let before_last = row.key_ends.len().checked_sub(2).and_then(|index| row.key_ends.get(index));
    row.key.split_at_checked(before_last.copied().unwrap_or(0)).unwrap_or((&[], row.key))
}

/// Refuses rows whose columns are not `expected` in number, or whose ends do not fit their bytes.
#[inline]
fn check_columns(
    side: &'static str,
    bytes: &[u8],
    ends: &[usize],
    expected: usize,
) -> Result<(), LookupError> {
    if ends.len() != expected {
        return Err(LookupError::ColumnCount { side, expected, found: ends.len() });
    }
    if ends.is_sorted() && ends.last().copied().unwrap_or(0) == bytes.len() {
        return Ok(());
    }
    Err(LookupError::ColumnEnds { side, length: bytes.len() })
}
