//! A shard of a map: a table of addresses and the records at these addresses.
//!
//! Shards grow and are compacted one at a time, so the map's peak memory exceeds its final memory by
//! one shard.

use super::LookupError;
use super::arena::{Address, Arena, ArenaError};
use super::dictionary::Values;
use super::packed_key::PackedKey;
use super::table::PlaceTable;

/// The bits of a hash that choose the shard.
pub(super) const SHARD_BITS: u32 = 8;
/// The number of shards of a map.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;

/// A table of addresses and the records at these addresses.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) table: PlaceTable,
    pub(super) arena: Arena,
}

impl Shard {
    /// The address of the record with this key.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8], prefixes: &Values) -> Option<Address> {
        self.table.find(hash, |address| {
            self.arena
                .bytes_at(address)
                .and_then(PackedKey::read)
                .is_some_and(|packed| packed.is(key, prefixes))
        })
    }

    /// Adds a record with a new key.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, record: &[u8]) -> Result<(), LookupError> {
        self.table.reserve_one()?;
        let address = self.arena.push(record, &[]).map_err(into_lookup_error)?;
        self.table.add(hash, address);
        Ok(())
    }

    /// Replaces the record of `old_length` bytes at `address`.
    pub(super) fn replace(
        &mut self,
        hash: u64,
        address: Address,
        old_length: usize,
        record: &[u8],
    ) -> Result<(), LookupError> {
        if record.len() <= old_length && self.arena.overwrite(address, record) {
            self.arena.release(address, old_length - record.len(), false);
            return Ok(());
        }
        let moved = self.arena.push(record, &[]).map_err(into_lookup_error)?;
        self.table.change(hash, address, moved);
        self.arena.release(address, old_length, true);
        Ok(())
    }

    /// Moves every record to a new arena, which frees released bytes.
    pub(super) fn compact(
        &mut self,
        length: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<(), LookupError> {
        let mut old = std::mem::take(&mut self.arena);
        let arena = &mut self.arena;
        let mut failed = None;
        self.table.retain(|address| {
            let moved = match old.bytes_at(*address).and_then(&length) {
                Some(length) => arena.move_from(&mut old, *address, length),
                None => Err(ArenaError::Full),
            };
            match moved {
                Ok(moved) => *address = moved,
                Err(error) => failed = Some(error),
            }
            true
        });
        failed.map_or(Ok(()), |error| Err(into_lookup_error(error)))
    }

    /// Rewrites every record with `convert`, which appends to an empty buffer and returns whether to
    /// keep the record.
    pub(super) fn freeze(
        &mut self,
        convert: impl Fn(&[u8], &mut Vec<u8>) -> Option<bool>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), LookupError> {
        let old = std::mem::take(&mut self.arena);
        let arena = &mut self.arena;
        let mut failed = None;
        self.table.retain(|address| {
            scratch.clear();
            let moved = match old.bytes_at(*address).and_then(|bytes| convert(bytes, scratch)) {
                Some(true) => arena.push(scratch, &[]),
                Some(false) => return false,
                None => Err(ArenaError::Full),
            };
            match moved {
                Ok(moved) => *address = moved,
                Err(error) => failed = Some(error),
            }
            true
        });
        self.table.shrink_to_fit();
        self.table.prepare_prefetch();
        failed.map_or(Ok(()), |error| Err(into_lookup_error(error)))
    }

    /// The number of allocated bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.arena.allocated_bytes() + self.table.allocated_bytes()
    }
}

fn into_lookup_error(error: ArenaError) -> LookupError {
    error.into_lookup_error(SHARDS)
}
