//! Values that are stored once each, under small ids.
//!
//! [`Values`] maps ids to bytes. [`Dictionary`] finds the id of a value and frees values without
//! users.
//!
//! A value's users are counted in one byte. A count of 255 is never decremented: such a value stays
//! for the life of the map, which wastes at most one byte for every 255 that sharing it has saved.
//!
//! Long values always get an id. A short one is barely larger than its entry in the index, and gets
//! an id only if its column has repetitions: a column starts with credit, pays for every new short
//! value, and earns with every repeated one.

use super::LookupError;
use super::arena::{Address, Arena, ArenaError, Chunks, prefetch, prefetch_line};
use super::table::{ByteHasher, Place, PlaceTable, shard_of};
use crate::formats::varint;

/// The index is split into 64 tables that grow separately, so growing needs little extra memory.
const SHARD_BITS: u32 = 6;
const SHARDS: usize = 1 << SHARD_BITS;

/// Values below this length need credit to get an id.
const SHORT_VALUE: usize = 20;
/// The initial and maximum credit of a column.
const CREDIT: u32 = 1 << 15;

/// Values with lower ids came early and are assumed to be frequent, so already cached.
const FREQUENT: ValueId = 1 << 11;

/// A saturated count of users.
const MANY: u8 = u8::MAX;
/// The end of the list of free ids.
const NO_ID: ValueId = ValueId::MAX;

/// Finds values by their bytes and counts their users; see the module.
pub(super) struct Dictionary {
    hasher: ByteHasher,
    values: Values,
    users: Vec<u8>,
    index: Box<[PlaceTable]>,
    /// The first free id. The part of each free id holds the next one.
    free: ValueId,
    /// The maximum number of ids.
    limit: usize,
    credits: Box<[u32]>,
}

impl Dictionary {
    /// An empty dictionary for at most `limit` values of this many columns.
    pub(super) fn with_limit(columns: usize, limit: usize) -> Self {
        Self {
            hasher: ByteHasher::default(),
            values: Values::default(),
            users: Vec::new(),
            index: (0..SHARDS).map(|_| PlaceTable::default()).collect(),
            free: NO_ID,
            limit: limit.min(NO_ID as usize),
            credits: vec![CREDIT; columns].into_boxed_slice(),
        }
    }

    /// Replaces the hasher of an empty dictionary.
    #[cfg(test)]
    pub(super) fn with_hasher(self, hasher: ByteHasher) -> Self {
        Self { hasher, ..self }
    }

    /// The values by id.
    #[inline]
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The value of a token.
    #[inline]
    pub(super) fn value(&self, id: u64) -> Option<&[u8]> {
        self.values.get(ValueId::try_from(id).ok()?)
    }

    /// The hash of a value.
    #[inline]
    pub(super) fn hash(&self, value: &[u8]) -> u64 {
        self.hasher.hash(value)
    }

    /// Prefetches the index entry of a value with this hash.
    #[inline]
    pub(super) fn prefetch_index(&self, hash: u64) {
        if let Some(index) = self.index.get(shard_of(hash, SHARD_BITS)) {
            index.prefetch(hash);
        }
    }

