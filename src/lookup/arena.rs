//! Bytes under 32-bit addresses, in chunks that never move.
//!
//! Each chunk is one bumpalo arena of a fixed size, so that growing never copies, and refusal of
//! memory is an error instead of an abort. An address is the number of a chunk and an offset in it:
//! half the size of a pointer, and checked on every use. What does not fit a chunk comfortably gets
//! a chunk of its own, which can be given back alone.
//!
//! An arena does not know which of its bytes are still used: its owner says so with
//! [`Arena::release`], asks [`Arena::wants_compaction`], and moves what it needs into a new arena
//! with [`Arena::move_from`].

use super::LookupError;
use super::chunk::Chunk;

/// Bits of an address that are the offset in a chunk.
const OFFSET_BITS: u32 = 15;
/// Bytes of a full-grown chunk, bookkeeping of bumpalo and the allocator included.
const CHUNK_BYTES: usize = 1 << OFFSET_BITS;
/// Bytes of an arena's first chunk; each next one is twice as large until [`CHUNK_BYTES`].
const FIRST_CHUNK_BYTES: usize = 1 << 10;
/// What bumpalo and the allocator add to a chunk: with this subtracted, it fills whole pages.
const CHUNK_OVERHEAD: usize = 128;
/// Slices longer than this get a chunk of their own.
const DEDICATED_BYTES: usize = CHUNK_BYTES / 4;
/// Below this many unused bytes an arena is not worth compacting.
const COMPACTION_FLOOR: usize = 8 << 10;

/// Where a slice begins in an [`Arena`].
pub(super) type Address = u32;

/// Why a slice was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArenaError {
    /// No address is left.
    Full,
    /// The allocator refused this many bytes.
    OutOfMemory(usize),
}

impl ArenaError {
    /// The error as the map reports it.
    pub(super) fn into_lookup_error(self, shards: usize) -> LookupError {
        match self {
            Self::Full => LookupError::Full { shards },
            Self::OutOfMemory(bytes) => LookupError::OutOfMemory { bytes },
        }
    }
}

/// Chunks of bytes, see the module.
#[derive(Default)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The chunk that is being filled; dedicated ones may stand behind it.
    filling: Option<usize>,
    /// Bytes stored, released ones included unless their memory was given back.
    used: usize,
    /// Bytes stored that their owner no longer needs.
    released: usize,
}

impl Arena {
    /// Stores a copy of `head` followed by `body`, as one slice.
    #[inline]
    pub(super) fn push(&mut self, head: &[u8], body: &[u8]) -> Result<Address, ArenaError> {
        let length = head.len().checked_add(body.len()).ok_or(ArenaError::Full)?;
        if length <= DEDICATED_BYTES
            && let Some(index) = self.filling
            && let Some(chunk) = self.chunks.get_mut(index)
            && let Some(offset) = chunk.push(head, body)
        {
            self.used += length;
            return address(index, offset);
        }
        self.push_into_new_chunk(head, body, length)
    }

    #[cold]
    fn push_into_new_chunk(
        &mut self,
        head: &[u8],
        body: &[u8],
        length: usize,
    ) -> Result<Address, ArenaError> {
        if length > DEDICATED_BYTES {
            return self.add_chunk(Chunk::dedicated(head, body)?, 0);
        }
        let grown = FIRST_CHUNK_BYTES << self.chunks.len().min(16);
        let capacity = grown.clamp(length + CHUNK_OVERHEAD, CHUNK_BYTES) - CHUNK_OVERHEAD;
        let mut chunk = Chunk::with_capacity(capacity, CHUNK_BYTES)?;
        let offset = chunk.push(head, body).ok_or(ArenaError::OutOfMemory(length))?;
        self.add_chunk(chunk, offset)
    }

    /// Adds a chunk whose only slice begins at `offset`.
    fn add_chunk(&mut self, chunk: Chunk, offset: usize) -> Result<Address, ArenaError> {
        let index = self.chunks.len();
        let address = address(index, offset)?;
        self.chunks.try_reserve(1).map_err(|_| ArenaError::OutOfMemory(size_of::<Chunk>()))?;
        if !chunk.is_dedicated() {
            self.filling = Some(index);
        }
        self.used += chunk.stored().len();
        self.chunks.push(chunk);
        Ok(address)
    }

