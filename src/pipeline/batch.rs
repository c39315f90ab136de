//! Batches: what one insert sends.

use std::sync::Arc;

use bytes::Bytes;
use twox_hash::XxHash3_128;

use super::attempt::Attempt;
use super::rows::{RowFormat, Rows};
use crate::native::MalformedRow;

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
    /// In RowBinary; in the format that is sent, a batch may be somewhat larger or smaller.
    pub bytes: u64,
}

/// Fills batches row by row.
pub(super) struct BatchBuilder {
    attempt: Arc<Attempt>,
    limits: BatchLimits,
    building: Rows,
    rows: u64,
    bytes: u64,
    full: Vec<Batch>,
}

impl BatchBuilder {
    pub fn new(attempt: Arc<Attempt>, limits: BatchLimits, format: &RowFormat) -> Self {
        Self { attempt, limits, building: Rows::new(format), rows: 0, bytes: 0, full: Vec::new() }
    }

    /// Appends a row: the source's columns, then the lookup's, both in RowBinary.
    ///
    /// # Errors
    /// [`MalformedRow`] where the bytes are not exactly one row.
    pub fn push(&mut self, source: &[u8], lookup: &[u8]) -> Result<(), MalformedRow> {
        if self.rows >= self.limits.rows || self.bytes >= self.limits.bytes {
            self.seal()?;
        }
        self.building.append(source, lookup)?;
        self.rows += 1;
        self.bytes += (source.len() + lookup.len()) as u64;
        Ok(())
    }

    /// Batches that are full.
    pub fn take_full(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.full)
    }

    /// All that is left.
    ///
    /// # Errors
    /// [`MalformedRow`] where a row was refused before.
    pub fn finish(mut self) -> Result<Vec<Batch>, MalformedRow> {
        self.seal()?;
        Ok(self.full)
    }

    fn seal(&mut self) -> Result<(), MalformedRow> {
        if self.rows > 0 {
            let pieces = self.building.take()?;
            let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
            self.full.push(Batch { attempt: self.attempt.clone(), pieces, rows: self.rows, bytes });
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Counters;

    fn fill(limits: BatchLimits, rows: &[usize]) -> Vec<(u64, u64)> {
        let mut builder = BatchBuilder::new(Attempt::begin(0, Arc::new(Counters::default())), limits, &RowFormat::RowBinary);
        let mut expected = Vec::new();
        for (index, &length) in rows.iter().enumerate() {
            let row = vec![u8::try_from(index % 251).unwrap(); length];
            let (source, lookup) = row.split_at(length / 3);
            builder.push(source, lookup).unwrap();
            expected.extend(row);
        }
        let batches = builder.finish().unwrap();
        let bytes: Vec<u8> = batches.iter().flat_map(|batch| batch.pieces.iter().flatten().copied()).collect();
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
