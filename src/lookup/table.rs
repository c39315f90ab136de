//! A hash table from hashes to 32-bit places, for things that are kept elsewhere.
//!
//! An entry is a place and 32 bits of the hash. Those bits are enough to tell nearly all other
//! things apart without looking at them, and to grow the table without reading a single one of them
//! again. Whether a thing is the one that is looked for is always decided by the caller, by
//! comparing all of its bytes.

use hashbrown::HashTable;

use super::LookupError;
use super::prefetch::prefetch_line;

/// Bits of a hash that choose a bucket. A table with more buckets than that still works, with
/// longer searches.
const BUCKET_BITS: u32 = 25;
const BUCKET_MASK: u64 = (1 << BUCKET_BITS) - 1;
/// hashbrown compares the topmost seven bits of a hash before it looks at an entry.
const TAG_SHIFT: u32 = 57;

/// Where a thing is kept.
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

/// Places under hashes, see the module.
#[derive(Default)]
pub(super) struct PlaceTable {
    entries: HashTable<Entry>,
    /// Where the table's tags begin, for [`prefetch`](Self::prefetch) alone; zero if not known.
    tags: usize,
}

impl PlaceTable {
    /// The first place under this hash for which `is_it` says yes.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        let wanted = fingerprint(hash);
        let entry = self
            .entries
            .find(hash_of(hash), |entry| entry.fingerprint == wanted && is_it(entry.place));
        entry.map(|entry| entry.place)
    }

    /// Makes room for one more place.
    #[inline]
    pub(super) fn reserve_one(&mut self) -> Result<(), LookupError> {
        if self.entries.len() == self.entries.capacity() { self.reserve(1) } else { Ok(()) }
    }

    /// Makes room for so many more places.
    #[cold]
    pub(super) fn reserve(&mut self, places: usize) -> Result<(), LookupError> {
        let bytes = self.entries.allocation_size().saturating_mul(2);
        self.tags = 0;
        self.entries
            .try_reserve(places, |entry| entry.hash())
            .map_err(|_| LookupError::OutOfMemory { bytes })
    }

    /// Adds a place, which must not be there yet. Room for it must have been made.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, place: Place) {
        let entry = Entry { place, fingerprint: fingerprint(hash) };
        let occupied = self.entries.insert_unique(hash_of(hash), entry, |entry| entry.hash());
        // Entries are laid out downwards from the tags.
        let index = occupied.bucket_index();
        self.tags = std::ptr::from_ref(occupied.get()).addr() + (index + 1) * size_of::<Entry>();
    }

    /// Writes another place over one that is there.
    pub(super) fn change(&mut self, hash: u64, from: Place, to: Place) {
        if let Some(entry) = self.entries.find_mut(hash_of(hash), |entry| entry.place == from) {
            entry.place = to;
        }
    }

    /// Takes a place out.
    pub(super) fn remove(&mut self, hash: u64, place: Place) {
        if let Ok(entry) = self.entries.find_entry(hash_of(hash), |entry| entry.place == place) {
            entry.remove();
        }
    }

    /// Shows every place, to be changed, and keeps those for which `keep` says yes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Place) -> bool) {
        self.entries.retain(|entry| keep(&mut entry.place));
    }

    /// Gives back buckets that are not needed.
    pub(super) fn shrink_to_fit(&mut self) {
        let before = self.entries.num_buckets();
        self.entries.shrink_to_fit(|entry| entry.hash());
        if self.entries.num_buckets() != before {
            self.tags = 0;
        }
    }

    /// Learns again where the memory is, after the table was shrunk.
    pub(super) fn prepare_prefetch(&mut self) {
        if let Some(index) = self.entries.iter_buckets().next()
            && let Some(entry) = self.entries.get_bucket(index)
        {
            self.tags = std::ptr::from_ref(entry).addr() + (index + 1) * size_of::<Entry>();
        }
    }

    /// Asks for the memory that [`find`](Self::find) will read first.
    ///
    /// This knows how hashbrown lays a table out (entries downwards and tags upwards from one
    /// place, searched from `hash % buckets` on). Were that to change, the wrong memory would be
    /// asked for, which is slow and nothing else.
    #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are kept")]
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if self.tags == 0 {
            return;
        }
        let position = (hash_of(hash) as usize) & self.entries.num_buckets().wrapping_sub(1);
        // The position's tag, and the entry there or one of its neighbours.
        prefetch_line(std::ptr::without_provenance::<u8>(self.tags.wrapping_add(position)));
        let entry = self.tags.wrapping_sub((position + 1) * size_of::<Entry>());
        prefetch_line(std::ptr::without_provenance::<u8>(entry));
        prefetch_line(std::ptr::without_provenance::<u8>(
            entry.wrapping_sub(4 * size_of::<Entry>()),
        ));
    }

    /// Places that are there.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that the allocator gave.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.entries.allocation_size()
    }
}

/// The bits of a hash that an entry keeps: a table must see the same number when it grows.
#[inline]
fn hash_of(hash: u64) -> u64 {
    hash & (BUCKET_MASK | (u64::MAX << TAG_SHIFT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::hash::ByteHasher;

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
