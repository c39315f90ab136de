//! Questions that come before a pipeline is there: asked again while a server cannot be reached, or
//! refuses for now.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::retry::{Decision, RetryPolicy, milliseconds};
use crate::clickhouse::Error as ServerError;
use crate::stop::Stop;

/// Between two questions to a server that cannot be reached, at first; the pause doubles up to the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a question is asked again.
#[derive(Clone, Debug)]
pub struct Patience {
    /// For a server that answers.
    pub retry: RetryPolicy,
    /// For one that cannot be reached.
    pub outage_wait: Duration,
    /// Ends it.
    pub stop: Stop,
}

impl Patience {
    /// The same, but what a server answers counts at once.
    #[must_use]
    pub fn without_retries(self) -> Self {
        Self { retry: RetryPolicy { max_retries: 0, ..self.retry }, ..self }
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// The last failure: a lasting one, or when patience is at its end, or when stopping was asked
    /// for.
    pub async fn ask<T, E: Error + 'static>(
        &self,
        what: &str,
        question: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let (mut attempt, mut outage_pause) = (1, None::<Duration>);
        loop {
            let error = match question().await {
                Ok(answer) => {
                    if outage_pause.is_some() {
                        tracing::info!(
                            seconds = began.elapsed().as_secs_f64(),
                            "the server answers again"
                        );
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let Some(cause) = ServerError::within(&error) else { return Err(error) };
            let pause = if is_away(cause) {
                let left = self.outage_wait.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(error);
                }
                if outage_pause.is_none() {
                    let wait_seconds = self.outage_wait.as_secs();
                    tracing::warn!(what, error = %cause, wait_seconds, "the server cannot be reached, waiting for it");
                }
                let pause =
                    outage_pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
                outage_pause = Some(pause);
                pause.min(left)
            } else {
                let Decision::RetryAfter(pause) = self.retry.decide(cause.class(), attempt) else {
                    return Err(error);
                };
                let pause_ms = milliseconds(pause);
                tracing::warn!(what, attempt, pause_ms, error = %cause, "a question to the server failed, it is asked again");
                attempt += 1;
                pause
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stop.reading_ends() => return Err(error),
            }
        }
    }
}

/// Whether nobody is there. What a proxy says in the server's place, or another program on its
/// port, is an answer.
fn is_away(error: &ServerError) -> bool {
    matches!(
        error,
        ServerError::Unreachable { .. } | ServerError::Network { .. } | ServerError::Timeout { .. }
    )
}
