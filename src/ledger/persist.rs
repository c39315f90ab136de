//! Asking a ledger until it answers.
//!
//! A ledger that is silent is waited for as long as outages are waited for. What it refuses for now
//! is retried for a shorter time. What it refuses for good is reported at once before the load
//! depends on it, and after a few more attempts where the answer would otherwise be lost.

use std::time::Duration;

use tokio::time::timeout;

use super::LedgerError;
use crate::clickhouse::ErrorClass;
use crate::retry::{
    Attempts, FailedAttempt, FailureKind, OutageHandling, RetryError, RetryPolicy, Retryable,
};

/// How long refusals are retried at most.
const REFUSALS: Duration = Duration::from_secs(30);
/// How often a lasting failure is retried where the load depends on the ledger.
const LASTING_RETRIES: u32 = 3;

/// How long an attempt may take.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// Limits an access to a ledger to this time.
///
/// # Errors
/// [`LedgerError::Silent`] when the time is over.
pub(crate) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    timeout(limit, work).await.unwrap_or(Err(LedgerError::Silent { after: limit }))
}

/// Asks before anything was done. `outage_wait`: how long a ledger that cannot be reached is waited
/// for.
///
/// # Errors
/// The last failure.
pub(crate) async fn ask<T, Doing: Future<Output = Result<T, LedgerError>>>(
    outage_wait: Duration,
    work: impl FnMut() -> Doing,
) -> Result<T, LedgerError> {
    retried(outage_wait, 0, work).await
}

/// Writes, or reads, what the load depends on.
///
/// # Errors
/// The last failure.
pub(crate) async fn persist<T, Doing: Future<Output = Result<T, LedgerError>>>(
    outage_wait: Duration,
    work: impl FnMut() -> Doing,
) -> Result<T, LedgerError> {
    retried(outage_wait, LASTING_RETRIES, work).await
}

async fn retried<T, Doing: Future<Output = Result<T, LedgerError>>>(
    outage_wait: Duration,
    max_lasting_retries: u32,
    work: impl FnMut() -> Doing,
) -> Result<T, LedgerError> {
    let policy = RetryPolicy {
        max_retries: u32::MAX,
        max_lasting_retries,
        time_limit: Some(outage_wait.min(REFUSALS)),
        first_pause: Duration::from_millis(250),
        longest_pause: Duration::from_secs(10),
        jitter: 0.0,
    };
    let attempts = Attempts::new(policy, OutageHandling::WaitFor(outage_wait));
    attempts.run(&mut Access { work, failures: 0 }).await.map_err(|error| match error {
        RetryError::GaveUp { error, .. }
        | RetryError::Lost { error, .. }
        | RetryError::Interrupted { error } => error,
    })
}

/// An access to the ledger.
struct Access<Work> {
    work: Work,
    failures: u32,
}

impl<T, Doing, Work> Retryable for Access<Work>
where
    Doing: Future<Output = Result<T, LedgerError>>,
    Work: FnMut() -> Doing,
{
    type Output = T;
    type Error = LedgerError;

    async fn attempt(&mut self) -> Result<T, LedgerError> {
        in_time(SILENCE, (self.work)()).await
    }

    async fn diagnose(&mut self, error: &LedgerError) -> FailureKind {
        let class = error.class();
        let is_lasting = matches!(class, ErrorClass::Fatal | ErrorClass::Rows);
        FailureKind {
            is_no_response: !is_lasting && !error.is_answer(),
            is_out_of_space: error.is_out_of_space(),
            ..FailureKind::of(class)
        }
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, LedgerError>) {
        self.failures += 1;
        let (error, failures) = (failed.error, self.failures);
        let doing = if error.is_writing() { "written" } else { "read" };
        tracing::warn!(%error, cause = error.cause(), failures, "the ledger cannot be {doing}, trying again");
    }
}
