//! Asking a ledger until it answers.
//!
//! An outage may last for as long as the patience allows. Refusals that may pass get less, and what
//! the server refuses for good fails soon: at once before anything depends on it, after some more
//! tries where what was done would not be written down.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::LedgerError;
use crate::clickhouse::ErrorClass;

/// A server that answers, and refuses, is asked again for so long; one that does not answer, for as
/// long as outages are waited for.
const REFUSALS: Duration = Duration::from_secs(30);
/// What will hardly get better is tried so often where much depends on it.
const HOPELESS_TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A ledger that is silent for so long was not heard this time.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Waits no longer than so for a ledger.
///
/// # Errors
/// [`LedgerError::Silent`] then.
pub async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    timeout(limit, work).await.unwrap_or(Err(LedgerError::Silent { after: limit }))
}

/// Asks before anything was done.
///
/// # Errors
/// The last failure.
pub async fn ask<T, Doing: Future<Output = Result<T, LedgerError>>>(
    patience: Duration,
    work: impl FnMut() -> Doing,
) -> Result<T, LedgerError> {
    tries(patience, 1, work).await
}

/// Writes, or reads, what the load depends on.
///
/// # Errors
/// The last failure.
pub async fn persist<T, Doing: Future<Output = Result<T, LedgerError>>>(
    patience: Duration,
    work: impl FnMut() -> Doing,
) -> Result<T, LedgerError> {
    tries(patience, HOPELESS_TRIES, work).await
}

async fn tries<T, Doing: Future<Output = Result<T, LedgerError>>>(
    patience: Duration,
    hopeless_tries: u32,
    mut work: impl FnMut() -> Doing,
) -> Result<T, LedgerError> {
    let (began, mut tries, mut pause) = (Instant::now(), 1, FIRST_PAUSE);
    loop {
        let error = match in_time(SILENCE, work()).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let patience = if error.is_answer() { patience.min(REFUSALS) } else { patience };
        let hopeless = matches!(error.class(), ErrorClass::Fatal | ErrorClass::Rows)
            && tries >= hopeless_tries;
        if hopeless || began.elapsed() + pause > patience {
            return Err(error);
        }
        let doing = if error.is_writing() { "written" } else { "read" };
        tracing::warn!(%error, cause = error.cause(), tries, "the ledger cannot be {doing}, trying again");
        sleep(pause).await;
        tries += 1;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
