//! Outages: while a server cannot be reached, everybody who needs it waits together for it to
//! answer again.
//!
//! ```text
//! a statement failed without a word of the server ──► ask it ──answers──► the failure counts as an attempt
//!                                                        └──silent──► ask again and again ──answers──► try again, nothing was used up
//!                                                                              └──for too long──► lost: the run stops
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::Counters;
use crate::clickhouse::{Connection, Error as ServerError};

/// Between two questions, at first; the pause doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The way to one server, for all tasks of a run.
pub(super) struct Gate {
    connection: Connection,
    counters: Arc<Counters>,
    /// An outage may last so long.
    longest: Duration,
    /// When the last outage ended. Held by the one task that asks; the others wait for it.
    ended: Mutex<Option<Instant>>,
}

/// What became of a server that had been silent.
#[derive(Debug)]
pub(super) enum Reach {
    /// It answers, and did not stop to.
    Answers,
    /// It had gone away, and is back.
    Back,
    /// It stayed away for longer than is allowed.
    Lost(ServerError),
}

impl Gate {
    pub fn new(connection: Connection, counters: Arc<Counters>, longest: Duration) -> Self {
        Self { connection, counters, longest, ended: Mutex::default() }
    }

    /// Asks the server, after a statement that was sent at `sent` failed without a word of it, and
    /// waits until it answers.
    pub async fn ask(&self, sent: Instant) -> Reach {
        let mut ended = self.ended.lock().await;
        if ended.is_some_and(|ended| ended >= sent) {
            return Reach::Back;
        }
        let began = Instant::now();
        let Err(mut error) = self.connection.ping().await else { return Reach::Answers };
        let url = self.connection.endpoint().url();
        self.counters.outages.add(1);
        let _away = self.counters.trouble.away(url.to_string(), self.longest);
        tracing::warn!(%url, %error, wait_seconds = self.longest.as_secs(), "the server cannot be reached, waiting for it");
        let mut pause = FIRST_PAUSE;
        loop {
            let left = self.longest.saturating_sub(began.elapsed());
            if left.is_zero() {
                self.note(began);
                return Reach::Lost(error);
            }
            let part = rand::rng().random_range(0.5..=1.0);
            sleep(pause.mul_f64(part).min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.connection.ping().await {
                Ok(()) => break,
                Err(again) => error = again,
            }
        }
        self.note(began);
        *ended = Some(Instant::now());
        tracing::info!(%url, seconds = began.elapsed().as_secs_f64(), "the server answers again");
        Reach::Back
    }

    fn note(&self, began: Instant) {
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.counters.outage_milliseconds.add(milliseconds);
    }
}
