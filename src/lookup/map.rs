//! The map while it is loaded: it keeps the newest version of each key.

use std::cmp::Ordering;

use super::LookupError;
use super::arena::Address;
use super::dictionary::{Dictionary, ValueId};
use super::frozen::FrozenLookupMap;
use super::packed_key::{FrozenPrefixes, NO_PREFIX};
use super::record::{self, Hint, Stored, Token, Tokens};
use super::shard::{SHARD_BITS, SHARDS, Shard};
use super::table::{ByteHasher, shard_of};

/// The maximum number of prefixes with an id. Keys with other prefixes are stored whole.
pub(super) const PREFIX_LIMIT: usize = 1 << 16;
/// The longest key. It keeps offsets in a record within 32 bits.
const LONGEST_KEY: usize = 1 << 31;
/// The number of rows that are inserted together.
const INSERT_GROUP: usize = 16;
/// A scratch buffer that grew beyond this size is freed.
const SCRATCH_BYTES: usize = 1 << 20;

/// The numbers of columns of a map's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapShape {
    /// The number of key columns, at least one.
    pub key_columns: usize,
    /// The number of attribute columns, possibly none.
    pub attribute_columns: usize,
}

/// A row to insert, as RowBinary bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct LookupRow<'a> {
    /// The key columns.
    pub key: &'a [u8],
    /// The end of each key column in `key`.
    pub key_ends: &'a [usize],
    /// The version, as a number with the same order.
    pub version: u64,
    /// Whether this version deletes the row.
    pub deleted: bool,
    /// The attribute columns. Not stored for a deleted row.
    pub attributes: &'a [u8],
    /// The end of each attribute column in `attributes`.
    pub attribute_ends: &'a [usize],
}

/// Keys with the newest version of their attributes, while rows are inserted.
///
/// After the last row, [`freeze`](Self::freeze) turns it into a map for lookups.
pub struct LookupMap {
    shape: MapShape,
    hasher: ByteHasher,
    /// The prefixes of keys: all columns but the last.
    prefixes: Dictionary,
    /// The values of attribute columns.
    dictionary: Dictionary,
    shards: Box<[Shard]>,
    /// The first version. Records store the difference, which is short.
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
        // The empty prefix is the first value, with id 0, and is never released.
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

    /// An empty map that clears these bits of every hash, to force collisions.
    #[cfg(test)]
    pub(super) fn with_poor_hashes(shape: MapShape, cleared: u64) -> Self {
        let hasher = ByteHasher::without(cleared);
        let dictionary =
            Dictionary::with_limit(shape.attribute_columns, usize::MAX).with_hasher(hasher.clone());
        Self { hasher, dictionary, ..Self::new(shape) }
    }

    /// An empty map whose tables have room for `expected_rows` keys.
    ///
    /// # Errors
    /// [`LookupError::OutOfMemory`].
    pub fn with_capacity(shape: MapShape, expected_rows: usize) -> Result<Self, LookupError> {
        let mut map = Self::new(shape);
        // Shards are not filled evenly: leave room for four standard deviations.
        let mean = expected_rows / SHARDS;
        let room = mean + 4 * mean.isqrt() + 4;
        for shard in &mut map.shards {
            shard.table.reserve(room)?;
        }
        Ok(map)
    }

    /// Inserts a row, unless the map has a greater row with its key, and replaces a lesser one.
    ///
    /// Rows are ordered by version, then deleted above not deleted, then by the bytes of all
    /// attributes, so the result does not depend on the order of insertion. The arguments are those
    /// of [`LookupRow`].
    ///
    /// # Errors
    /// [`LookupError::ColumnCount`], [`LookupError::ColumnEnds`] and [`LookupError::RowTooLarge`]
    /// for a row that does not have the shape of the map; [`LookupError::Full`] and
    /// [`LookupError::OutOfMemory`]. A rejected row is not in the map. After
    /// [`LookupError::OutOfMemory`], drop the map.
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
        hints.extend(record::value_columns(attributes, attribute_ends).map(|value| {
            let hash = self.dictionary.hash(value.bytes);
            Hint { hash, guess: None }
        }));
        let done = self.insert_hashed(&row, self.hasher.hash(key), &hints);
        self.hints = hints;
        done
    }

    /// Inserts many rows. Faster than repeated [`insert`](Self::insert): the memory for a group of
    /// rows is prefetched.
    ///
    /// # Errors
    /// As [`insert`](Self::insert). The rows before the rejected one are in the map, those after it
    /// are not.
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
            for value in record::value_columns(row.attributes, row.attribute_ends) {
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

    /// Rejects rows that do not have the shape of the map.
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

    /// Adds a row with a new key.
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
        self.shrink_scratch();
        Ok(())
    }

    /// Replaces the row at `address`, if the new one is greater.
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
            // Two deleted rows are equivalent.
            Ordering::Equal if row.deleted => return Ok(()),
            Ordering::Equal => {
                self.scratch.clear();
                record::decode(old.tokens, |id| self.dictionary.value(id), &mut self.scratch)
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

        // Add the new values before releasing the old ones, so that common ones are kept.
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
        self.shrink_scratch();
        Ok(())
    }

    /// Writes the record of a row to `self.record`.
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
        record::encode(
            row.attributes,
            row.attribute_ends,
            hints,
            &mut self.dictionary,
            &mut self.record,
        )
    }

    fn shrink_scratch(&mut self) {
        self.record.shrink_to(SCRATCH_BYTES);
        self.scratch.shrink_to(SCRATCH_BYTES);
    }

    /// The number of keys, including those whose newest version is deleted.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether the map has no keys.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The number of keys that a lookup would find.
    pub fn live_len(&self) -> usize {
        self.rows - self.deleted_rows
    }

    /// The number of allocated bytes. Takes time linear in the number of chunks: do not call it for
    /// each row.
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

    /// Turns the map into an immutable one: drops versions, deleted rows and the dictionary's index.
    ///
    /// Rewrites one shard at a time, which adds little to the peak memory.
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

/// The prefix of a key (all columns but the last) and its tail.
#[inline]
fn split_key<'a>(row: &LookupRow<'a>) -> (&'a [u8], &'a [u8]) {
    let before_last = row.key_ends.len().checked_sub(2).and_then(|index| row.key_ends.get(index));
    row.key.split_at_checked(before_last.copied().unwrap_or(0)).unwrap_or((&[], row.key))
}

/// Rejects rows with another number of columns, or with ends that do not fit their bytes.
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
