//! Rows a second: a bucket of tokens that all readers take from.
//!
//! Readers take what they have just read, and wait while the bucket is in debt. So they go on in
//! small steps, which matters: the server gives up a reader that has not read for 30 s
//! ([http_send_timeout](https://clickhouse.com/docs/operations/settings/settings#http_send_timeout)).
//! What each reader gets must therefore be worth a connection; where the limit is low, fewer
//! readers run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// As much as was not taken may be taken later, up to this much time's worth.
const BURST: Duration = Duration::from_millis(200);
/// Buffers of the kernel on both sides hold some MB; a connection that moves less than this a
/// second may look dead to the server.
const BYTES_OF_A_READER: f64 = 1_000_000.0;

#[derive(Debug)]
pub(super) struct Bucket {
    /// Rows a second.
    rate: watch::Sender<Option<u64>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero, rows were taken that are not due yet.
    tokens: f64,
    filled: Instant,
    rows: u64,
    bytes: u64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            rate: watch::Sender::new(None),
            state: Mutex::new(State { tokens: 0.0, filled: Instant::now(), rows: 0, bytes: 0 }),
        }
    }
}

impl Bucket {
    pub fn rate(&self) -> Option<u64> {
        *self.rate.borrow()
    }

    pub fn set_rate(&self, rate: Option<u64>) {
        let mut state = self.state();
        // Debts and savings are of the old rate.
        (state.tokens, state.filled) = (0.0, Instant::now());
        drop(state);
        self.rate.send_replace(rate);
    }

    /// How many readers the rate is worth; `None` where there is no rate.
    pub fn worthwhile_readers(&self, rows: u64, bytes: u64) -> Option<usize> {
        let rate = self.rate()? as f64;
        let mut state = self.state();
        state.rows += rows;
        state.bytes += bytes;
        if state.rows == 0 {
            return None;
        }
        let bytes_a_second = rate * state.bytes as f64 / state.rows as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small number, never negative"
        )]
        let readers = (bytes_a_second / BYTES_OF_A_READER).min(1e6) as usize;
        Some(readers.max(1))
    }

    /// Takes so many rows, and waits until they are due.
    pub async fn take(&self, rows: u64) {
        let Some(rate) = self.rate() else { return };
        let mut changes = self.rate.subscribe();
        self.state().take(rate, rows);
        loop {
            let Some(rate) = *changes.borrow_and_update() else { return };
            let debt = self.state().debt(rate);
            if debt.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(debt) => {}
                _ = changes.changed() => {}
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fill(&mut self, rate: f64) {
        let now = Instant::now();
        self.tokens += now.saturating_duration_since(self.filled).as_secs_f64() * rate;
        self.tokens = self.tokens.min(rate * BURST.as_secs_f64());
        self.filled = now;
    }

    fn take(&mut self, rate: u64, rows: u64) {
        self.fill(rate as f64);
        self.tokens -= rows as f64;
    }

    /// After how long nothing is owed any more.
    fn debt(&mut self, rate: u64) -> Duration {
        self.fill(rate as f64);
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.tokens / rate as f64)
            .unwrap_or(Duration::MAX)
            .max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// How long it takes several readers to take rows.
    async fn seconds(bucket: &Bucket, readers: usize, pieces: usize, rows: u64) -> f64 {
        let began = Instant::now();
        let reader = async || {
            for _ in 0..pieces {
                bucket.take(rows).await;
            }
        };
        futures::future::join_all((0..readers).map(|_| reader())).await;
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn readers_together_keep_to_the_rate() {
        let bucket = Bucket::default();
        assert!(seconds(&bucket, 3, 100, 1000).await < 0.01, "without a rate nobody waits");
        bucket.set_rate(Some(10_000));
        let took = seconds(&bucket, 3, 100, 1000).await;
        assert!((29.0..31.0).contains(&took), "{took}");
        // What was not used does not add up.
        sleep(Duration::from_secs(60)).await;
        let took = seconds(&bucket, 1, 100, 1000).await;
        assert!((9.0..10.5).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_counts_at_once() {
        let bucket = Bucket::default();
        bucket.set_rate(Some(1));
        let waiting = async { timeout(Duration::from_secs(20), bucket.take(1_000_000)).await };
        let changing = async {
            sleep(Duration::from_secs(5)).await;
            bucket.set_rate(None);
        };
        let (waited, ()) = tokio::join!(waiting, changing);
        assert!(waited.is_ok(), "the debt of the old rate is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_low_rate_is_for_few_readers() {
        let bucket = Bucket::default();
        assert_eq!(bucket.worthwhile_readers(1, 1000), None);
        bucket.set_rate(Some(500));
        assert_eq!(bucket.worthwhile_readers(1000, 1_000_000), Some(1), "500 kB a second");
        bucket.set_rate(Some(4_500));
        assert_eq!(bucket.worthwhile_readers(1000, 1_000_000), Some(4), "4.5 MB a second");
    }
}
