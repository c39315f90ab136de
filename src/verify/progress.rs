//! The progress of a comparison, shared with its display.

use std::sync::atomic::{AtomicU64, Ordering};

/// The share of a chunk of the source in the work for it and a range of the target: the join costs
/// about twice as much as reading what it made.
const SOURCE_SHARE: f64 = 2.0 / 3.0;

/// The progress of a comparison: first of the sums, then of the rows of the groups in doubt, in one or
/// more passes over both sides.
#[derive(Debug, Default)]
pub(crate) struct VerifyProgress {
    /// Compared chunks of the source, in this pass.
    pub chunks_done: AtomicU64,
    /// All chunks of the source.
    pub chunks: AtomicU64,
    /// Compared ranges of the target, in this pass.
    pub parts_done: AtomicU64,
    /// All ranges of the target; 0 until known.
    pub parts: AtomicU64,
    /// Compared shares of the groups of a job that aggregates.
    pub shares_done: AtomicU64,
    /// All of these shares; 0 for a job of rows.
    pub shares: AtomicU64,
    /// Groups of keys whose sums differ; 0 while sums are compared.
    pub groups_in_doubt: AtomicU64,
    /// Passes over the groups in doubt.
    pub passes: AtomicU64,
    /// Those that have ended.
    pub passes_done: AtomicU64,
}

impl VerifyProgress {
    /// Shares of groups are compared instead of sums, each on both sides at once.
    pub(super) fn compare_shares(&self, shares: u64) {
        self.shares.store(shares, Ordering::Relaxed);
    }

    /// Passes over the groups in doubt follow.
    pub(super) fn add_passes(&self, passes: usize) {
        self.begin_pass();
        self.passes.fetch_add(passes as u64, Ordering::Relaxed);
    }

    /// A pass has ended.
    pub(super) fn end_pass(&self) {
        self.begin_pass();
        self.passes_done.fetch_add(1, Ordering::Relaxed);
    }

    /// The comparison has ended; another one may follow.
    pub(super) fn restart(&self) {
        self.begin_pass();
        for number in [&self.groups_in_doubt, &self.passes, &self.passes_done] {
            number.store(0, Ordering::Relaxed);
        }
    }

    fn begin_pass(&self) {
        self.chunks_done.store(0, Ordering::Relaxed);
        self.parts_done.store(0, Ordering::Relaxed);
    }

    /// The share that is done: of the groups of a job that aggregates, of the sums, or of the passes over
    /// the groups in doubt.
    pub(crate) fn share(&self) -> f64 {
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        let of = |done: &AtomicU64, all: &AtomicU64| number(done) / number(all).max(1.0);
        let pass = SOURCE_SHARE * of(&self.chunks_done, &self.chunks)
            + (1.0 - SOURCE_SHARE) * of(&self.parts_done, &self.parts);
        let share = if self.shares.load(Ordering::Relaxed) > 0 {
            of(&self.shares_done, &self.shares)
        } else if self.groups_in_doubt.load(Ordering::Relaxed) == 0 {
            pass
        } else {
            (number(&self.passes_done) + pass) / number(&self.passes).max(1.0)
        };
        share.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_compared_in_shares() {
        let progress = VerifyProgress::default();
        progress.compare_shares(4);
        progress.shares_done.store(3, Ordering::Relaxed);
        assert!((progress.share() - 0.75).abs() < 1e-9);
    }

    #[test]
    fn sums_and_rows_have_shares_of_their_own() {
        let progress = VerifyProgress { chunks: 4.into(), ..VerifyProgress::default() };
        let percent = || format!("{:.1}", 100.0 * progress.share());
        assert_eq!(percent(), "0.0");
        progress.chunks_done.store(2, Ordering::Relaxed);
        assert_eq!(percent(), "33.3");
        progress.chunks_done.store(4, Ordering::Relaxed);
        progress.parts.store(2, Ordering::Relaxed);
        progress.parts_done.store(1, Ordering::Relaxed);
        assert_eq!(percent(), "83.3");
        progress.parts_done.store(2, Ordering::Relaxed);
        assert_eq!(percent(), "100.0");
        progress.groups_in_doubt.store(7, Ordering::Relaxed);
        progress.add_passes(2);
        assert_eq!(percent(), "0.0");
        progress.chunks_done.store(4, Ordering::Relaxed);
        assert_eq!(percent(), "33.3");
        progress.end_pass();
        assert_eq!(percent(), "50.0");
    }
}
