//! Hashes of enriched rows: one for each row, from which those of batches and of chunks are made.
//!
//! They are computed where rows are put together, while their bytes are in the processor's cache.
//! They tell rows apart; they are no defence against forgery.

use twox_hash::XxHash3_128;

/// The hash of a row, whatever the format in which it is sent: of its source's columns and of its
/// lookup's, both in RowBinary.
///
/// Each side is hashed where it lies. How many columns each has is the same for all rows, so the
/// two say where they meet.
#[inline]
pub(super) fn row_hash(source: &[u8], lookup: &[u8]) -> u128 {
    let sides =
        [XxHash3_128::oneshot(source).to_le_bytes(), XxHash3_128::oneshot(lookup).to_le_bytes()];
    XxHash3_128::oneshot(sides.as_flattened())
}

/// The hashes of the rows of one batch.
pub(super) struct BatchHashes {
    sequence: XxHash3_128,
    sum: u128,
}

impl BatchHashes {
    pub fn new() -> Self {
        Self { sequence: XxHash3_128::new(), sum: 0 }
    }

    /// Adds a row's hash.
    #[inline]
    pub fn push(&mut self, row: u128) {
        self.sequence.write(&row.to_le_bytes());
        self.sum = self.sum.wrapping_add(row);
    }

    /// Equal rows in the same order, equal digest: the part of the deduplication token that lets a
    /// repeated batch be recognized, and lets no other batch be taken for it.
    pub fn digest(&self) -> u128 {
        self.sequence.finish_128()
    }

    /// The wrapping sum, which is the same in any order. Sums of batches add up to that of a chunk.
    pub fn sum(&self) -> u128 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = (&'a [u8], &'a [u8]);

    fn hashes(rows: &[Row<'_>]) -> (u128, u128) {
        let mut hashes = BatchHashes::new();
        for (source, lookup) in rows {
            hashes.push(row_hash(source, lookup));
        }
        (hashes.digest(), hashes.sum())
    }

    #[test]
    fn digests_depend_on_the_order_and_sums_do_not() {
        let (one, two): (Row<'_>, Row<'_>) = ((b"ab", b"c"), (b"x", b""));
        assert_eq!(hashes(&[one, two]), hashes(&[one, two]));
        let (there, back) = (hashes(&[one, two]), hashes(&[two, one]));
        assert_ne!(there.0, back.0);
        assert_eq!(there.1, back.1);
    }

    #[test]
    fn every_byte_and_every_row_counts() {
        let row: Row<'_> = (b"ab", b"c");
        let others: [&[Row<'_>]; 5] =
            [&[(b"ab", b"d")], &[(b"ac", b"c")], &[(b"a", b"bc")], &[row, row], &[]];
        for other in others {
            assert_ne!(hashes(&[row]).0, hashes(other).0, "{other:?}");
            assert_ne!(hashes(&[row]).1, hashes(other).1, "{other:?}");
        }
    }
}
