//! Byte slices under 32-bit addresses, in chunks that never move.
//!
//! Each chunk is a bumpalo arena of a fixed size, so growing never copies, and a failed allocation is
//! an error instead of an abort. An address is the index of a chunk and an offset in it: half the
//! size of a pointer, and checked on every use. A slice too large for a regular chunk gets a
//! dedicated chunk, which can be freed alone.
//!
//! An arena does not know which slices are in use: its owner calls [`Arena::release`], asks
//! [`Arena::wants_compaction`], and moves what it needs into a new arena with [`Arena::move_from`].

use std::ptr::NonNull;

use bumpalo::Bump;

use super::LookupError;

/// The bits of an address that are the offset in a chunk.
const OFFSET_BITS: u32 = 15;
/// The size of the largest regular chunk, including the overhead of bumpalo and the allocator.
const CHUNK_BYTES: usize = 1 << OFFSET_BITS;
/// The size of an arena's first chunk. Each next chunk is twice as large, up to [`CHUNK_BYTES`].
const FIRST_CHUNK_BYTES: usize = 1 << 10;
/// The overhead of bumpalo and the allocator for a chunk. Without it, a chunk fills whole pages.
const CHUNK_OVERHEAD: usize = 128;
/// Slices longer than this get a dedicated chunk.
const DEDICATED_BYTES: usize = CHUNK_BYTES / 4;
/// An arena with fewer released bytes is not worth compacting.
const COMPACTION_FLOOR: usize = 8 << 10;

/// The address of a slice in an [`Arena`].
pub(super) type Address = u32;

/// Why a slice cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArenaError {
    /// No address is left.
    Full,
    /// An allocation of this many bytes failed.
    OutOfMemory(usize),
}

impl ArenaError {
    /// The error of a map with this many shards.
    pub(super) fn into_lookup_error(self, shards: usize) -> LookupError {
        match self {
            Self::Full => LookupError::Full { shards },
            Self::OutOfMemory(bytes) => LookupError::OutOfMemory { bytes },
        }
    }
}

/// Slices in chunks; see the module.
#[derive(Default)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The index of the chunk that is being filled. Dedicated chunks may follow it.
    filling: Option<usize>,
    /// The number of stored bytes, including released ones that are not freed.
    used: usize,
    /// The number of stored bytes that were released.
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

    /// The stored bytes from `address` to the end of its chunk. The caller knows where the slice
    /// ends.
    #[inline]
    pub(super) fn bytes_at(&self, address: Address) -> Option<&[u8]> {
        let (index, offset) = place(address);
        let chunk = self.chunks.get(index)?;
        chunk.stored().get(offset..)
    }

    /// Prefetches the memory that the next slices will be written to.
    #[inline]
    pub(super) fn prefetch_end(&self) {
        if let Some(chunk) = self.filling.and_then(|index| self.chunks.get(index)) {
            chunk.prefetch_end();
        }
    }

    /// Overwrites the slice at `address`, which must not be shorter than `slice`. Returns `false` if
    /// the chunk ends before.
    pub(super) fn overwrite(&mut self, address: Address, slice: &[u8]) -> bool {
        let (index, offset) = place(address);
        let target = self.chunks.get_mut(index).and_then(|chunk| {
            let end = offset.checked_add(slice.len())?;
            chunk.stored_mut().get_mut(offset..end)
        });
        target.map(|target| target.copy_from_slice(slice)).is_some()
    }

    /// Releases `length` bytes at `address`. `whole` tells whether that is the whole slice.
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

    /// Whether the slices in use should move to a new arena, because more than a quarter of the
    /// bytes are released.
    pub(super) fn wants_compaction(&self) -> bool {
        self.released > COMPACTION_FLOOR && self.released > self.used / 4
    }

    /// Moves the slice of `length` bytes at `address` of another arena into this one. A dedicated
    /// chunk is moved without a copy.
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

    /// The number of allocated bytes, including the list of chunks.
    pub(super) fn allocated_bytes(&self) -> usize {
        allocated_bytes(&self.chunks) + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// The chunks, for [`Chunks::new`].
    pub(super) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// The number of stored bytes that were not moved away, including released ones.
    #[cfg(test)]
    pub(super) fn used_bytes(&self) -> usize {
        self.used
    }

    /// The number of stored bytes that were released.
    #[cfg(test)]
    pub(super) fn released_bytes(&self) -> usize {
        self.released
    }
}

/// The immutable chunks of several arenas, under 64-bit addresses.
#[derive(Default)]
pub(super) struct Chunks {
    chunks: Box<[Chunk]>,
}

impl Chunks {
    /// Takes the chunks of [`Arena::into_chunks`], of any number of arenas.
    pub(super) fn new(chunks: Vec<Chunk>) -> Self {
        Self { chunks: chunks.into_boxed_slice() }
    }

    /// The new address of `address` in the arena whose first chunk is now `first_chunk`.
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