    /// The stored bytes from `address` to the end of its chunk; whoever stored them knows where
    /// they end.
    #[inline]
    pub(super) fn bytes_at(&self, address: Address) -> Option<&[u8]> {
        let (index, offset) = place(address);
        let chunk = self.chunks.get(index)?;
        chunk.stored().get(offset..)
    }

    /// Asks for the memory that the next slices will be written to.
    #[inline]
    pub(super) fn prefetch_end(&self) {
        if let Some(chunk) = self.filling.and_then(|index| self.chunks.get(index)) {
            chunk.prefetch_end();
        }
    }

    /// Writes `slice` over the bytes at `address`, which must be at least as many.
    ///
    /// Returns whether there was room in the chunk.
    pub(super) fn overwrite(&mut self, address: Address, slice: &[u8]) -> bool {
        let (index, offset) = place(address);
        let target = self.chunks.get_mut(index).and_then(|chunk| {
            let end = offset.checked_add(slice.len())?;
            chunk.stored_mut().get_mut(offset..end)
        });
        target.map(|target| target.copy_from_slice(slice)).is_some()
    }

    /// Says that `length` bytes at `address` are no longer needed; `whole` if that is the slice as
    /// it was stored.
    pub(super) fn release(&mut self, address: Address, length: usize, whole: bool) {
        let (index, _) = place(address);
        match self.chunks.get_mut(index) {
            Some(chunk) if chunk.is_dedicated() && whole => {
                self.used -= chunk.stored().len();
                *chunk = Chunk::empty();
            }
            _ => self.released += length,
        }
    }

    /// Whether so much is released that the rest should be moved to a new arena: more than a
    /// quarter.
    pub(super) fn wants_compaction(&self) -> bool {
        self.released > COMPACTION_FLOOR && self.released > self.used / 4
    }

    /// Moves the slice of `length` bytes at `address` of another arena into this one.
    ///
    /// A slice with a chunk of its own is not copied: its chunk changes hands.
    pub(super) fn move_from(
        &mut self,
        other: &mut Self,
        address: Address,
        length: usize,
    ) -> Result<Address, ArenaError> {
        let (index, _) = place(address);
        if let Some(chunk) = other.chunks.get_mut(index)
            && chunk.is_dedicated()
            && chunk.stored().len() == length
        {
            let chunk = std::mem::replace(chunk, Chunk::empty());
            other.used -= length;
            return self.add_chunk(chunk, 0);
        }
        let slice = other
            .bytes_at(address)
            .and_then(|bytes| bytes.get(..length))
            .ok_or(ArenaError::Full)?;
        self.push(slice, &[])
    }

    /// Bytes that the allocator gave, the list of chunks included.
    pub(super) fn allocated_bytes(&self) -> usize {
        allocated_bytes(&self.chunks) + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// The chunks alone, for [`Chunks`].
    pub(super) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// Bytes stored and not yet moved away, released ones included.
    #[cfg(test)]
    pub(super) fn used_bytes(&self) -> usize {
        self.used
    }

    /// Bytes stored that are no longer needed.
    #[cfg(test)]
    pub(super) fn released_bytes(&self) -> usize {
        self.released
    }
}

/// The chunks of several arenas, never to be changed again, under 64-bit addresses.
#[derive(Default)]
pub(super) struct Chunks {
    chunks: Box<[Chunk]>,
}

impl Chunks {
    /// Takes chunks that [`Arena::into_chunks`] gave, in any number.
    pub(super) fn new(chunks: Vec<Chunk>) -> Self {
        Self { chunks: chunks.into_boxed_slice() }
    }

    /// What `address` in the arena whose first chunk is now `first_chunk` has become.
    #[inline]
    pub(super) fn address(first_chunk: usize, address: Address) -> u64 {
        ((first_chunk as u64) << OFFSET_BITS) + u64::from(address)
    }

    /// The stored bytes from `address` to the end of its chunk.
    #[inline]
    pub(super) fn bytes_at(&self, address: u64) -> Option<&[u8]> {
        let chunk = self.chunks.get(usize::try_from(address >> OFFSET_BITS).ok()?)?;
        let offset = usize::try_from(address & (CHUNK_BYTES as u64 - 1)).ok()?;
        chunk.stored().get(offset..)
    }

