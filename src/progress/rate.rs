//! Rates over the recent past.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back a rate looks.
const SPAN: Duration = Duration::from_secs(15);

/// A counter that grows, and how fast it grew lately.
#[derive(Debug, Default)]
pub(super) struct Rate {
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Notes the counter's value now.
    pub fn note(&mut self, now: Instant, value: u64) {
        // A counter that went back belongs to an attempt that was given up.
        if self.samples.back().is_some_and(|(_, last)| *last > value) {
            self.samples.clear();
        }
        self.samples.push_back((now, value));
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > SPAN) {
            self.samples.pop_front();
        }
    }

    /// Growth a second; `None` until two values lie half a second apart.
    pub fn per_second(&self) -> Option<f64> {
        let ((began, first), (ended, last)) = (self.samples.front()?, self.samples.back()?);
        let seconds = ended.duration_since(*began).as_secs_f64();
        (seconds >= 0.5).then(|| (last - first) as f64 / seconds)
    }

    /// The time until the counter reaches a goal at this rate; `None` until that can be said with some right.
    pub fn remaining(&self, goal: u64) -> Option<Duration> {
        let (_, last) = self.samples.back()?;
        let rate = self.per_second().filter(|rate| *rate > 0.0)?;
        let left = goal.checked_sub(*last).filter(|_| goal > 0)?;
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_look_at_the_recent_past() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        assert_eq!(rate.per_second(), None);
        for second in 0..=60 {
            rate.note(begin + Duration::from_secs(second), if second < 30 { 0 } else { (second - 30) * 100 });
        }
        assert!((rate.per_second().unwrap() - 100.0).abs() < 1.0);
        assert_eq!(rate.remaining(4000).map(|left| left.as_secs()), Some(10));
        rate.note(begin + Duration::from_secs(61), 5);
        assert_eq!(rate.per_second(), None, "the counter went back");
    }
}