    /// The id of the value that probably has this hash. Prefetches its part.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<ValueId> {
        let id = self.index.get(shard_of(hash, SHARD_BITS))?.find(hash, |_| true)?;
        if id >= FREQUENT {
            self.values.prefetch_slot(id);
            if let Some(users) = self.users.get(id as usize) {
                prefetch_line(users);
            }
        }
        Some(id)
    }

    /// Prefetches the bytes of a [guessed](Self::guess) value.
    #[inline]
    pub(super) fn prefetch_guess(&self, id: ValueId) {
        if id >= FREQUENT {
            self.values.prefetch_bytes(id);
        }
    }

    /// Adds a user to `value` and returns its id. `None` if the value should be stored in place.
    ///
    /// `hash` is its hash, `guess` an id that it may have, `column` the index of its column.
    #[inline]
    pub(super) fn intern(
        &mut self,
        hash: u64,
        guess: Option<ValueId>,
        value: &[u8],
        column: usize,
    ) -> Result<Option<ValueId>, LookupError> {
        if let Some(id) = guess
            && let Some(users) = self.users.get_mut(id as usize)
            && *users > 0
            && self.values.get(id) == Some(value)
        {
            *users = users.saturating_add(1);
            if value.len() < SHORT_VALUE
                && let Some(credit) = self.credits.get_mut(column)
            {
                *credit = (*credit + 1).min(CREDIT);
            }
            return Ok(Some(id));
        }
        self.intern_unguessed(hash, value, column)
    }

    fn intern_unguessed(
        &mut self,
        hash: u64,
        value: &[u8],
        column: usize,
    ) -> Result<Option<ValueId>, LookupError> {
        let Some(index) = self.index.get_mut(shard_of(hash, SHARD_BITS)) else {
            return Ok(None);
        };
        let values = &mut self.values;
        let short = value.len() < SHORT_VALUE;
        let found = index.find(hash, |id| values.get(id) == Some(value));
        if let Some(id) = found {
            if let Some(users) = self.users.get_mut(id as usize) {
                *users = users.saturating_add(1);
            }
            if short && let Some(credit) = self.credits.get_mut(column) {
                *credit = (*credit + 1).min(CREDIT);
            }
            return Ok(Some(id));
        }
        if short && let Some(credit) = self.credits.get_mut(column) {
            if *credit == 0 {
                return Ok(None);
            }
            *credit -= 1;
        }
        if self.free == NO_ID && values.len() >= self.limit {
            return Ok(None);
        }
        index.reserve_one()?;
        let id = if self.free == NO_ID {
            self.users
                .try_reserve(1)
                .map_err(|_| LookupError::OutOfMemory { bytes: self.users.len() })?;
            let Some(id) = values.push(value).map_err(into_lookup_error)? else {
                return Ok(None);
            };
            self.users.push(1);
            id
        } else {
            let id = self.free;
            let next = values.slot_content(id).unwrap_or(NO_ID);
            values.replace(id, value).map_err(into_lookup_error)?;
            self.free = next;
            if let Some(users) = self.users.get_mut(id as usize) {
                *users = 1;
            }
            id
        };
        index.add(hash, Place::from(id));
        Ok(Some(id))
    }

    /// Removes a user of a value, and frees the value with its last user.
    pub(super) fn release(&mut self, id: ValueId) -> Result<(), LookupError> {
        let Some(users) = self.users.get_mut(id as usize) else {
            return Ok(());
        };
        if *users == MANY || *users == 0 {
            return Ok(());
        }
        *users -= 1;
        if *users > 0 {
            return Ok(());
        }
        if let Some(value) = self.values.get(id) {
            let hash = self.hasher.hash(value);
            if let Some(index) = self.index.get_mut(shard_of(hash, SHARD_BITS)) {
                index.remove(hash, id);
            }
        }
        let users = &self.users;
        self.values
            .release(id, |id| users.get(id as usize).is_some_and(|&users| users > 0))
            .map_err(into_lookup_error)?;
        self.values.set_slot(id, self.free);
        self.free = id;
        Ok(())
    }

    /// The values, without the index.
    pub(super) fn into_values(self) -> Values {
        self.values
    }

    /// The number of allocated bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        let index: usize = self.index.iter().map(PlaceTable::allocated_bytes).sum();
        self.values.allocated_bytes()
            + self.users.capacity()
            + index
            + size_of_val(&*self.index)
            + size_of_val(&*self.credits)
    }
}

fn into_lookup_error(error: ArenaError) -> LookupError {
    error.into_lookup_error(SHARDS)
}

/// The id of a stored value.
pub(super) type ValueId = u32;

/// The values of a page share an arena and are compacted together.
const PAGE_BITS: u32 = 16;
const PAGE_VALUES: usize = 1 << PAGE_BITS;

