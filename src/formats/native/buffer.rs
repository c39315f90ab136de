//! The buffers of columns, and the block that they become: large buffers are handed over without a
//! copy, small ones are joined.
//!
//! Buffers of blocks that are read are reused once their block was sent: getting fresh pages from the
//! kernel takes longer than all the work on a block.

use std::sync::Arc;

use bytes::Bytes;

use crate::sync::Mutex;

/// The size of the largest piece, unless a value is larger.
const LARGEST_PIECE: usize = 1024 * 1024;
/// The size of the first piece of a new column.
const SMALLEST_PIECE: usize = 4096;
/// A buffer of at most this size is copied into the block and keeps its memory.
const COPIED_BYTES: usize = 32 * 1024;
/// Values up to this size are copied as this many bytes where both sides have room: a copy of a
/// fixed size needs no call of `memcpy`.
const FIXED_COPY: usize = 32;

/// The bytes of a column, in pieces: a full piece is never copied to grow.
#[derive(Debug, Clone, Default)]
pub(super) struct ColumnBuffer {
    current: Vec<u8>,
    full: Vec<Vec<u8>>,
    full_bytes: usize,
    /// The size of this column in the last block.
    last_len: usize,
}

impl ColumnBuffer {
    pub(super) fn len(&self) -> usize {
        self.full_bytes + self.current.len()
    }

    /// Appends an array, whose size is known at compile time.
    #[inline]
    pub(super) fn append_array<const N: usize>(&mut self, bytes: &[u8; N]) {
        if self.current.capacity() - self.current.len() < N {
            self.grow(N);
        }
        self.current.extend_from_slice(bytes);
    }

    /// Appends bytes.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.current.capacity() - self.current.len() < bytes.len() {
            self.grow(bytes.len());
        }
        self.current.extend_from_slice(bytes);
    }

    /// Moves the first `count` bytes of the input to the buffer. `None` if there are fewer.
    #[inline]
    pub(super) fn append_first(&mut self, input: &mut &[u8], count: usize) -> Option<()> {
        let (value, rest) = input.split_at_checked(count)?;
        if self.current.capacity() - self.current.len() < count.max(FIXED_COPY) {
            self.grow(count.max(FIXED_COPY));
        }
        match input.first_chunk::<FIXED_COPY>() {
            Some(step) if count <= FIXED_COPY => {
                let end = self.current.len() + count;
                self.current.extend_from_slice(step);
                self.current.truncate(end);
            }
            _ => self.current.extend_from_slice(value),
        }
        *input = rest;
        Some(())
    }

    /// Begins a new piece with room for `needed` bytes.
    #[cold]
    fn grow(&mut self, needed: usize) {
        let size = match self.len() {
            0 => self.last_len + self.last_len / 8,
            // Doubling keeps small columns in few pieces, and tiny ones in small pieces.
            length => length,
        };
        let next = Vec::with_capacity(size.clamp(SMALLEST_PIECE, LARGEST_PIECE).max(needed));
        let current = std::mem::replace(&mut self.current, next);
        self.full_bytes += current.len();
        if !current.is_empty() {
            self.full.push(current);
        }
    }

    /// Moves all bytes to the block.
    pub(super) fn finish(&mut self, output: &mut BlockWriter) {
        self.last_len = self.len();
        for piece in self.full.drain(..) {
            output.push_piece(piece);
        }
        if self.current.len() <= COPIED_BYTES && self.full_bytes == 0 {
            output.push(&self.current);
            self.current.clear();
        } else {
            output.push_piece(std::mem::take(&mut self.current));
        }
        self.full_bytes = 0;
    }

    /// Takes all bytes out, in order, for columns that rewrite them.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        self.full_bytes = 0;
        std::mem::take(&mut self.full).into_iter().chain([std::mem::take(&mut self.current)])
    }
}

/// Pieces up to this size are joined: sending each of them would cost more than the copy.
const JOINED_BYTES: usize = 32 * 1024;

/// Assembles a block from the bytes of its columns.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    pieces: Vec<Bytes>,
    small: Vec<u8>,
}

impl BlockWriter {
    /// Appends a copy of the bytes.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.small.len() + bytes.len() > LARGEST_PIECE {
            self.begin_piece(bytes.len());
        }
        self.small.extend_from_slice(bytes);
    }

    /// Begins a new piece with room for `needed` bytes.
    #[cold]
    fn begin_piece(&mut self, needed: usize) {
        self.flush();
        self.small.reserve_exact(LARGEST_PIECE.max(needed));
    }

    /// Appends a piece, without a copy if it is large.
    pub(super) fn push_piece(&mut self, piece: Vec<u8>) {
        self.push_shared(Bytes::from(piece));
    }

    /// Appends a piece, without a copy if it is large.
    pub(super) fn push_shared(&mut self, piece: Bytes) {
        if piece.len() <= JOINED_BYTES {
            self.small.extend_from_slice(&piece);
        } else {
            self.flush();
            self.pieces.push(piece);
        }
    }

    /// The block as pieces, in order.
    pub(super) fn finish(mut self) -> Vec<Bytes> {
        self.flush();
        self.pieces
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(Bytes::from(std::mem::take(&mut self.small)));
        }
    }
}

/// Buffers that are not in use. There are never more buffers than were in use at once.
#[derive(Debug, Default)]
pub(crate) struct BlockBuffers {
    free: Mutex<FreeBuffers>,
}

#[derive(Debug, Default)]
struct FreeBuffers {
    buffers: Vec<Vec<u8>>,
    closed: bool,
}

impl BlockBuffers {
    /// Frees all buffers, and keeps none from now on. Returns whether it kept them until now.
    pub(crate) fn close(&self) -> bool {
        let mut free = self.free.lock();
        free.buffers = Vec::new();
        !std::mem::replace(&mut free.closed, true)
    }

    /// Whether buffers are no longer kept.
    pub(crate) fn is_closed(&self) -> bool {
        self.free.lock().closed
    }

    /// An empty buffer, of this capacity if it is new.
    pub(super) fn take(&self, capacity: usize) -> Vec<u8> {
        let used = self.free.lock().buffers.pop();
        used.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// The bytes of a buffer, which comes back when the last of them is dropped.
    pub(super) fn share(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(BlockBuffer { bytes, buffers: Arc::clone(self) })
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.lock();
        if !free.closed {
            free.buffers.push(buffer);
        }
    }
}

struct BlockBuffer {
    bytes: Vec<u8>,
    buffers: Arc<BlockBuffers>,
}

impl AsRef<[u8]> for BlockBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for BlockBuffer {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_part_of_its_bytes() {
        let buffers = Arc::new(BlockBuffers::default());
        let mut buffer = buffers.take(1000);
        buffer.extend_from_slice(b"abc");
        let bytes = buffers.share(buffer);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(buffers.take(1).capacity(), 1, "it is in use");
        assert_eq!(&*part, b"b");
        drop(part);
        let again = buffers.take(1);
        assert_eq!((again.len(), again.capacity()), (0, 1000));
        assert!(buffers.close() && !buffers.close());
        drop(buffers.share(again));
        assert_eq!(buffers.take(1).capacity(), 1);
    }
}
