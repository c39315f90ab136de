//! How long inserts take, as counts by size.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Times up to these are counted apart: batches of 100,000 rows take from a tenth of a second to
/// some seconds, and a minute where a server suffers.
const BOUNDS: [Duration; 12] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];

/// Counts times by their size.
#[derive(Debug, Default)]
pub struct Latency {
    counts: [AtomicU64; BOUNDS.len()],
    larger: AtomicU64,
    microseconds: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencySnapshot {
    /// How many took at most so long, and longer than the bound before.
    pub buckets: Vec<(Duration, u64)>,
    /// How many took longer than the last bound.
    pub larger: u64,
    /// All of them together.
    pub sum: Duration,
}

impl Latency {
    pub(super) fn note(&self, time: Duration) {
        let place = BOUNDS.iter().position(|bound| time <= *bound);
        let count = place.and_then(|place| self.counts.get(place)).unwrap_or(&self.larger);
        count.fetch_add(1, Ordering::Relaxed);
        self.microseconds
            .fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The counts now.
    pub fn snapshot(&self) -> LatencySnapshot {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        LatencySnapshot {
            buckets: BOUNDS.into_iter().zip(counts).collect(),
            larger: self.larger.load(Ordering::Relaxed),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_by_their_size() {
        let latency = Latency::default();
        for milliseconds in [0, 50, 51, 900_000, 900_001] {
            latency.note(Duration::from_millis(milliseconds));
        }
        let snapshot = latency.snapshot();
        let counts: Vec<_> = snapshot.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((snapshot.larger, snapshot.sum), (1, Duration::from_millis(1_800_102)));
    }
}
