//! The buffer of one column: pieces that are never copied to grow, and that are handed over as they
//! are.

use super::output::Output;

/// No piece is larger, unless one value is.
const LARGEST_PIECE: usize = 1024 * 1024;
/// The first piece of a column of which nothing is known yet.
const SMALLEST_PIECE: usize = 4096;
/// A buffer with no more than this is copied when it is handed over, and keeps its memory.
const COPIED: usize = 32 * 1024;
/// Values of at most this many bytes are copied in a step of this fixed size, where there is room
/// on both sides: that needs no call of `memcpy`.
const STEP: usize = 32;

/// Bytes of a column, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    current: Vec<u8>,
    full: Vec<Vec<u8>>,
    full_bytes: usize,
    /// The size of the last block's buffer.
    learnt: usize,
}

impl Pieces {
    pub(super) fn len(&self) -> usize {
        self.full_bytes + self.current.len()
    }

    /// Appends bytes of a number that the compiler knows.
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

    /// Appends the first `count` bytes of the input and takes them off; `None` if there are not as
    /// many.
    #[inline]
    pub(super) fn append_first(&mut self, input: &mut &[u8], count: usize) -> Option<()> {
        let (value, rest) = input.split_at_checked(count)?;
        if self.current.capacity() - self.current.len() < count.max(STEP) {
            self.grow(count.max(STEP));
        }
        match input.first_chunk::<STEP>() {
            Some(step) if count <= STEP => {
                let end = self.current.len() + count;
                self.current.extend_from_slice(step);
                self.current.truncate(end);
            }
            _ => self.current.extend_from_slice(value),
        }
        *input = rest;
        Some(())
    }

    /// Begins a new piece with room for that many bytes.
    #[cold]
    fn grow(&mut self, needed: usize) {
        let size = match self.len() {
            0 => self.learnt + self.learnt / 8,
            // Twice as much as there is, so that the pieces of small columns stay few and those of
            // tiny ones small.
            length => length,
        };
        let next = Vec::with_capacity(size.clamp(SMALLEST_PIECE, LARGEST_PIECE).max(needed));
        let current = std::mem::replace(&mut self.current, next);
        self.full_bytes += current.len();
        if !current.is_empty() {
            self.full.push(current);
        }
    }

    /// Hands all bytes over, and is empty.
    pub(super) fn finish(&mut self, output: &mut Output) {
        self.learnt = self.len();
        for piece in self.full.drain(..) {
            output.push_piece(piece);
        }
        if self.current.len() <= COPIED && self.full_bytes == 0 {
            output.push(&self.current);
            self.current.clear();
        } else {
            output.push_piece(std::mem::take(&mut self.current));
        }
        self.full_bytes = 0;
    }

    /// All bytes in order, for columns that have to rewrite them. The buffer is empty then.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        self.full_bytes = 0;
        std::mem::take(&mut self.full).into_iter().chain([std::mem::take(&mut self.current)])
    }
}
