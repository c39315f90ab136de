//! How long things take: inserts as a histogram and as recent percentiles, and the time that tasks
//! spend in each activity.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// The upper bounds of the histogram: a batch of 100,000 rows takes from a tenth of a second to a
/// few seconds, and a minute on an overloaded server.
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

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    counts: [AtomicU64; BOUNDS.len()],
    larger: AtomicU64,
    microseconds: AtomicU64,
}

/// The histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LatencySnapshot {
    /// Upper bounds, and the number of durations up to each and above the one before.
    pub buckets: Vec<(Duration, u64)>,
    /// The number of durations above the last bound.
    pub larger: u64,
    /// The sum of all durations.
    pub sum: Duration,
}

impl Latency {
    pub(in crate::engine) fn note(&self, time: Duration) {
        let place = BOUNDS.iter().position(|bound| time <= *bound);
        let count = place.and_then(|place| self.counts.get(place)).unwrap_or(&self.larger);
        count.fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(microseconds(time), Ordering::Relaxed);
    }

    /// The counts now.
    pub(crate) fn snapshot(&self) -> LatencySnapshot {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        LatencySnapshot {
            buckets: BOUNDS.into_iter().zip(counts).collect(),
            larger: self.larger.load(Ordering::Relaxed),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)),
        }
    }
}

/// The most durations that are kept between two calls of [`RecentTimes::take`]. More come only where
/// nothing takes them.
const KEPT: usize = 1 << 14;

/// Durations since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct RecentTimes {
    times: Mutex<Vec<Duration>>,
}

/// A summary of durations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// Half of them took at most this long.
    pub p50: Duration,
    /// 95 % of them took at most this long.
    pub p95: Duration,
    /// The longest.
    pub max: Duration,
}

impl RecentTimes {
    pub(in crate::engine) fn note(&self, time: Duration) {
        let mut times = self.times.lock();
        if times.len() < KEPT {
            times.push(time);
        }
    }

    /// Takes the durations since the last call; `None` where there were none.
    pub(crate) fn take(&self) -> Option<Percentiles> {
        let mut times = mem::take(&mut *self.times.lock());
        times.sort_unstable();
        let percentile = |percent: usize| {
            times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied()
        };
        Some(Percentiles {
            count: times.len() as u64,
            p50: percentile(50)?,
            p95: percentile(95)?,
            max: percentile(100)?,
        })
    }
}

/// What the tasks of a pipeline do: how many at this moment, and for how long in total. The
/// bottleneck follows from this.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    /// Readers that wait for rows from the server.
    pub reading: Activity,
    /// Readers that frame rows, look up their keys and fill batches.
    pub enriching: Activity,
    /// Readers that wait for a deferred lookup.
    pub looking_up: Activity,
    /// Readers that wait for room in the queue.
    pub queueing: Activity,
    /// Readers that wait because of the limit of rows per second.
    pub throttling: Activity,
    /// Inserters that wait for a batch.
    pub idling: Activity,
    /// Inserters with a batch in flight, pauses between attempts included.
    pub inserting: Activity,
}

/// When each insert in flight began.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<Vec<Instant>>);

/// An insert is in flight until this is dropped.
pub(in crate::engine) struct Flight<'a> {
    of: &'a InFlight,
    began: Instant,
}

impl InFlight {
    /// When the oldest began; `None` if none is in flight.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.0.lock().iter().min().copied()
    }

    pub(in crate::engine) fn begin(&self) -> Flight<'_> {
        let began = Instant::now();
        self.0.lock().push(began);
        Flight { of: self, began }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.of.0.lock();
        if let Some(position) = flights.iter().position(|began| *began == self.began) {
            flights.swap_remove(position);
        }
    }
}

/// One activity.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    tasks: AtomicU64,
    microseconds: AtomicU64,
}

/// A task is in this activity until this is dropped.
pub(in crate::engine) struct Busy<'a> {
    activity: &'a Activity,
    began: Instant,
}

impl Activity {
    /// The number of tasks in it now.
    pub(crate) fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// The time that tasks spent in it, without what has not ended yet.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_micros(self.microseconds.load(Ordering::Relaxed))
    }

    pub(in crate::engine) fn begin(&self) -> Busy<'_> {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        Busy { activity: self, began: Instant::now() }
    }

    /// Counts a task as in this activity until `work` ends or is dropped.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let _busy = self.begin();
        work.await
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let spent = microseconds(self.began.elapsed());
        self.activity.tasks.fetch_sub(1, Ordering::Relaxed);
        self.activity.microseconds.fetch_add(spent, Ordering::Relaxed);
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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

    #[test]
    fn what_was_taken_is_gone() {
        let recent = RecentTimes::default();
        assert_eq!(recent.take(), None);
        for time in (1..=100).rev() {
            recent.note(Duration::from_millis(time));
        }
        let [p50, p95, max] = [50, 95, 100].map(Duration::from_millis);
        assert_eq!(recent.take(), Some(Percentiles { count: 100, p50, p95, max }));
        recent.note(max);
        assert_eq!(recent.take(), Some(Percentiles { count: 1, p50: max, p95: max, max }));
        assert_eq!(recent.take(), None);
    }

    #[tokio::test]
    async fn tasks_are_counted_while_they_are_at_it() {
        let activity = Activity::default();
        let pause = tokio::time::sleep(Duration::from_millis(5));
        tokio::select! {
            biased;
            () = activity.during(std::future::pending()) => {}
            () = async { assert_eq!(activity.tasks(), 1); pause.await } => {}
        }
        assert!(
            activity.tasks() == 0 && activity.time() >= Duration::from_millis(5),
            "{activity:?}"
        );
    }
}