/// A page of values with consecutive ids.
///
/// Its arena cannot run out of addresses: each of its 65,536 values takes at most a dedicated chunk
/// or a quarter of a regular one, and an arena has 131,072 chunks.
#[derive(Default)]
struct Page {
    arena: Arena,
    /// The address of each value, stored with its length.
    addresses: Vec<Address>,
}

/// Values under consecutive ids; see the module.
#[derive(Default)]
pub(super) struct Values {
    pages: Vec<Page>,
}

impl Values {
    /// The value with this id.
    #[inline]
    pub(super) fn get(&self, id: ValueId) -> Option<&[u8]> {
        let (page, part) = place(id);
        let page = self.pages.get(page)?;
        let mut stored = page.arena.bytes_at(*page.addresses.get(part)?)?;
        varint::take_slice(&mut stored).ok()
    }

    /// Prefetches the address of a value.
    #[inline]
    pub(super) fn prefetch_slot(&self, id: ValueId) {
        let (page, part) = place(id);
        if let Some(address) = self.pages.get(page).and_then(|page| page.addresses.get(part)) {
            prefetch_line(std::ptr::from_ref(address));
        }
    }

    /// Prefetches the bytes of a value, whose address should be in the cache.
    #[inline]
    pub(super) fn prefetch_bytes(&self, id: ValueId) {
        let (page, part) = place(id);
        let stored =
            self.pages.get(page).and_then(|page| page.arena.bytes_at(*page.addresses.get(part)?));
        if let Some(stored) = stored {
            prefetch(stored);
        }
    }

    /// The number of ids, including those of released values.
    pub(super) fn len(&self) -> usize {
        match self.pages.split_last() {
            Some((last, full)) => full.len() * PAGE_VALUES + last.addresses.len(),
            None => 0,
        }
    }

    /// Stores a value under the next id. `None` if there is none left.
    pub(super) fn push(&mut self, value: &[u8]) -> Result<Option<ValueId>, ArenaError> {
        let Ok(id) = ValueId::try_from(self.len()) else {
            return Ok(None);
        };
        let (page, _) = place(id);
        if page == self.pages.len() {
            self.pages.try_reserve(1).map_err(|_| ArenaError::OutOfMemory(size_of::<Page>()))?;
            self.pages.push(Page::default());
        }
        let Some(page) = self.pages.get_mut(page) else {
            return Ok(None);
        };
        page.addresses.try_reserve(1).map_err(|_| ArenaError::OutOfMemory(size_of::<Address>()))?;
        let address = page.arena.push(varint::Encoded::new(value.len() as u64).bytes(), value)?;
        page.addresses.push(address);
        Ok(Some(id))
    }

    /// Stores a value under a released id.
    pub(super) fn replace(&mut self, id: ValueId, value: &[u8]) -> Result<(), ArenaError> {
        let (page, part) = place(id);
        let page = self.pages.get_mut(page).ok_or(ArenaError::Full)?;
        let address = page.addresses.get_mut(part).ok_or(ArenaError::Full)?;
        *address = page.arena.push(varint::Encoded::new(value.len() as u64).bytes(), value)?;
        Ok(())
    }

    /// Releases the bytes of a value, and compacts its page if that is worthwhile.
    ///
    /// `is_used` tells whether an id of the same page is in use. The part of the released id may
    /// hold anything (see [`set_slot`](Self::set_slot)) until it is used again.
    pub(super) fn release(
        &mut self,
        id: ValueId,
        is_used: impl Fn(ValueId) -> bool,
    ) -> Result<(), ArenaError> {
        let (page_index, part) = place(id);
        let Some(page) = self.pages.get_mut(page_index) else {
            return Ok(());
        };
        let Some(&address) = page.addresses.get(part) else {
            return Ok(());
        };
        let length = stored_length(&page.arena, address).ok_or(ArenaError::Full)?;
        page.arena.release(address, length, true);
        if page.arena.wants_compaction() {
            let first = id - id % (1 << PAGE_BITS);
            page.compact(|part| is_used(first + part))?;
        }
        Ok(())
    }

