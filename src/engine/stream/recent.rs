//! How long the inserts of the last moments took.

use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Of so many inserts between two looks the times are kept; more than that come only where nobody
/// looks.
const KEPT: usize = 1 << 14;

/// Times that somebody takes now and then.
#[derive(Debug, Default)]
pub struct RecentTimes {
    times: Mutex<Vec<Duration>>,
}

/// How long things took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 95 % of them took no longer.
    pub p95: Duration,
    /// The longest.
    pub max: Duration,
}

impl RecentTimes {
    pub(super) fn note(&self, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() < KEPT {
            times.push(time);
        }
    }

    /// Takes those since the last time; `None` where there were none.
    pub fn take(&self) -> Option<Percentiles> {
        let mut times = mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        times.sort_unstable();
        // The smallest one that so many of a hundred do not exceed.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