    /// Bytes that the allocator gave, the list of chunks included.
    pub(super) fn allocated_bytes(&self) -> usize {
        allocated_bytes(&self.chunks) + size_of_val(&*self.chunks)
    }
}

fn allocated_bytes(chunks: &[Chunk]) -> usize {
    chunks.iter().map(Chunk::allocated_bytes).sum()
}

#[inline]
fn address(index: usize, offset: usize) -> Result<Address, ArenaError> {
    if offset >= CHUNK_BYTES {
        return Err(ArenaError::Full);
    }
    u32::try_from((index << OFFSET_BITS) | offset).map_err(|_| ArenaError::Full)
}

#[inline]
fn place(address: Address) -> (usize, usize) {
    ((address >> OFFSET_BITS) as usize, (address as usize) & (CHUNK_BYTES - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn full_grown_chunks_fill_whole_pages() {
        let mut arena = Arena::default();
        for _ in 0..10 * CHUNK_BYTES / 64 {
            arena.push(&[7; 64], &[]).unwrap();
        }
        let last = arena.chunks.iter().map(Chunk::allocated_bytes).max();
        assert!(
            last.is_some_and(|bytes| bytes > CHUNK_BYTES - 64 && bytes <= CHUNK_BYTES),
            "{last:?}"
        );
        assert!(arena.allocated_bytes() < arena.used_bytes() + 2 * CHUNK_BYTES);
    }

    #[test]
    fn a_released_slice_with_a_chunk_of_its_own_is_freed_at_once() {
        let mut arena = Arena::default();
        let small = arena.push(b"small", b"").unwrap();
        let before = arena.allocated_bytes();
        let large = arena.push(&vec![7u8; 5 << 20], b"").unwrap();
        assert!(arena.allocated_bytes() > before + (5 << 20));
        arena.release(large, 5 << 20, true);
        assert!(arena.allocated_bytes() < before + 1024);
        assert_eq!(arena.released_bytes(), 0);
        assert_eq!(arena.bytes_at(small).map(|bytes| &bytes[..5]), Some(b"small".as_slice()));
        assert_eq!(arena.bytes_at(large), Some([].as_slice()));
    }

    #[test]
    fn addresses_that_were_never_given_are_refused() {
        let mut arena = Arena::default();
        assert_eq!(arena.bytes_at(0), None);
        let address = arena.push(b"abc", b"").unwrap();
        assert_eq!(arena.bytes_at(address + 4), None);
        assert_eq!(arena.bytes_at(u32::MAX), None);
        assert!(!arena.overwrite(address, b"abcd"));
        assert!(arena.overwrite(address, b"xyz"));
        assert_eq!(arena.bytes_at(address), Some(b"xyz".as_slice()));
    }

    #[test]
    fn the_address_space_ends_in_an_error() {
        assert_eq!(address(1 << 17, 0), Err(ArenaError::Full));
        assert_eq!(address((1 << 17) - 1, CHUNK_BYTES - 1), Ok(u32::MAX));
        assert_eq!(address(0, CHUNK_BYTES), Err(ArenaError::Full));
    }

    proptest! {
        #[test]
        fn slices_come_back_also_after_a_move(
            lengths in prop::collection::vec(prop_oneof![0usize..100, 0usize..(2 * CHUNK_BYTES)], 0..40)
        ) {
            let mut arena = Arena::default();
            let mut stored = Vec::new();
            for (index, length) in lengths.into_iter().enumerate() {
                let slice: Vec<u8> = (0..length).map(|at| ((at * 31 + index) % 251).to_le_bytes()[0]).collect();
                let address = arena.push(&slice, b"").unwrap();
                stored.push((address, slice));
            }
            let mut other = Arena::default();
            for (address, slice) in &stored {
                prop_assert_eq!(&arena.bytes_at(*address).unwrap()[..slice.len()], slice.as_slice());
            }
            for (address, slice) in &mut stored {
                *address = other.move_from(&mut arena, *address, slice.len()).unwrap();
            }
            for (address, slice) in &stored {
                prop_assert_eq!(&other.bytes_at(*address).unwrap()[..slice.len()], slice.as_slice());
            }
            prop_assert_eq!(other.used_bytes(), stored.iter().map(|(_, slice)| slice.len()).sum::<usize>());
        }
    }
}
