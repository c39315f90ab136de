//! Rates over the recent past.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back the rate of a stage looks.
pub(super) const RECENT: Duration = Duration::from_secs(15);
/// The time that is left follows from the rate over so long: batches are large, and come in bursts.
pub(super) const LONGER: Duration = Duration::from_secs(60);
/// Nothing is said of the time that is left before so much was seen.
const ENOUGH: Duration = Duration::from_secs(5);

/// A counter that grows, and how fast it grew lately.
#[derive(Debug)]
pub(super) struct Rate {
    span: Duration,
    /// Where the counter stands.
    value: u64,
    /// Of attempts that were given up: it was work as well.
    taken_back: u64,
    /// All that was ever counted.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    pub fn over(span: Duration) -> Self {
        Self { span, value: 0, taken_back: 0, samples: VecDeque::new() }
    }

    /// Notes the counter's value now.
    pub fn note(&mut self, now: Instant, value: u64) {
        self.taken_back += self.value.saturating_sub(value);
        self.value = value;
        self.samples.push_back((now, value + self.taken_back));
        while self.samples.len() > 2
            && self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= self.span)
        {
            self.samples.pop_front();
        }
    }

    /// Growth a second; `None` until two values lie half a second apart.
    pub fn per_second(&self) -> Option<f64> {
        self.after(Duration::from_millis(500))
    }

    /// The time until the counter reaches a goal at this rate; `None` until that can be said with
    /// some right.
    pub fn remaining(&self, goal: u64) -> Option<Duration> {
        let rate = self.after(ENOUGH).filter(|rate| *rate > 0.0)?;
        let left = goal.checked_sub(self.value)?;
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }

    fn after(&self, enough: Duration) -> Option<f64> {
        let ((began, first), (ended, last)) = (self.samples.front()?, self.samples.back()?);
        let time = ended.duration_since(*began);
        (time >= enough).then(|| (last - first) as f64 / time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_look_at_the_recent_past() {
        let mut rate = Rate::over(RECENT);
        let begin = Instant::now();
        assert_eq!(rate.per_second(), None);
        for second in 0..=60 {
            rate.note(
                begin + Duration::from_secs(second),
                if second < 30 { 0 } else { (second - 30) * 100 },
            );
            assert!(second >= 5 || rate.remaining(4000).is_none(), "after {second} s");
        }
        assert!((rate.per_second().unwrap() - 100.0).abs() < 1.0);
        assert_eq!(rate.remaining(4000).map(|left| left.as_secs()), Some(10));
        // What is taken back has to be done again, at the same rate.
        rate.note(begin + Duration::from_secs(61), 1000);
        assert!((rate.per_second().unwrap() - 93.3).abs() < 1.0);
        assert_eq!(rate.remaining(4000).map(|left| left.as_secs()), Some(32));
        for second in 62..=80 {
            rate.note(begin + Duration::from_secs(second), 1000);
        }
        assert_eq!((rate.per_second(), rate.remaining(4000)), (Some(0.0), None), "nothing moves");
    }
}
