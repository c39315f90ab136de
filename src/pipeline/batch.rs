//! Batches: what one insert sends.

use std::sync::Arc;

use bytes::Bytes;
use twox_hash::XxHash3_128;

use super::attempt::Attempt;

/// Output is kept in pieces of about this size: a batch is never copied to grow, and the HTTP client sends piece by piece.
const PIECE_BYTES: usize = 1024 * 1024;

/// Rows of one chunk, whole in memory until the server has acknowledged them.
#[derive(Debug)]
pub(super) struct Batch {
    pub attempt: Arc<Attempt>,
    pub pieces: Vec<Bytes>,
    pub rows: u64,
    pub bytes: u64,
}

impl Batch {
    /// Equal bytes, equal digest: the part of the deduplication token that lets a repeated batch be recognized, and lets no other
    /// batch be taken for it.
    pub fn digest(&self) -> u128 {
        let mut hasher = XxHash3_128::new();
        for piece in &self.pieces {
            hasher.write(piece);
        }
        hasher.finish_128()
    }
}

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    pub rows: u64,
    pub bytes: u64,
}

/// Fills batches row by row.
pub(super) struct BatchBuilder {
    attempt: Arc<Attempt>,
    limits: BatchLimits,
    pieces: Vec<Bytes>,
    piece: Vec<u8>,
    rows: u64,
    bytes: u64,
    full: Vec<Batch>,
}

impl BatchBuilder {
    pub fn new(attempt: Arc<Attempt>, limits: BatchLimits) -> Self {
        Self { attempt, limits, pieces: Vec::new(), piece: Vec::new(), rows: 0, bytes: 0, full: Vec::new() }
    }

    /// Appends a row that `write` puts at the end of the buffer; gives the row's bytes.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        if self.rows >= self.limits.rows || self.bytes >= self.limits.bytes {
            self.seal();
        }
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(PIECE_BYTES);
        }
        let before = self.piece.len();
        write(&mut self.piece);
        let length = self.piece.len() - before;
        self.rows += 1;
        self.bytes += length as u64;
        if self.piece.len() >= PIECE_BYTES - PIECE_BYTES / 16 {
            let piece = Bytes::from(std::mem::take(&mut self.piece));
            self.pieces.push(piece);
            return self.pieces.last().and_then(|piece| piece.get(before..)).unwrap_or_default();
        }
        self.piece.get(before..).unwrap_or_default()
    }

    /// Batches that are full.
    pub fn take_full(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.full)
    }

    /// All that is left.
    pub fn finish(mut self) -> Vec<Batch> {
        self.seal();
        self.full
    }

    fn seal(&mut self) {
        if !self.piece.is_empty() {
            self.pieces.push(Bytes::from(std::mem::take(&mut self.piece)));
        }
        if self.rows > 0 {
            let (pieces, rows, bytes) = (std::mem::take(&mut self.pieces), self.rows, self.bytes);
            self.full.push(Batch { attempt: self.attempt.clone(), pieces, rows, bytes });
        }
        (self.rows, self.bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Counters;

    fn fill(limits: BatchLimits, rows: &[usize]) -> Vec<(u64, u64)> {
        let mut builder = BatchBuilder::new(Attempt::begin(0, Arc::new(Counters::default())), limits);
        for (index, &length) in rows.iter().enumerate() {
            let value = u8::try_from(index % 251).unwrap();
            let row = builder.push(|out| out.extend(std::iter::repeat_n(value, length)));
            assert!(row.len() == length && row.iter().all(|&byte| byte == value));
        }
        let batches = builder.finish();
        let bytes: Vec<u8> = batches.iter().flat_map(|batch| batch.pieces.iter().flatten().copied()).collect();
        let expected: Vec<u8> =
            rows.iter().enumerate().flat_map(|(index, &length)| std::iter::repeat_n(u8::try_from(index % 251).unwrap(), length)).collect();
        assert!(bytes == expected, "bytes are kept in order");
        batches.iter().map(|batch| (batch.rows, batch.bytes)).collect()
    }

    #[test]
    fn batches_are_full_by_rows_or_by_bytes() {
        assert_eq!(fill(BatchLimits { rows: 2, bytes: 1000 }, &[1, 1, 1, 1, 1]), [(2, 2), (2, 2), (1, 1)]);
        assert_eq!(fill(BatchLimits { rows: 100, bytes: 10 }, &[6, 6, 6]), [(2, 12), (1, 6)]);
        assert_eq!(fill(BatchLimits { rows: 1, bytes: 1 }, &[0, 0]), [(1, 0), (1, 0)]);
        assert_eq!(fill(BatchLimits { rows: 9, bytes: 1 << 40 }, &[3_000_000, 5, 1_048_576, 0, 7]), [(5, 4_048_588)]);
        assert_eq!(fill(BatchLimits { rows: 9, bytes: 9 }, &[]), []);
    }

    #[test]
    fn digests_tell_batches_apart_and_not_their_pieces() {
        let batch = |pieces: &[&'static [u8]]| Batch {
            attempt: Attempt::begin(0, Arc::new(Counters::default())),
            pieces: pieces.iter().map(|piece| Bytes::from_static(piece)).collect(),
            rows: 1,
            bytes: 0,
        };
        assert_eq!(batch(&[b"ab", b"c"]).digest(), batch(&[b"a", b"bc"]).digest());
        assert_ne!(batch(&[b"abc"]).digest(), batch(&[b"abd"]).digest());
    }
}
