//! A hash table from hashes to 32-bit places of things that are stored elsewhere.
//!
//! An entry is a place and 32 bits of the hash. These bits rule out almost all other things without
//! reading them, and let the table grow without hashing again. The caller decides whether a thing is
//! the one it looks for, by comparing all of its bytes.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::LookupError;
use super::arena::prefetch_line;

/// The bits of a hash that choose a bucket. A table with more buckets works, with longer searches.
const BUCKET_BITS: u32 = 25;
const BUCKET_MASK: u64 = (1 << BUCKET_BITS) - 1;
/// hashbrown compares the topmost seven bits of a hash before it looks at an entry.
const TAG_SHIFT: u32 = 57;

/// Where a thing is stored.
pub(super) type Place = u32;

#[derive(Debug, Clone, Copy)]
struct Entry {
    place: Place,
    fingerprint: u32,
}

impl Entry {
    #[inline]
    fn hash(self) -> u64 {
        let fingerprint = u64::from(self.fingerprint);
        (fingerprint & BUCKET_MASK) | (fingerprint >> BUCKET_BITS << TAG_SHIFT)
    }
}

#[inline]
fn fingerprint(hash: u64) -> u32 {
    (hash & BUCKET_MASK) as u32 | ((hash >> TAG_SHIFT) as u32) << BUCKET_BITS
}

/// A table from hashes to places; see the module.
#[derive(Default)]
pub(super) struct PlaceTable {
    entries: HashTable<Entry>,
    /// The address of the table's tags, used only by [`prefetch`](Self::prefetch); 0 if unknown.
    tags: usize,
}

impl PlaceTable {
    /// The first place under this hash for which `matches` returns `true`.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut matches: impl FnMut(Place) -> bool) -> Option<Place> {
        let wanted = fingerprint(hash);
        let entry = self
            .entries
            .find(hash_of(hash), |entry| entry.fingerprint == wanted && matches(entry.place));
        entry.map(|entry| entry.place)
    }

    /// Reserves room for one more place.
    #[inline]
    pub(super) fn reserve_one(&mut self) -> Result<(), LookupError> {
        if self.entries.len() == self.entries.capacity() { self.reserve(1) } else { Ok(()) }
    }

    /// Reserves room for this many more places.
    #[cold]
    pub(super) fn reserve(&mut self, places: usize) -> Result<(), LookupError> {
        let bytes = self.entries.allocation_size().saturating_mul(2);
        self.tags = 0;
        self.entries
            .try_reserve(places, |entry| entry.hash())
            .map_err(|_| LookupError::OutOfMemory { bytes })
    }

    /// Adds a place, which must be new. Its room must have been reserved.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, place: Place) {
        let entry = Entry { place, fingerprint: fingerprint(hash) };
        let occupied = self.entries.insert_unique(hash_of(hash), entry, |entry| entry.hash());
        // Entries are laid out downwards from the tags.
        let index = occupied.bucket_index();
        self.tags = std::ptr::from_ref(occupied.get()).addr() + (index + 1) * size_of::<Entry>();
    }

    /// Replaces a place by another one.
    pub(super) fn change(&mut self, hash: u64, from: Place, to: Place) {
        if let Some(entry) = self.entries.find_mut(hash_of(hash), |entry| entry.place == from) {
            entry.place = to;
        }
    }

    /// Removes a place.
    pub(super) fn remove(&mut self, hash: u64, place: Place) {
        if let Ok(entry) = self.entries.find_entry(hash_of(hash), |entry| entry.place == place) {
            entry.remove();
        }
    }

    /// Visits every place, which may be changed, and keeps those for which `keep` returns `true`.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Place) -> bool) {
        self.entries.retain(|entry| keep(&mut entry.place));
    }

    /// Frees unneeded buckets.
    pub(super) fn shrink_to_fit(&mut self) {
        let before = self.entries.num_buckets();
        self.entries.shrink_to_fit(|entry| entry.hash());
        if self.entries.num_buckets() != before {
            self.tags = 0;
        }
    }

    /// Sets the address of the tags again, after the table was shrunk.
    pub(super) fn prepare_prefetch(&mut self) {
        if let Some(index) = self.entries.iter_buckets().next()
            && let Some(entry) = self.entries.get_bucket(index)
        {
            self.tags = std::ptr::from_ref(entry).addr() + (index + 1) * size_of::<Entry>();
        }
    }

    /// Prefetches the memory that [`find`](Self::find) reads first.
    ///
    /// This relies on hashbrown's memory layout: entries downwards and tags upwards from one
    /// address, searched from `hash % buckets`. If the layout changes, the wrong memory is
    /// prefetched, which is slower but still correct.
    #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are kept")]
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if self.tags == 0 {
            return;
        }
        let position = (hash_of(hash) as usize) & self.entries.num_buckets().wrapping_sub(1);
        // The tag at the position, and the entry there or next to it.
        prefetch_line(std::ptr::without_provenance::<u8>(self.tags.wrapping_add(position)));
        let entry = self.tags.wrapping_sub((position + 1) * size_of::<Entry>());
        prefetch_line(std::ptr::without_provenance::<u8>(entry));
        prefetch_line(std::ptr::without_provenance::<u8>(
            entry.wrapping_sub(4 * size_of::<Entry>()),
        ));
    }

    /// The number of places.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of allocated bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

