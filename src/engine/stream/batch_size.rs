//! The rows of a batch, adapted to how long inserts take: additive increase, multiplicative decrease.
//!
//! An insert that takes half a minute keeps its reader waiting until the server cuts off the stream,
//! and one for which the server has no memory never succeeds. Smaller ones do.
//!
//! Where a repeated batch must have the same rows, all batches of a chunk have the number at which it
//! was begun, and only later chunks have another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What an insert should take at most.
const AIM: Duration = Duration::from_secs(5);
/// Smaller batches would make very many parts.
pub(super) const LEAST_BATCH_ROWS: u64 = 1000;
/// The share of the configured rows by which batches grow again.
const STEP: u64 = 20;

/// The most rows of a batch at this moment.
#[derive(Debug)]
pub(in crate::engine) struct BatchSize {
    rows: AtomicU64,
    most: u64,
    least: u64,
}

impl BatchSize {
    /// Always this many.
    pub(super) fn fixed(rows: u64) -> Self {
        let most = rows.max(1);
        Self { rows: AtomicU64::new(most), most, least: most }
    }

    /// At most this many, and no fewer than `least`.
    pub(super) fn adaptive(rows: u64, least: u64) -> Self {
        let most = rows.max(1);
        Self { rows: AtomicU64::new(most), most, least: least.clamp(1, most) }
    }

    /// The most rows of the batch that is being filled.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Notes how long the insert of a batch took. The last batch of a chunk counts only if it is
    /// about as large as others.
    pub(super) fn inserted(&self, rows: u64, is_full: bool, took: Duration) {
        let now = self.rows();
        if !is_full && rows.saturating_mul(2) < now {
            return;
        }
        if took > AIM {
            self.decrease(rows, took);
        } else if took < AIM / 2 && rows >= now - now / 10 && now < self.most {
            self.rows.store((now + (self.most / STEP).max(1)).min(self.most), Ordering::Relaxed);
        }
    }

    /// Notes that the server had no memory for a batch of this many rows.
    pub(super) fn refused(&self, rows: u64) {
        self.decrease(rows, Duration::ZERO);
    }

    /// Halves. Several batches of the same size that were in flight together halve it once.
    fn decrease(&self, rows: u64, took: Duration) {
        let to = (rows / 2).max(self.least);
        let before = self.rows.fetch_min(to, Ordering::Relaxed);
        if to < before {
            let insert_seconds = took.as_secs_f64();
            tracing::info!(before, rows = to, insert_seconds, "batches are made smaller");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_secs(1);
    const SLOW: Duration = Duration::from_secs(30);

    #[test]
    fn slow_inserts_halve_and_fast_ones_add() {
        let size = BatchSize::adaptive(100_000, LEAST_BATCH_ROWS);
        size.inserted(100_000, true, SLOW);
        size.inserted(100_000, true, SLOW);
        assert_eq!(size.rows(), 50_000, "both were made before the first was slow");
        size.inserted(50_000, true, Duration::from_secs(4));
        assert_eq!(size.rows(), 50_000, "about right");
        size.inserted(50_000, true, FAST);
        assert_eq!(size.rows(), 55_000);
        size.inserted(20, false, SLOW);
        assert_eq!(size.rows(), 55_000, "the end of a chunk says nothing");
        // Full by bytes.
        size.inserted(14_000, true, SLOW);
        assert_eq!(size.rows(), 7000);
        size.inserted(3000, true, FAST);
        assert_eq!(size.rows(), 7000, "rows are not what limits it");
        for _ in 0..9 {
            size.refused(size.rows());
        }
        assert_eq!(size.rows(), 1000);
        for _ in 0..40 {
            size.inserted(size.rows(), true, FAST);
        }
        assert_eq!(size.rows(), 100_000);
    }

    #[test]
    fn a_fixed_size_and_a_small_one_stay() {
        for size in [BatchSize::fixed(100_000), BatchSize::adaptive(500, LEAST_BATCH_ROWS)] {
            let rows = size.rows();
            size.inserted(rows, true, SLOW);
            size.refused(rows);
            assert_eq!(size.rows(), rows);
        }
    }
}