    /// The content of a part, set by [`set_slot`](Self::set_slot).
    pub(super) fn slot_content(&self, id: ValueId) -> Option<u32> {
        let (page, part) = place(id);
        self.pages.get(page)?.addresses.get(part).copied()
    }

    /// Stores a number of the owner in the part of a released value.
    pub(super) fn set_slot(&mut self, id: ValueId, content: u32) {
        let (page, part) = place(id);
        if let Some(address) =
            self.pages.get_mut(page).and_then(|page| page.addresses.get_mut(part))
        {
            *address = content;
        }
    }

    /// The values under addresses instead of ids, and the mapping from ids to addresses.
    pub(super) fn freeze(self) -> (FrozenValues, ValueAddresses) {
        let mut chunks = Vec::new();
        let mut pages = Vec::with_capacity(self.pages.len());
        for page in self.pages {
            pages.push((chunks.len(), page.addresses));
            chunks.append(&mut page.arena.into_chunks());
        }
        (FrozenValues { chunks: Chunks::new(chunks) }, ValueAddresses { pages })
    }

    /// The number of allocated bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        let pages: usize = self
            .pages
            .iter()
            .map(|page| {
                page.arena.allocated_bytes() + page.addresses.capacity() * size_of::<Address>()
            })
            .sum();
        pages + self.pages.capacity() * size_of::<Page>()
    }
}

/// Values under addresses, which saves a memory access for each lookup.
#[derive(Default)]
pub(super) struct FrozenValues {
    chunks: Chunks,
}

impl FrozenValues {
    /// The value at an address.
    #[inline]
    pub(super) fn get(&self, address: u64) -> Option<&[u8]> {
        let mut stored = self.chunks.bytes_at(address)?;
        varint::take_slice(&mut stored).ok()
    }

    /// Prefetches the bytes of a value.
    #[inline]
    pub(super) fn prefetch(&self, address: u64) {
        if let Some(stored) = self.chunks.bytes_at(address) {
            prefetch(stored);
        }
    }

    /// The number of allocated bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.chunks.allocated_bytes()
    }
}

/// The addresses of values by their former ids.
pub(super) struct ValueAddresses {
    /// For each page, the index of its first chunk and the addresses of its values.
    pages: Vec<(usize, Vec<Address>)>,
}

impl ValueAddresses {
    /// The address of the value with this id.
    #[inline]
    pub(super) fn get(&self, id: u64) -> Option<u64> {
        let (page, part) = place(ValueId::try_from(id).ok()?);
        let (first_chunk, addresses) = self.pages.get(page)?;
        Some(Chunks::address(*first_chunk, *addresses.get(part)?))
    }
}

impl Page {
    /// Moves the values in use to a new arena.
    fn compact(&mut self, is_used: impl Fn(u32) -> bool) -> Result<(), ArenaError> {
        let mut arena = Arena::default();
        let mut old = std::mem::take(&mut self.arena);
        for (part, address) in (0..).zip(&mut self.addresses) {
            if is_used(part) {
                let length = stored_length(&old, *address).ok_or(ArenaError::Full)?;
                *address = arena.move_from(&mut old, *address, length)?;
            }
        }
        self.arena = arena;
        Ok(())
    }
}

/// The stored size of a value, including its length.
fn stored_length(arena: &Arena, address: Address) -> Option<usize> {
    let stored = arena.bytes_at(address)?;
    let mut rest = stored;
    varint::take_slice(&mut rest).ok()?;
    Some(stored.len() - rest.len())
}

