//! One piece of memory of an arena.
//!
//! The only place of the room that holds memory by a pointer: bumpalo lends its memory for as long
//! as it is borrowed itself, and a chunk wants to own both.

use std::ptr::NonNull;

use bumpalo::Bump;

use super::arena::ArenaError;
use super::prefetch::prefetch_line;

/// One piece of memory, filled from its front.
pub(super) struct Chunk {
    /// All bytes of the chunk, initialised; owned by `owner`, or dangling and empty.
    memory: NonNull<[u8]>,
    /// Bytes at its front that are stored.
    used: usize,
    /// Whether it was made for one slice alone.
    dedicated: bool,
    /// Frees `memory` when dropped. Never asked for anything else.
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
    /// A chunk without memory, which stands where a dedicated one was.
    pub(super) fn empty() -> Self {
        Self { memory: NonNull::from(&mut []), used: 0, dedicated: false, owner: Bump::new() }
    }

    /// A chunk with room for `capacity` bytes, and for up to `limit` if the allocator gives more.
    pub(super) fn with_capacity(capacity: usize, limit: usize) -> Result<Self, ArenaError> {
        let refused = |_| ArenaError::OutOfMemory(capacity);
        let owner = Bump::try_with_capacity(capacity).map_err(refused)?;
        let length = owner.chunk_capacity().min(limit).max(capacity);
        let memory = owner.try_alloc_slice_fill_copy(length, 0u8).map_err(refused)?;
        Ok(Self { memory: NonNull::from(memory), used: 0, dedicated: false, owner })
    }

    /// A chunk with `head` and `body` and nothing else.
    pub(super) fn dedicated(head: &[u8], body: &[u8]) -> Result<Self, ArenaError> {
        let length = head.len().saturating_add(body.len());
        let mut chunk = Self::with_capacity(length, length)?;
        chunk.dedicated = true;
        chunk.push(head, body).ok_or(ArenaError::OutOfMemory(length))?;
        Ok(chunk)
    }

    /// All bytes, those that are not stored included.
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

    /// Copies `head` and `body` behind what is there; `None` if they do not fit.
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

    /// The bytes that are stored.
    #[inline]
    pub(super) fn stored(&self) -> &[u8] {
        self.bytes().get(..self.used).unwrap_or_default()
    }

    /// The bytes that are stored, to be changed.
    pub(super) fn stored_mut(&mut self) -> &mut [u8] {
        let used = self.used;
        self.bytes_mut().get_mut(..used).unwrap_or_default()
    }

    /// Whether it was made for one slice alone.
    pub(super) fn is_dedicated(&self) -> bool {
        self.dedicated
    }

    /// Asks for the memory that the next slices will be written to.
    #[inline]
    pub(super) fn prefetch_end(&self) {
        let end = self.memory.cast::<u8>().as_ptr().cast_const().wrapping_add(self.used);
        prefetch_line(end);
        prefetch_line(end.wrapping_add(64));
    }

    /// Bytes that the allocator gave.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.owner.allocated_bytes_including_metadata()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
