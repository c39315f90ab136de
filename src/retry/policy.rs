//! What to do after a failed attempt: the decision, without clocks, tasks or random numbers.

use std::time::Duration;

use rand::Rng;

use crate::clickhouse::{Error as ServerError, ErrorClass};

/// How often a statement is retried, and after what pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// Retries of a failure that may pass.
    pub max_retries: u32,
    /// Retries of a failure that will most likely repeat itself.
    pub max_lasting_retries: u32,
    /// No retry begins later than this after the first attempt, except after an outage.
    pub time_limit: Option<Duration>,
    /// The pause before the first retry. It doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// The share of a pause that is random, so that tasks that failed together do not return
    /// together: with 0.5, a pause takes from half of its time to all of it.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            max_lasting_retries: 0,
            time_limit: None,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            jitter: 0.5,
        }
    }
}

/// At most this many failures that the program caused itself are excused.
const MAX_EXCUSES: u32 = 20;

/// Retries beyond [`RetryPolicy::max_retries`] of a failure that takes long to pass: with the default
/// pauses, two minutes.
const SLOW_RETRIES: u32 = 6;

/// What a failure means for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailureKind {
    /// What may be done after it.
    pub class: ErrorClass,
    /// Whether nothing came from the server: it may be gone.
    pub is_no_response: bool,
    /// Whether a disk of the server is full: it is waited for like a server that is away.
    pub is_out_of_space: bool,
    /// Why this attempt does not count: the program itself made it fail.
    pub excuse: Option<&'static str>,
    /// Whether it takes long to pass, so that it is retried more often, after longer pauses.
    pub is_slow_to_pass: bool,
}

impl FailureKind {
    /// A failure that is no outage.
    pub(crate) const fn of(class: ErrorClass) -> Self {
        Self {
            class,
            is_no_response: false,
            is_out_of_space: false,
            excuse: None,
            is_slow_to_pass: false,
        }
    }
}

impl From<&ServerError> for FailureKind {
    fn from(error: &ServerError) -> Self {
        Self {
            class: error.class(),
            is_no_response: error.is_no_response(),
            is_out_of_space: error.is_out_of_space(),
            excuse: None,
            is_slow_to_pass: error.is_short_of_memory(),
        }
    }
}

/// Why a statement is retried, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryCause {
    /// The server refused for now, or its answer broke off.
    Refused,
    /// It is not known whether the statement took effect.
    Ambiguous,
    /// The server could not be reached.
    Outage,
    /// A disk of the server is full.
    OutOfSpace,
    /// The program itself made the attempt fail.
    Excused,
}

/// What to do after a failed attempt. Pauses are given without their random share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// Try again after this pause.
    RetryAfter(Duration, RetryCause),
    /// Find out whether the server is there, and wait for it.
    AwaitServer,
    /// Return the error.
    GiveUp,
}

/// What happened to a statement so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryHistory {
    /// The attempt that failed, from 1. Outages and excused failures do not count.
    pub attempt: u32,
    /// Outages so far.
    pub outages: u32,
    /// Excused failures so far.
    pub excuses: u32,
}

impl RetryHistory {
    pub(super) const START: Self = Self { attempt: 1, outages: 0, excuses: 0 };

    /// Notes that a retry follows.
    pub(super) fn note(&mut self, cause: RetryCause) {
        match cause {
            RetryCause::Refused | RetryCause::Ambiguous => self.attempt += 1,
            RetryCause::Outage => self.outages += 1,
            // This is limited by time.
            RetryCause::OutOfSpace => {}
            RetryCause::Excused => self.excuses += 1,
        }
    }
}

impl RetryPolicy {
    /// Probes of a server that is away.
    pub(super) const PROBES: Self = Self {
        max_retries: u32::MAX,
        max_lasting_retries: u32::MAX,
        time_limit: None,
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(5),
        jitter: 0.5,
    };

    /// A user who may run only a few queries at once, while several checks ask together: any of
    /// them may have to wait for a short time.
    pub(super) const CROWD: Self = Self {
        max_retries: 100,
        max_lasting_retries: 0,
        time_limit: None,
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_millis(50),
        jitter: 0.0,
    };

    /// Decides after a failure, `elapsed` after the first attempt began. The server is waited
    /// for in the first `max_outages` outages.
    pub(super) fn decide(
        &self,
        failure: FailureKind,
        history: RetryHistory,
        elapsed: Duration,
        max_outages: u32,
    ) -> RetryDecision {
        if failure.excuse.is_some() && history.excuses < MAX_EXCUSES {
            return RetryDecision::RetryAfter(self.pause(history.excuses + 1), RetryCause::Excused);
        }
        if failure.is_no_response && history.outages < max_outages {
            return RetryDecision::AwaitServer;
        }
        self.decide_counted(failure, history.attempt, elapsed)
    }

