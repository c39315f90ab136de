//! Deciding whether and when a failed statement is tried again.

use std::fmt::Display;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::time::sleep;

use super::error::ReadError;
use super::outage::{Gate, Reach};
use super::shared::Shared;
use crate::clickhouse::{Error as ServerError, ErrorClass};

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
        Self {
            max_retries: 3,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try again after this pause.
    RetryAfter(Duration),
    /// Give up.
    GiveUp,
}

impl RetryPolicy {
    /// Decides after the failure of attempt number `attempt`, counted from 1.
    pub(crate) fn decide(&self, class: ErrorClass, attempt: u32) -> Decision {
        if matches!(class, ErrorClass::Fatal | ErrorClass::Rows) || attempt > self.max_retries {
            return Decision::GiveUp;
        }
        Decision::RetryAfter(self.pause(attempt))
    }

    /// Between half and the whole of an exponentially growing pause, at random, so that many
    /// inserters that failed together do not come back together.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let whole = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// For log lines.
pub(super) fn milliseconds(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

/// What a failure says about trying again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symptom {
    pub class: ErrorClass,
    /// The server had no word in it: it may be gone.
    pub is_silence: bool,
}

impl From<&ServerError> for Symptom {
    fn from(error: &ServerError) -> Self {
        Self { class: error.class(), is_silence: error.is_silence() }
    }
}

/// Bytes that cannot be framed may come from a connection that broke in a way that HTTP did not
/// notice, so reading them again is worth it.
impl From<&ReadError> for Symptom {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Server(error) => error.into(),
            ReadError::Framing(_) | ReadError::Row(_) => {
                Self { class: ErrorClass::Retry, is_silence: false }
            }
            // It has been tried again already.
            ReadError::Late { source, .. } if Self::from(&**source).class != ErrorClass::Fatal => {
                Self { class: ErrorClass::Rows, is_silence: false }
            }
            ReadError::Lookup(_)
            | ReadError::Late { .. }
            | ReadError::Lost(_)
            | ReadError::Task(_) => Self { class: ErrorClass::Fatal, is_silence: false },
        }
    }
}

/// A statement may outlast so many outages; further ones count as its own failures, since it may be
/// what brings the server down.
const MOST_OUTAGES: u32 = 10;

/// A statement is excused so often; then something else must be done about what stands in its way.
const MOST_EXCUSES: u32 = 20;

/// The attempts of one statement.
pub(super) struct Attempts<'a> {
    shared: &'a Shared,
    gate: &'a Gate,
    number: u32,
    outages: u32,
    excuses: u32,
    sent: Instant,
}

/// What to do after a failed attempt.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Try again after this pause.
    Again(Duration),
    /// Give up.
    GiveUp,
    /// Give up, and stop the run: the server stayed away for too long.
    Lost(ServerError),
    /// The run is stopping because of another failure.
    Stopped,
}

impl<'a> Attempts<'a> {
    /// The first attempt begins now.
    pub fn at_source(shared: &'a Shared) -> Self {
        Self::at(shared, &shared.source_gate)
    }

    /// The first attempt begins now.
    pub fn at_target(shared: &'a Shared) -> Self {
        Self::at(shared, &shared.target_gate)
    }

    fn at(shared: &'a Shared, gate: &'a Gate) -> Self {
        Self { shared, gate, number: 1, outages: 0, excuses: 0, sent: Instant::now() }
    }

    /// The number of the attempt under way, from 1. Attempts that an outage ended are not counted.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Decides after a failure that was this program's own doing: it is tried again without
    /// counting, unless that has been so too often.
    pub fn excuse(&mut self, error: impl Display) -> Option<Duration> {
        if self.excuses == MOST_EXCUSES {
            return None;
        }
        self.excuses += 1;
        self.shared.counters.retries.add(1);
        self.shared.counters.retries_stalled.add(1);
        let pause = self.shared.options.retry.pause(self.excuses);
        self.shared.counters.trouble.retry(error.to_string(), pause);
        self.sent = Instant::now() + pause;
        Some(pause)
    }

    /// Decides after a failure of the attempt under way. Where the server is gone, waits until it
    /// is back.
    pub async fn after(&mut self, error: impl Into<Symptom> + Display) -> Verdict {
        let reason = error.to_string();
        let Symptom { class, is_silence } = error.into();
        let mut decision = self.shared.options.retry.decide(class, self.number);
        let mut outage = false;
        if is_silence && self.outages < MOST_OUTAGES {
            let reach = tokio::select! {
                reach = self.gate.ask(self.sent) => reach,
                () = self.shared.stop.failing() => return Verdict::Stopped,
            };
            match reach {
                Reach::Answers => {}
                Reach::Back => {
                    self.outages += 1;
                    outage = true;
                    decision = Decision::RetryAfter(self.shared.options.retry.pause(1));
                }
                Reach::Lost(error) => return Verdict::Lost(error),
            }
        }
        match decision {
            Decision::RetryAfter(pause) => {
                let counters = &self.shared.counters;
                counters.retries.add(1);
                match class {
                    _ if outage => counters.retries_outage.add(1),
                    ErrorClass::Ambiguous => counters.retries_ambiguous.add(1),
                    ErrorClass::Retry | ErrorClass::Rows | ErrorClass::Fatal => {
                        counters.retries_refused.add(1);
                    }
                }
                counters.trouble.retry(reason, pause);
                self.number += u32::from(!outage);
                self.sent = Instant::now() + pause;
                Verdict::Again(pause)
            }
            Decision::GiveUp => Verdict::GiveUp,
        }
    }
}

/// Asks a question until it is answered.
///
/// # Errors
/// The last failure, or that the server is lost.
pub(super) async fn ask<T>(
    mut attempts: Attempts<'_>,
    what: &str,
    question: impl AsyncFn() -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    loop {
        let error = match question().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let number = attempts.number();
        match attempts.after(&error).await {
            Verdict::Again(pause) => {
                tracing::warn!(what, attempt = number, pause_ms = milliseconds(pause), %error, "a question to the server failed, it is asked again");
                tokio::select! {
                    () = sleep(pause) => {}
                    () = attempts.shared.stop.failing() => return Err(error),
                }
            }
            Verdict::Lost(lost) => return Err(lost),
            Verdict::GiveUp | Verdict::Stopped => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        let policy = RetryPolicy { max_retries: 40, ..RetryPolicy::default() };
        for attempt in 1..=40 {
            let Decision::RetryAfter(pause) = policy.decide(ErrorClass::Retry, attempt) else {
                panic!("attempt {attempt}")
            };
            let whole = Duration::from_millis(500)
                .saturating_mul(1 << (attempt - 1).min(16))
                .min(Duration::from_secs(30));
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