#[inline]
fn place(id: ValueId) -> (usize, usize) {
    ((id >> PAGE_BITS) as usize, (id as usize) & (PAGE_VALUES - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn intern(dictionary: &mut Dictionary, value: &[u8]) -> Option<ValueId> {
        dictionary.intern(dictionary.hash(value), None, value, 0).unwrap()
    }

    #[test]
    fn equal_values_share_a_number() {
        let mut dictionary = Dictionary::with_limit(1, 10);
        let first = intern(&mut dictionary, b"one");
        let other = intern(&mut dictionary, b"two");
        assert_ne!(first, other);
        assert_eq!(intern(&mut dictionary, b"one"), first);
        assert_eq!(first.and_then(|id| dictionary.values().get(id)), Some(b"one".as_slice()));
    }

    #[test]
    fn a_full_dictionary_still_finds_what_it_has() {
        let mut dictionary = Dictionary::with_limit(1, 1);
        let first = intern(&mut dictionary, b"one");
        assert_eq!(intern(&mut dictionary, b"two"), None);
        assert_eq!(intern(&mut dictionary, b"one"), first);
    }

    #[test]
    fn short_values_that_never_repeat_soon_get_no_number() {
        let mut dictionary = Dictionary::with_limit(2, usize::MAX);
        let given = (0..200_000u32)
            .filter(|number| intern(&mut dictionary, &number.to_le_bytes()).is_some())
            .count();
        assert_eq!(given, CREDIT as usize);
        assert!(intern(&mut dictionary, &[9; SHORT_VALUE]).is_some(), "a long value");
        let hash = dictionary.hash(b"other column");
        assert!(dictionary.intern(hash, None, b"other column", 1).unwrap().is_some());
        assert!(
            intern(&mut dictionary, &0u32.to_le_bytes()).is_some(),
            "a value that has a number"
        );
        assert!(intern(&mut dictionary, b"new").is_some(), "the column has earned a little");
        assert!(intern(&mut dictionary, b"newer").is_none());
    }

    #[test]
    fn values_without_users_leave_no_bytes_behind() {
        let mut dictionary = Dictionary::with_limit(1, usize::MAX);
        for round in 0..200u32 {
            let ids: Vec<_> = (0..100u32)
                .map(|index| {
                    intern(&mut dictionary, format!("{round}-{index}").repeat(20).as_bytes())
                        .unwrap()
                })
                .collect();
            for id in ids {
                dictionary.release(id).unwrap();
            }
        }
        assert_eq!(dictionary.values.len(), 100);
        let allocated = dictionary.allocated_bytes();
        assert!(allocated < 100_000, "{allocated}");
    }

    #[test]
    fn a_value_with_many_users_stays() {
        let mut dictionary = Dictionary::with_limit(1, usize::MAX);
        let mut id = None;
        for _ in 0..300 {
            id = intern(&mut dictionary, b"popular");
        }
        for _ in 0..300 {
            dictionary.release(id.unwrap()).unwrap();
        }
        assert_eq!(dictionary.values.get(id.unwrap()), Some(b"popular".as_slice()));
        assert_eq!(intern(&mut dictionary, b"popular"), id);
    }

    proptest! {
        #[test]
        fn behaves_like_a_counted_map(steps in prop::collection::vec((any::<bool>(), 0u8..12, 0usize..4), 0..300)) {
            let lengths = [1usize, 40, 900, 20_000];
            let mut dictionary = Dictionary::with_limit(1, usize::MAX);
            let mut model: HashMap<ValueId, (Vec<u8>, u32)> = HashMap::new();
            for (add, which, length) in steps {
                let value = vec![which; lengths[length]];
                let known = model.iter().find(|(_, (stored, _))| *stored == value).map(|(&id, _)| id);
                if add {
                    let id = intern(&mut dictionary, &value).unwrap();
                    prop_assert!(known.is_none_or(|known| known == id));
                    model.entry(id).or_insert((value, 0)).1 += 1;
                } else if let Some(id) = known {
                    dictionary.release(id).unwrap();
                    let users = &mut model.get_mut(&id).unwrap().1;
                    *users -= 1;
                    if *users == 0 {
                        model.remove(&id);
                    }
                }
                for (&id, (value, _)) in &model {
                    prop_assert_eq!(dictionary.values.get(id), Some(value.as_slice()));
                }
            }
        }
    }
}
