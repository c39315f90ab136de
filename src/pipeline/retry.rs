//! Deciding whether and when a failed statement is tried again.

use std::time::Duration;

use rand::Rng;

use super::error::ReadError;
use crate::clickhouse::ErrorClass;

/// How often and after what pause.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The longest pause before the first retry; it doubles with each.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: 3, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(30) }
    }
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Try again after this pause.
    RetryAfter(Duration),
    /// Give up.
    GiveUp,
}

impl RetryPolicy {
    /// Decides after the failure of attempt number `attempt`, counted from 1.
    pub(super) fn decide(&self, class: ErrorClass, attempt: u32) -> Decision {
        if class == ErrorClass::Fatal || attempt > self.max_retries {
            return Decision::GiveUp;
        }
        Decision::RetryAfter(self.pause(attempt))
    }

    /// Between half and the whole of an exponentially growing pause, at random, so that many inserters that failed together do not
    /// come back together.
    fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let whole = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// For log lines.
pub(super) fn milliseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

/// The class of a broken stream. Bytes that cannot be framed may come from a connection that broke in a way that HTTP did not
/// notice, so reading them again is worth it.
pub(super) fn read_class(error: &ReadError) -> ErrorClass {
    match error {
        ReadError::Server(error) => error.class(),
        ReadError::Framing(_) | ReadError::Row(_) => ErrorClass::Retry,
        ReadError::Lookup(_) => ErrorClass::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        let policy = RetryPolicy { max_retries: 40, ..RetryPolicy::default() };
        for attempt in 1..=40 {
            let Decision::RetryAfter(pause) = policy.decide(ErrorClass::Retry, attempt) else { panic!("attempt {attempt}") };
            let whole = Duration::from_millis(500).saturating_mul(1 << (attempt - 1).min(16)).min(Duration::from_secs(30));
            assert!(pause >= whole / 2 && pause <= whole, "{attempt}: {pause:?}");
        }
    }

    #[test]
    fn giving_up() {
        let policy = RetryPolicy { max_retries: 2, ..RetryPolicy::default() };
        assert_eq!(policy.decide(ErrorClass::Fatal, 1), Decision::GiveUp);
        assert!(matches!(policy.decide(ErrorClass::Ambiguous, 2), Decision::RetryAfter(_)));
        assert_eq!(policy.decide(ErrorClass::Retry, 3), Decision::GiveUp);
    }
}
