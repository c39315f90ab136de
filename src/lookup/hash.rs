//! The keyed hash that finds keys and values; it never decides whether two of them are the same.
//!
//! Keys are users' data, so the hash must not be one whose collisions can be prepared in advance:
//! foldhash takes a seed that is drawn anew for each map, and its "quality" finish makes all bits
//! of the result good enough to choose a shard, a bucket and a tag from different bits of one
//! number. Nothing that an outsider sees depends on the seed, so it cannot be learnt by asking.
//! Hashes are never stored and never leave the process.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

/// Hashes byte strings under a seed of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct ByteHasher {
    state: RandomState,
    /// Bits that are cleared, so that tests see what happens when everything collides.
    #[cfg(test)]
    cleared: u64,
}

impl ByteHasher {
    /// The hash of `bytes` under this seed.
    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(bytes);
        #[cfg(test)]
        return hasher.finish() & !self.cleared;
        #[cfg(not(test))]
        hasher.finish()
    }

    /// A hasher whose hashes have none of these bits.
    #[cfg(test)]
    pub(super) fn without(cleared: u64) -> Self {
        Self { cleared, ..Self::default() }
    }
}

/// Which of `2^bits` shards a hash belongs to.
///
/// The bits directly below the seven that hashbrown keeps as a tag: it takes its buckets from the
/// lowest.
#[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are kept")]
#[inline]
pub(super) fn shard_of(hash: u64, bits: u32) -> usize {
    (hash >> (57 - bits)) as usize & ((1 << bits) - 1)
}
