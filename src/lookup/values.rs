//! Byte strings stored once each, under small numbers.
//!
//! [`Values`] is what a lookup needs: number → bytes. Finding the number of some bytes, and
//! counting who still uses them, is the work of [`Dictionary`](super::dictionary::Dictionary).

use super::arena::{Address, Arena, ArenaError, Chunks};
use super::prefetch::{prefetch, prefetch_line};
use super::varint;

/// The number of a stored byte string.
pub(super) type ValueId = u32;

/// Values of one page: they share an arena, and are compacted together.
const PAGE_BITS: u32 = 16;
const PAGE_VALUES: usize = 1 << PAGE_BITS;

/// A page of values with consecutive numbers.
///
/// Its arena cannot run out of addresses: each of 65,536 values takes at most one chunk of its own,
/// or a quarter of a chunk, and there are 131,072 chunks.
#[derive(Default)]
struct Page {
    arena: Arena,
    /// Where each value's length and bytes stand.
    addresses: Vec<Address>,
}

/// Byte strings under consecutive numbers, see the module.
#[derive(Default)]
pub(super) struct Values {
    pages: Vec<Page>,
}

impl Values {
    /// The bytes of a value.
    #[inline]
    pub(super) fn get(&self, id: ValueId) -> Option<&[u8]> {
        let (page, slot) = place(id);
        let page = self.pages.get(page)?;
        let mut stored = page.arena.bytes_at(*page.addresses.get(slot)?)?;
        varint::read_slice(&mut stored)
    }

    /// Asks for the memory that says where a value stands.
    #[inline]
    pub(super) fn prefetch_slot(&self, id: ValueId) {
        let (page, slot) = place(id);
        if let Some(address) = self.pages.get(page).and_then(|page| page.addresses.get(slot)) {
            prefetch_line(std::ptr::from_ref(address));
        }
    }

    /// Asks for the memory where a value stands, once that is known.
    #[inline]
    pub(super) fn prefetch_bytes(&self, id: ValueId) {
        let (page, slot) = place(id);
        let stored =
            self.pages.get(page).and_then(|page| page.arena.bytes_at(*page.addresses.get(slot)?));
        if let Some(stored) = stored {
            prefetch(stored);
        }
    }

    /// Numbers given so far.
    pub(super) fn len(&self) -> usize {
        match self.pages.split_last() {
            Some((last, full)) => full.len() * PAGE_VALUES + last.addresses.len(),
            None => 0,
        }
    }

    /// Stores a value under the next number; `None` if there is none left.
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

    /// Stores another value under a number that was released.
    pub(super) fn replace(&mut self, id: ValueId, value: &[u8]) -> Result<(), ArenaError> {
        let (page, slot) = place(id);
        let page = self.pages.get_mut(page).ok_or(ArenaError::Full)?;
        let address = page.addresses.get_mut(slot).ok_or(ArenaError::Full)?;
        *address = page.arena.push(varint::Encoded::new(value.len() as u64).bytes(), value)?;
        Ok(())
    }

    /// Says that the bytes of a value are no longer needed, and gives memory back if that pays.
    ///
    /// `is_used` tells for each number of the same page whether it still counts. The number's slot
    /// may then hold anything (see [`set_slot`](Self::set_slot)) until it is given away again.
    pub(super) fn release(
        &mut self,
        id: ValueId,
        is_used: impl Fn(ValueId) -> bool,
    ) -> Result<(), ArenaError> {
        let (page_index, slot) = place(id);
        let Some(page) = self.pages.get_mut(page_index) else {
            return Ok(());
        };
        let Some(&address) = page.addresses.get(slot) else {
            return Ok(());
        };
        let length = stored_length(&page.arena, address).ok_or(ArenaError::Full)?;
        page.arena.release(address, length, true);
        if page.arena.wants_compaction() {
            let first = id - id % (1 << PAGE_BITS);
            page.compact(|slot| is_used(first + slot))?;
        }
        Ok(())
    }

    /// A slot's content, as [`set_slot`](Self::set_slot) left it.
    pub(super) fn slot_content(&self, id: ValueId) -> Option<u32> {
        let (page, slot) = place(id);
        self.pages.get(page)?.addresses.get(slot).copied()
    }

    /// Keeps a number of the owner's in the slot of a released value.
    pub(super) fn set_slot(&mut self, id: ValueId, content: u32) {
        let (page, slot) = place(id);
        if let Some(address) =
            self.pages.get_mut(page).and_then(|page| page.addresses.get_mut(slot))
        {
            *address = content;
        }
    }

    /// The same values under addresses instead of numbers, and what address a number has become.
    pub(super) fn freeze(self) -> (FrozenValues, ValueAddresses) {
        let mut chunks = Vec::new();
        let mut pages = Vec::with_capacity(self.pages.len());
        for page in self.pages {
            pages.push((chunks.len(), page.addresses));
            chunks.append(&mut page.arena.into_chunks());
        }
        (FrozenValues { chunks: Chunks::new(chunks) }, ValueAddresses { pages })
    }

    /// Bytes that the allocator gave.
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

/// Byte strings under addresses: one step less to each of them.
#[derive(Default)]
pub(super) struct FrozenValues {
    chunks: Chunks,
}

impl FrozenValues {
    /// The bytes of a value.
    #[inline]
    pub(super) fn get(&self, address: u64) -> Option<&[u8]> {
        let mut stored = self.chunks.bytes_at(address)?;
        varint::read_slice(&mut stored)
    }

    /// Asks for the memory where a value stands.
    #[inline]
    pub(super) fn prefetch(&self, address: u64) {
        if let Some(stored) = self.chunks.bytes_at(address) {
            prefetch(stored);
        }
    }

    /// Bytes that the allocator gave.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.chunks.allocated_bytes()
    }
}

/// Which address a number has become.
pub(super) struct ValueAddresses {
    /// The first chunk of each page, and the addresses in the page.
    pages: Vec<(usize, Vec<Address>)>,
}

impl ValueAddresses {
    /// The address of the value that had this number.
    #[inline]
    pub(super) fn get(&self, id: u64) -> Option<u64> {
        let (page, slot) = place(ValueId::try_from(id).ok()?);
        let (first_chunk, addresses) = self.pages.get(page)?;
        Some(Chunks::address(*first_chunk, *addresses.get(slot)?))
    }
}

impl Page {
    /// Moves the values that are still used to a new arena.
    fn compact(&mut self, is_used: impl Fn(u32) -> bool) -> Result<(), ArenaError> {
        let mut arena = Arena::default();
        let mut old = std::mem::take(&mut self.arena);
        for (slot, address) in (0..).zip(&mut self.addresses) {
            if is_used(slot) {
                let length = stored_length(&old, *address).ok_or(ArenaError::Full)?;
                *address = arena.move_from(&mut old, *address, length)?;
            }
        }
        self.arena = arena;
        Ok(())
    }
}

/// Bytes that a stored value takes with its length.
fn stored_length(arena: &Arena, address: Address) -> Option<usize> {
    let stored = arena.bytes_at(address)?;
    let mut rest = stored;
    varint::read_slice(&mut rest)?;
    Some(stored.len() - rest.len())
}

#[inline]
fn place(id: ValueId) -> (usize, usize) {
    ((id >> PAGE_BITS) as usize, (id as usize) & (PAGE_VALUES - 1))
}
