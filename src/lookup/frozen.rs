//! The map while rows are looked up in it: it never changes, and is shared by many tasks.

use super::LookupError;
use super::arena::Address;
use super::attributes::{self, Token, Tokens};
use super::hash::{ByteHasher, shard_of};
use super::packed_key::{FrozenPrefixes, PackedKey};
use super::prefetch::prefetch;
use super::shard::{SHARD_BITS, Shard};
use super::values::FrozenValues;

/// Keys that are looked up together.
pub const GROUP: usize = 32;

/// Where the attributes of a key are. Of use only with the map that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    record: Address,
    /// Where the attributes begin in the record.
    attributes: u32,
    shard: u16,
}

/// Keys and the attributes of their newest version.
///
/// Made by [`LookupMap::freeze`](super::LookupMap::freeze). `Send` and `Sync`: share it in an
/// `Arc`.
pub struct FrozenLookupMap {
    hasher: ByteHasher,
    prefixes: FrozenPrefixes,
    values: FrozenValues,
    shards: Box<[Shard]>,
    rows: usize,
}

impl FrozenLookupMap {
    /// The shards' records have a key and tokens, nothing else.
    pub(super) fn new(
        hasher: ByteHasher,
        prefixes: FrozenPrefixes,
        values: FrozenValues,
        shards: Box<[Shard]>,
    ) -> Self {
        let rows = shards.iter().map(|shard| shard.table.len()).sum();
        Self { hasher, prefixes, values, shards, rows }
    }

    /// Looks up one key: the RowBinary bytes of the key columns, one after the other.
    pub fn find(&self, key: &[u8]) -> Option<Found> {
        self.find_hashed(self.hasher.hash(key), key)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<Found> {
        let shard_index = shard_of(hash, SHARD_BITS);
        let shard = self.shards.get(shard_index)?;
        let mut found = None;
        shard.table.find(hash, |address| {
            found = self.match_at(shard, shard_index, address, key);
            found.is_some()
        });
        found
    }

    /// The answer, if the record at `address` has this key.
    #[inline]
    fn match_at(
        &self,
        shard: &Shard,
        shard_index: usize,
        address: Address,
        key: &[u8],
    ) -> Option<Found> {
        let record = shard.arena.bytes_at(address)?;
        let packed = PackedKey::read(record)?;
        if !packed.is(key, &self.prefixes) {
            return None;
        }
        Some(Found {
            record: address,
            attributes: u32::try_from(record.len() - packed.rest.len()).ok()?,
            shard: u16::try_from(shard_index).ok()?,
        })
    }

    /// Looks up many keys, and writes the answer of each to the same place in `out`.
    ///
    /// Faster than one [`find`](Self::find) after the other: the memory that the keys of a group
    /// need is asked for before any of it is waited for. Keys beyond the end of `out` are not
    /// looked up.
    pub fn find_group(&self, keys: &[&[u8]], out: &mut [Option<Found>]) {
        for (keys, out) in keys.chunks(GROUP).zip(out.chunks_mut(GROUP)) {
            self.find_one_group(keys, out);
        }
    }

    fn find_one_group(&self, keys: &[&[u8]], out: &mut [Option<Found>]) {
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
                // The first record whose fingerprint fits is nearly always the right one.
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

    /// The tokens of an answer.
    #[inline]
    fn tokens(&self, found: Found) -> Option<&[u8]> {
        self.shards
            .get(usize::from(found.shard))?
            .arena
            .bytes_at(found.record)?
            .get(found.attributes as usize..)
    }

    /// Asks for the memory that [`append_to`](Self::append_to) will need for these answers.
    pub fn prefetch_attributes(&self, found: &[Option<Found>]) {
        for &found in found.iter().flatten() {
            for token in Tokens::new(self.tokens(found).unwrap_or_default()) {
                if let Token::Stored(address) = token {
                    self.values.prefetch(address);
                }
            }
        }
    }

    /// Appends the attributes of an answer: the RowBinary bytes of the columns, exactly as they
    /// were given.
    ///
    /// # Errors
    /// [`LookupError::ForeignResult`] if another map gave the answer and this one notices; nothing
    /// is appended then.
    #[inline]
    pub fn append_to(&self, found: Found, out: &mut Vec<u8>) -> Result<(), LookupError> {
        self.tokens(found)
            .and_then(|tokens| attributes::decode(tokens, |address| self.values.get(address), out))
            .ok_or(LookupError::ForeignResult)
    }

    /// How many bytes [`append_to`](Self::append_to) would append; about as much work as appending
    /// them.
    ///
    /// # Errors
    /// [`LookupError::ForeignResult`] as for [`append_to`](Self::append_to).
    pub fn attribute_bytes_len(&self, found: Found) -> Result<usize, LookupError> {
        self.tokens(found)
            .and_then(|tokens| {
                attributes::decoded_length(tokens, |address| self.values.get(address))
            })
            .ok_or(LookupError::ForeignResult)
    }

    /// Keys that can be found.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is nothing to be found.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Keys that can be found; a frozen map has no others.
    pub fn live_len(&self) -> usize {
        self.rows
    }

    /// Bytes that the allocator gave: chunks, tables and lists.
    pub fn memory_bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::allocated_bytes).sum();
        size_of::<Self>()
            + shards
            + size_of_val(&*self.shards)
            + self.values.allocated_bytes()
            + self.prefixes.allocated_bytes()
    }
}