/// The bits of a hash that an entry stores: a growing table must see the same hash.
#[inline]
fn hash_of(hash: u64) -> u64 {
    hash & (BUCKET_MASK | (u64::MAX << TAG_SHIFT))
}

/// Hashes byte strings with a random seed.
///
/// Keys are users' data, so collisions must not be predictable: foldhash takes a seed for
/// each map. Its quality variant mixes all bits, so that shard, bucket and tag can be taken from
/// different bits of one hash. Hashes are never stored and never leave the process.
#[derive(Debug, Clone, Default)]
pub(super) struct ByteHasher {
    state: RandomState,
    /// Bits to clear, so that tests can force collisions.
    #[cfg(test)]
    cleared: u64,
}

impl ByteHasher {
    /// The hash of `bytes`.
    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(bytes);
        #[cfg(test)]
        return hasher.finish() & !self.cleared;
        #[cfg(not(test))]
        hasher.finish()
    }

    /// A hasher that clears these bits of every hash.
    #[cfg(test)]
    pub(super) fn without(cleared: u64) -> Self {
        Self { cleared, ..Self::default() }
    }
}

/// The shard of a hash, out of `2^bits`.
///
/// It takes the bits below the seven that hashbrown uses as a tag; buckets come from the lowest bits.
#[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are kept")]
#[inline]
pub(super) fn shard_of(hash: u64, bits: u32) -> usize {
    (hash >> (57 - bits)) as usize & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_the_hash_that_the_table_saw() {
        for hash in [0, u64::MAX, 0x8123_4567_89ab_cdef, 1 << 57, 1 << 24, 1 << 25] {
            let entry = Entry { place: 7, fingerprint: fingerprint(hash) };
            assert_eq!(entry.hash(), hash_of(hash));
        }
    }

    #[test]
    fn places_are_found_after_growing_changing_removing_and_shrinking() {
        let hasher = ByteHasher::default();
        let hash = |place: Place| hasher.hash(&place.to_le_bytes());
        let mut table = PlaceTable::default();
        for place in 0..5_000 {
            table.reserve_one().unwrap();
            table.add(hash(place), place);
        }
        for place in 0..5_000 {
            assert_eq!(table.find(hash(place), |found| found == place), Some(place));
            table.prefetch(hash(place));
        }
        table.change(hash(17), 17, 70_000);
        table.remove(hash(18), 18);
        table.retain(|place| *place < 100 || *place == 70_000);
        table.shrink_to_fit();
        table.prepare_prefetch();
        assert_eq!(table.len(), 99);
        assert_eq!(table.find(hash(17), |_| true), Some(70_000));
        assert_eq!(table.find(hash(18), |_| true), None);
        assert_eq!(table.find(hash(99), |_| true), Some(99));
        assert_eq!(table.find(hash(4_999), |place| place == 4_999), None);
    }

    #[test]
    fn the_prefetched_memory_is_where_the_entries_are() {
        let hasher = ByteHasher::default();
        let mut table = PlaceTable::default();
        for place in 0..1_000u32 {
            table.reserve_one().unwrap();
            table.add(hasher.hash(&place.to_le_bytes()), place);
        }
        let tags = table.tags;
        table.tags = 0;
        table.prepare_prefetch();
        assert_eq!(table.tags, tags);
        for index in table.entries.iter_buckets() {
            let entry = table.entries.get_bucket(index).unwrap();
            assert_eq!(std::ptr::from_ref(entry).addr(), tags - (index + 1) * size_of::<Entry>());
        }
    }
}
