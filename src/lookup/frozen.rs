//! The immutable map that tasks look keys up in.

use super::LookupError;
use super::arena::{Address, prefetch};
use super::dictionary::FrozenValues;
use super::packed_key::{FrozenPrefixes, PackedKey};
use super::record::{self, Token, Tokens};
use super::shard::{SHARD_BITS, Shard};
use super::table::{ByteHasher, shard_of};

/// The number of keys that are looked up together.
pub const GROUP: usize = 32;

/// The result of a successful lookup. It is valid only with the map that returned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupHit {
    record: Address,
    /// The offset of the attributes in the record.
    attributes: u32,
    shard: u16,
}

/// Keys and the attributes of their newest version.
///
/// Created by [`LookupMap::freeze`](super::LookupMap::freeze).
pub struct FrozenLookupMap {
    hasher: ByteHasher,
    prefixes: FrozenPrefixes,
    values: FrozenValues,
    shards: Box<[Shard]>,
    rows: usize,
}

impl FrozenLookupMap {
    /// A map of shards whose records are frozen.
    pub(super) fn new(
        hasher: ByteHasher,
        prefixes: FrozenPrefixes,
        values: FrozenValues,
        shards: Box<[Shard]>,
    ) -> Self {
        let rows = shards.iter().map(|shard| shard.table.len()).sum();
        Self { hasher, prefixes, values, shards, rows }
    }

    /// Looks up a key, given as the RowBinary bytes of its columns.
    pub fn find(&self, key: &[u8]) -> Option<LookupHit> {
        self.find_hashed(self.hasher.hash(key), key)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<LookupHit> {
        let shard_index = shard_of(hash, SHARD_BITS);
        let shard = self.shards.get(shard_index)?;
        let mut found = None;
        shard.table.find(hash, |address| {
            found = self.match_at(shard, shard_index, address, key);
            found.is_some()
        });
        found
    }

    /// The result, if the record at `address` has this key.
    #[inline]
    fn match_at(
        &self,
        shard: &Shard,
        shard_index: usize,
        address: Address,
        key: &[u8],
    ) -> Option<LookupHit> {
        let record = shard.arena.bytes_at(address)?;
        let packed = PackedKey::read(record)?;
        if !packed.is(key, &self.prefixes) {
            return None;
        }
        Some(LookupHit {
            record: address,
            attributes: u32::try_from(record.len() - packed.rest.len()).ok()?,
            shard: u16::try_from(shard_index).ok()?,
        })
    }

    /// Looks up many keys, and writes the result of each to the same index of `out`. Keys beyond the
    /// end of `out` are ignored.
    ///
    /// Faster than repeated [`find`](Self::find): the memory for a group of keys is prefetched.
    pub fn find_group(&self, keys: &[&[u8]], out: &mut [Option<LookupHit>]) {
        for (keys, out) in keys.chunks(GROUP).zip(out.chunks_mut(GROUP)) {
            self.find_one_group(keys, out);
        }
    }

    fn find_one_group(&self, keys: &[&[u8]], out: &mut [Option<LookupHit>]) {
        let mut hashes = [0u64; GROUP];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hasher.hash(key);
            if let Some(shard) = self.shards.get(shard_of(*hash, SHARD_BITS)) {
                shard.table.prefetch(*hash);
            }
        }
        let mut candidates = [None; GROUP];
        for (candidate, (&hash, _)) in candidates.iter_mut().zip(hashes.iter().zip(keys)) {
            if let Some(shard) = self.shards.get(shard_of(hash, SHARD_BITS)) {
                // The first record with the same fingerprint is almost always the right one.
                *candidate = shard.table.find(hash, |_| true);
                if let Some(record) = candidate.and_then(|address| shard.arena.bytes_at(address)) {
                    prefetch(record);
                }
            }
        }
        for (((out, key), hash), candidate) in out.iter_mut().zip(keys).zip(hashes).zip(candidates)
        {
            *out = candidate.and_then(|address| {
                let shard_index = shard_of(hash, SHARD_BITS);
                let shard = self.shards.get(shard_index)?;
                self.match_at(shard, shard_index, address, key)
                    .or_else(|| self.find_hashed(hash, key))
            });
        }
    }

    /// The attribute tokens of a result.
    #[inline]
    fn tokens(&self, found: LookupHit) -> Option<&[u8]> {
        self.shards
            .get(usize::from(found.shard))?
            .arena
            .bytes_at(found.record)?
            .get(found.attributes as usize..)
    }

    /// Prefetches the memory that [`append_to`](Self::append_to) reads for these results.
    pub fn prefetch_attributes(&self, found: &[Option<LookupHit>]) {
        for &found in found.iter().flatten() {
            for token in Tokens::new(self.tokens(found).unwrap_or_default()) {
                if let Token::Stored(address) = token {
                    self.values.prefetch(address);
                }
            }
        }
    }

    /// Appends the attributes of a result: the RowBinary bytes of the columns, exactly as they were
    /// given.
    ///
    /// # Errors
    /// [`LookupError::ForeignResult`] if the map detects a result of another map. Then nothing is
    /// appended.
    #[inline]
    pub fn append_to(&self, found: LookupHit, out: &mut Vec<u8>) -> Result<(), LookupError> {
        self.tokens(found)
            .and_then(|tokens| record::decode(tokens, |address| self.values.get(address), out))
            .ok_or(LookupError::ForeignResult)
    }

    /// The number of bytes that [`append_to`](Self::append_to) would append. This takes about as
    /// long as appending them.
    ///
    /// # Errors
    /// [`LookupError::ForeignResult`] as for [`append_to`](Self::append_to).
    pub fn attribute_bytes_len(&self, found: LookupHit) -> Result<usize, LookupError> {
        self.tokens(found)
            .and_then(|tokens| record::decoded_length(tokens, |address| self.values.get(address)))
            .ok_or(LookupError::ForeignResult)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether the map has no keys.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The number of keys that a lookup finds: all of them.
    pub fn live_len(&self) -> usize {
        self.rows
    }

    /// The number of allocated bytes.
    pub fn memory_bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::allocated_bytes).sum();
        size_of::<Self>()
            + shards
            + size_of_val(&*self.shards)
            + self.values.allocated_bytes()
            + self.prefixes.allocated_bytes()
    }
}
