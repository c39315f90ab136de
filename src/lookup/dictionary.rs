//! Finds out whether a value is stored already, and forgets values that nobody uses.
//!
//! Each value counts its users in one byte. A count that reaches 255 stays there: such a value is
//! kept for as long as the map is even if all of its users go, which costs at most one byte for
//! every 255 that storing it once has saved.
//!
//! Long values always get a number. A short one takes hardly more than the table behind a number
//! does, and gets one only where its column's values repeat: each column begins with some credit,
//! pays for every short value that is new, and earns with every one that is not.

use super::LookupError;
use super::arena::ArenaError;
use super::hash::{ByteHasher, shard_of};
use super::prefetch::prefetch_line;
use super::table::{Place, PlaceTable};
use super::values::{ValueId, Values};

/// The index grows in 64 steps instead of one, so that growing needs little memory beside what is
/// there.
const SHARD_BITS: u32 = 6;
const SHARDS: usize = 1 << SHARD_BITS;

/// Values below this length must earn their number.
const SHORT_VALUE: usize = 20;
/// The credit of a column, at the beginning and at most.
const CREDIT: u32 = 1 << 15;

/// Values with numbers below this came early and are taken to be frequent.
const FREQUENT: ValueId = 1 << 11;

/// A count of users that is no longer exact.
const MANY: u8 = u8::MAX;
/// The end of the list of free numbers.
const NO_ID: ValueId = ValueId::MAX;

/// Values with their users, see the module.
pub(super) struct Dictionary {
    hasher: ByteHasher,
    values: Values,
    users: Vec<u8>,
    index: Box<[PlaceTable]>,
    /// The first of the numbers that are free again; each one's slot holds the next.
    free: ValueId,
    /// The most numbers that are given.
    limit: usize,
    credits: Box<[u32]>,
}

impl Dictionary {
    /// An empty dictionary for the values of so many columns, that never holds more than `limit` of
    /// them.
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

    /// The same with another hasher, while it is empty.
    #[cfg(test)]
    pub(super) fn with_hasher(self, hasher: ByteHasher) -> Self {
        Self { hasher, ..self }
    }

    /// The values by number.
    #[inline]
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The bytes of the value that a token tells the number of.
    #[inline]
    pub(super) fn value(&self, id: u64) -> Option<&[u8]> {
        self.values.get(ValueId::try_from(id).ok()?)
    }

    /// The hash under which a value is found.
    #[inline]
    pub(super) fn hash(&self, value: &[u8]) -> u64 {
        self.hasher.hash(value)
    }

    /// Asks for the memory where the number of a value with this hash would be found.
    #[inline]
    pub(super) fn prefetch_index(&self, hash: u64) {
        if let Some(index) = self.index.get(shard_of(hash, SHARD_BITS)) {
            index.prefetch(hash);
        }
    }

    /// The number of the value that probably is the one with this hash. Asks for the memory that
    /// says where it stands.
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

    /// Asks for the memory where a value stands that was [guessed](Self::guess).
    #[inline]
    pub(super) fn prefetch_guess(&self, id: ValueId) {
        if id >= FREQUENT {
            self.values.prefetch_bytes(id);
        }
    }

    /// The number of `value` with one more user, or `None` if it is better stored elsewhere.
    ///
    /// `hash` is its hash, `guess` a number that it may have, `column` the column that it stands
    /// in.
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

    /// Takes one user from a value, and forgets the value with its last.
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

    /// Keeps only the values.
    pub(super) fn into_values(self) -> Values {
        self.values
    }

    /// Bytes that the allocator gave.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

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