    /// The same for a failure that counts as an attempt.
    pub(super) fn decide_counted(
        &self,
        failure: FailureKind,
        attempt: u32,
        elapsed: Duration,
    ) -> RetryDecision {
        let (most, cause) = match failure.class {
            ErrorClass::Retry if failure.is_slow_to_pass && self.max_retries > 0 => {
                (self.max_retries.saturating_add(SLOW_RETRIES), RetryCause::Refused)
            }
            ErrorClass::Retry => (self.max_retries, RetryCause::Refused),
            ErrorClass::Ambiguous => (self.max_retries, RetryCause::Ambiguous),
            ErrorClass::Rows | ErrorClass::Fatal => (self.max_lasting_retries, RetryCause::Refused),
        };
        let left = self.time_limit.map(|limit| limit.saturating_sub(elapsed));
        if attempt > most || left.is_some_and(|left| left.is_zero()) {
            return RetryDecision::GiveUp;
        }
        let pause = self.pause(attempt);
        RetryDecision::RetryAfter(left.map_or(pause, |left| pause.min(left)), cause)
    }

    /// The pause after attempt number `attempt`, from 1.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause)
    }

    /// A pause with its random share.
    pub(super) fn jittered(&self, pause: Duration) -> Duration {
        let least = (1.0 - self.jitter).clamp(0.0, 1.0);
        pause.mul_f64(rand::rng().random_range(least..=1.0))
    }
}

/// For log lines.
pub(crate) fn milliseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn at(attempt: u32) -> RetryHistory {
        RetryHistory { attempt, ..RetryHistory::START }
    }

    #[test]
    fn pauses_grow_within_their_bounds() {
        let policy = RetryPolicy { max_retries: 40, ..RetryPolicy::default() };
        for attempt in 1..=40 {
            let whole = Duration::from_millis(500)
                .saturating_mul(1 << (attempt - 1).min(16))
                .min(Duration::from_secs(30));
            let decision = policy.decide(FailureKind::of(ErrorClass::Retry), at(attempt), NOW, 10);
            assert_eq!(decision, RetryDecision::RetryAfter(whole, RetryCause::Refused));
            let pause = policy.jittered(whole);
            assert!(pause >= whole / 2 && pause <= whole, "{attempt}: {pause:?}");
        }
        let exact = RetryPolicy { jitter: 0.0, ..policy };
        assert_eq!(exact.jittered(Duration::from_secs(7)), Duration::from_secs(7));
    }

    #[test]
    fn failures_that_may_pass_and_those_that_last_have_limits_of_their_own() {
        let policy =
            RetryPolicy { max_retries: 2, max_lasting_retries: 1, ..RetryPolicy::default() };
        let gives_up = |class, attempt| {
            policy.decide(FailureKind::of(class), at(attempt), NOW, 10) == RetryDecision::GiveUp
        };
        assert!(!gives_up(ErrorClass::Ambiguous, 2) && gives_up(ErrorClass::Ambiguous, 3));
        assert!(!gives_up(ErrorClass::Retry, 2) && gives_up(ErrorClass::Retry, 3));
        for class in [ErrorClass::Fatal, ErrorClass::Rows] {
            assert!(!gives_up(class, 1) && gives_up(class, 2));
            let default = RetryPolicy::default();
            assert_eq!(
                default.decide_counted(FailureKind::of(class), 1, NOW),
                RetryDecision::GiveUp
            );
        }
    }

    #[test]
    fn the_last_retry_comes_at_the_time_limit() {
        let limit = Duration::from_secs(30);
        let policy = RetryPolicy {
            max_retries: 100,
            time_limit: Some(limit),
            longest_pause: Duration::from_secs(10),
            ..RetryPolicy::default()
        };
        let after = |seconds| {
            policy.decide_counted(
                FailureKind::of(ErrorClass::Retry),
                50,
                Duration::from_secs(seconds),
            )
        };
        let pause =
            |seconds| RetryDecision::RetryAfter(Duration::from_secs(seconds), RetryCause::Refused);
        assert_eq!([after(5), after(28), after(30)], [pause(10), pause(2), RetryDecision::GiveUp]);
    }

    #[test]
    fn outages_and_excuses_use_up_no_attempt_until_there_are_too_many() {
        let policy = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
        let silence =
            FailureKind { is_no_response: true, ..FailureKind::of(ErrorClass::Ambiguous) };
        let mut history = RetryHistory::START;
        for _ in 0..10 {
            assert_eq!(policy.decide(silence, history, NOW, 10), RetryDecision::AwaitServer);
            history.note(RetryCause::Outage);
        }
        assert_eq!(policy.decide(silence, history, NOW, 10), RetryDecision::GiveUp);
        assert_eq!(policy.decide(silence, RetryHistory::START, NOW, 0), RetryDecision::GiveUp);

        let excused = FailureKind { excuse: Some("why"), ..silence };
        let mut history = RetryHistory::START;
        for number in 1..=MAX_EXCUSES {
            let retry = RetryDecision::RetryAfter(policy.pause(number), RetryCause::Excused);
            assert_eq!(policy.decide(excused, history, NOW, 10), retry);
            history.note(RetryCause::Excused);
        }
        assert_eq!(policy.decide(excused, history, NOW, 0), RetryDecision::GiveUp);
        assert_eq!(history.attempt, 1);
    }
}
