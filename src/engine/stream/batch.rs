//! Batches: what one insert sends.

use std::sync::Arc;

use bytes::Bytes;

use super::attempt::Attempt;
use super::row_hash::{BatchHashes, row_hash};
use super::rows::{RowFormat, Rows};
use crate::formats::native::MalformedRow;

/// Rows of one chunk, whole in memory until the server has acknowledged them.
#[derive(Debug)]
pub(super) struct Batch {
    pub attempt: Arc<Attempt>,
    pub pieces: Vec<Bytes>,
    pub rows: u64,
    pub bytes: u64,
    /// Of its rows in their order, for the deduplication token.
    pub digest: u128,
    /// The sum of its rows' hashes.
    pub hash: u128,
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
    hashes: BatchHashes,
    rows: u64,
    bytes: u64,
    full: Vec<Batch>,
}

impl BatchBuilder {
    pub fn new(attempt: Arc<Attempt>, limits: BatchLimits, format: &RowFormat) -> Self {
        Self {
            attempt,
            limits,
            building: Rows::new(format),
            hashes: BatchHashes::new(),
            rows: 0,
            bytes: 0,
            full: Vec::new(),
        }
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
        self.hashes.push(row_hash(source, lookup));
        self.rows += 1;
        self.bytes += (source.len() + lookup.len()) as u64;
        Ok(())
    }

    /// Whether a batch is full and another one begun.
    pub fn has_full(&self) -> bool {
        !self.full.is_empty()
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
            let hashes = std::mem::replace(&mut self.hashes, BatchHashes::new());
            let (digest, hash) = (hashes.digest(), hashes.sum());
            self.full.push(Batch {
                attempt: self.attempt.clone(),
                pieces,
                rows: self.rows,
                bytes,
                digest,
                hash,
            });
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::stream::Counters;
    use crate::engine::stream::report::{ChunkBook, Share};

    fn attempt() -> Arc<Attempt> {
        Attempt::begin(
            0,
            Share::of(None),
            Arc::new(ChunkBook::new(None)),
            Arc::new(Counters::default()),
        )
    }

    fn fill(limits: BatchLimits, rows: &[usize]) -> Vec<(u64, u64)> {
        let mut builder = BatchBuilder::new(attempt(), limits, &RowFormat::RowBinary);
        let mut expected = Vec::new();
        for (index, &length) in rows.iter().enumerate() {
            let row = vec![u8::try_from(index % 251).unwrap(); length];
            let (source, lookup) = row.split_at(length / 3);
            builder.push(source, lookup).unwrap();
            expected.extend(row);
        }
        let batches = builder.finish().unwrap();
        let bytes: Vec<u8> =
            batches.iter().flat_map(|batch| batch.pieces.iter().flatten().copied()).collect();
        assert!(bytes == expected, "bytes are kept in order");
        batches.iter().map(|batch| (batch.rows, batch.bytes)).collect()
    }

    #[test]
    fn batches_are_full_by_rows_or_by_bytes() {
        assert_eq!(
            fill(BatchLimits { rows: 2, bytes: 1000 }, &[1, 1, 1, 1, 1]),
            [(2, 2), (2, 2), (1, 1)]
        );
        assert_eq!(fill(BatchLimits { rows: 100, bytes: 10 }, &[6, 6, 6]), [(2, 12), (1, 6)]);
        assert_eq!(fill(BatchLimits { rows: 1, bytes: 1 }, &[0, 0]), [(1, 0), (1, 0)]);
        assert_eq!(
            fill(BatchLimits { rows: 9, bytes: 1 << 40 }, &[3_000_000, 5, 1_048_576, 0, 7]),
            [(5, 4_048_588)]
        );
        assert_eq!(fill(BatchLimits { rows: 9, bytes: 9 }, &[]), []);
    }

    #[test]
    fn the_hash_of_rows_does_not_depend_on_batches_and_the_digest_on_nothing_but_rows() {
        let batches = |rows_a_batch: u64| {
            let mut builder = BatchBuilder::new(
                attempt(),
                BatchLimits { rows: rows_a_batch, bytes: 1 << 30 },
                &RowFormat::RowBinary,
            );
            for row in [b"ab", b"cd", b"ef"] {
                builder.push(row, b"lookup").unwrap();
            }
            builder.finish().unwrap()
        };
        let (whole, parts) = (batches(3), batches(2));
        assert_eq!((whole.len(), parts.len()), (1, 2));
        assert_eq!(whole[0].hash, parts[0].hash.wrapping_add(parts[1].hash));
        assert_eq!(whole[0].digest, batches(3)[0].digest);
        assert_ne!(whole[0].digest, parts[0].digest);
    }
}