    /// The number of allocated bytes, including the list of chunks.
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

/// A block of memory that is filled from the front.
///
/// bumpalo lends memory for as long as the arena is borrowed. A chunk owns both, so it holds the
/// memory by a pointer; nothing else in the lookup map does.
pub(super) struct Chunk {
    /// All bytes of the chunk, initialised; owned by `owner`, or dangling and empty.
    memory: NonNull<[u8]>,
    /// The number of stored bytes.
    used: usize,
    /// Whether the chunk is for a single slice.
    dedicated: bool,
    /// Frees `memory` when dropped. It allocates nothing else.
    owner: Bump,
}

// SAFETY: a chunk is the only holder of its memory: `memory` points into the chunk that `owner`
// allocated and handed out exactly once, and neither pointer leaves this type other than as a
// borrow of the chunk. Moving it to another thread moves memory and owner together; `Bump` itself
// is `Send`.
unsafe impl Send for Chunk {}
// SAFETY: through `&Chunk` only `bytes` and numbers can be reached: plain reads of initialised
// bytes, which change only through `&mut Chunk`. `Bump` is not `Sync` because `&Bump` can allocate;
// the only use of `owner` through a shared borrow is reading its allocated size, which writes
// nothing.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// A chunk without memory, in place of a freed dedicated one.
    pub(super) fn empty() -> Self {
        Self { memory: NonNull::from(&mut []), used: 0, dedicated: false, owner: Bump::new() }
    }

    /// A chunk with room for `capacity` bytes, or up to `limit` if the allocator returns more.
    pub(super) fn with_capacity(capacity: usize, limit: usize) -> Result<Self, ArenaError> {
        let refused = |_| ArenaError::OutOfMemory(capacity);
        let owner = Bump::try_with_capacity(capacity).map_err(refused)?;
        let length = owner.chunk_capacity().min(limit).max(capacity);
        let memory = owner.try_alloc_slice_fill_copy(length, 0u8).map_err(refused)?;
        Ok(Self { memory: NonNull::from(memory), used: 0, dedicated: false, owner })
    }

    /// A chunk that contains `head` and `body`, as one slice.
    pub(super) fn dedicated(head: &[u8], body: &[u8]) -> Result<Self, ArenaError> {
        let length = head.len().saturating_add(body.len());
        let mut chunk = Self::with_capacity(length, length)?;
        chunk.dedicated = true;
        chunk.push(head, body).ok_or(ArenaError::OutOfMemory(length))?;
        Ok(chunk)
    }

    /// All bytes, stored or not.
    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: `memory` is the whole slice that `owner` handed out (initialised, exclusively
        // ours; or the empty slice). `owner` is neither reset nor asked again, and moving it does
        // not move its memory, so the slice lives as long as `self`, whose borrow the result
        // carries.
        unsafe { self.memory.as_ref() }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; `&mut self` makes this the only borrow.
        unsafe { self.memory.as_mut() }
    }

    /// Appends `head` and `body`, and returns their offset. `None` if they do not fit.
    #[inline]
    pub(super) fn push(&mut self, head: &[u8], body: &[u8]) -> Option<usize> {
        let start = self.used;
        let end = start.checked_add(head.len())?.checked_add(body.len())?;
        let (to_head, to_body) =
            self.bytes_mut().get_mut(start..end)?.split_at_mut_checked(head.len())?;
        to_head.copy_from_slice(head);
        to_body.copy_from_slice(body);
        self.used = end;
        Some(start)
    }

    /// The stored bytes.
    #[inline]
    pub(super) fn stored(&self) -> &[u8] {
        self.bytes().get(..self.used).unwrap_or_default()
    }

    /// The stored bytes, mutable.
    pub(super) fn stored_mut(&mut self) -> &mut [u8] {
        let used = self.used;
        self.bytes_mut().get_mut(..used).unwrap_or_default()
    }

    /// Whether the chunk is for a single slice.
    pub(super) fn is_dedicated(&self) -> bool {
        self.dedicated
    }

    /// Prefetches the memory that the next slices will be written to.
    #[inline]
    pub(super) fn prefetch_end(&self) {
        let end = self.memory.cast::<u8>().as_ptr().cast_const().wrapping_add(self.used);
        prefetch_line(end);
        prefetch_line(end.wrapping_add(64));
    }

    /// The number of allocated bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.owner.allocated_bytes_including_metadata()
    }
}

/// Prefetches the beginning of `bytes`, about the size of a record.
#[inline]
pub(super) fn prefetch(bytes: &[u8]) {
    let start = bytes.as_ptr();
    prefetch_line(start);
    // A record that begins late in a cache line extends into the next one.
    if start.addr() % 64 > 24 {
        prefetch_line(start.wrapping_add(64));
    }
}

/// Prefetches the cache line of an address, which may be any.
#[inline]
pub(super) fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program sees and never faults, whatever the
        // address is; every x86_64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    #[test]
    fn a_chunk_takes_what_it_was_made_for_and_no_more() {
        let mut chunk = Chunk::with_capacity(1000, 1024).unwrap();
        let length = chunk.bytes().len();
        assert!((1000..=1024).contains(&length), "{length}");
        assert_eq!(chunk.push(b"abc", b"de"), Some(0));
        assert_eq!(chunk.push(&vec![1; length - 5], b""), Some(5));
        assert_eq!(chunk.push(b"", b"x"), None);
        assert_eq!(chunk.push(b"", b""), Some(length));
        assert_eq!(chunk.stored().len(), length);
        assert_eq!(chunk.stored().get(..5), Some(b"abcde".as_slice()));
        let moved = std::thread::spawn(move || chunk.stored().len()).join().unwrap();
        assert_eq!(moved, length);
    }

    #[test]
    fn an_empty_chunk_has_no_memory() {
        let mut chunk = Chunk::empty();
        assert_eq!(chunk.allocated_bytes(), 0);
        assert_eq!(chunk.push(b"", b""), Some(0));
        assert!(chunk.stored().is_empty());
        assert_eq!(chunk.push(b"a", b""), None);
        chunk.prefetch_end();
    }
}
