//! The limit of rows per second: a bucket of tokens that all readers take from.
//!
//! Readers take what they have just read, and wait while the bucket is in debt. They go on in small
//! steps, since the server closes the stream of a reader that reads nothing for 30 s
//! ([http_send_timeout](https://clickhouse.com/docs/operations/settings/settings#http_send_timeout)).
//! For the same reason fewer readers run where the limit is low: each must get enough to keep its
//! connection alive.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::sync::{Mutex, MutexGuard};

/// Unused tokens are kept for this much time.
const BURST: Duration = Duration::from_millis(200);
/// The kernel's buffers on both sides hold a few MB. A connection that moves fewer bytes per second
/// than this may look dead to the server.
const MIN_READER_BYTES: f64 = 1_000_000.0;

#[derive(Debug)]
pub(super) struct RateLimit {
    /// Rows per second.
    rate: watch::Sender<Option<u64>>,
    bucket: Mutex<TokenBucket>,
}

#[derive(Debug)]
struct TokenBucket {
    /// Negative while rows were taken that are not due yet.
    tokens: f64,
    filled: Instant,
    rows: u64,
    bytes: u64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            rate: watch::Sender::new(None),
            bucket: Mutex::new(TokenBucket {
                tokens: 0.0,
                filled: Instant::now(),
                rows: 0,
                bytes: 0,
            }),
        }
    }
}

impl RateLimit {
    pub(super) fn rate(&self) -> Option<u64> {
        *self.rate.borrow()
    }

    pub(super) fn set_rate(&self, rate: Option<u64>) {
        let mut bucket = self.bucket();
        // Debts and savings belong to the old rate.
        (bucket.tokens, bucket.filled) = (0.0, Instant::now());
        drop(bucket);
        self.rate.send_replace(rate);
    }

    /// Adds what was read, and returns how many readers the rate can keep busy; `None` without a rate.
    pub(super) fn worthwhile_readers(&self, rows: u64, bytes: u64) -> Option<usize> {
        let rate = self.rate()? as f64;
        let mut bucket = self.bucket();
        bucket.rows += rows;
        bucket.bytes += bytes;
        if bucket.rows == 0 {
            return None;
        }
        let bytes_a_second = rate * bucket.bytes as f64 / bucket.rows as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small number, never negative"
        )]
        let readers = (bytes_a_second / MIN_READER_BYTES).min(1e6) as usize;
        Some(readers.max(1))
    }

    /// Takes tokens for these rows, and waits until they are due.
    pub(super) async fn take(&self, rows: u64) {
        let Some(rate) = self.rate() else { return };
        let mut changes = self.rate.subscribe();
        self.bucket().take(rate, rows);
        loop {
            let Some(rate) = *changes.borrow_and_update() else { return };
            let debt = self.bucket().debt(rate);
            if debt.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(debt) => {}
                _ = changes.changed() => {}
            }
        }
    }

    fn bucket(&self) -> MutexGuard<'_, TokenBucket> {
        self.bucket.lock()
    }
}

impl TokenBucket {
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

    /// The time until the debt is paid.
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
    async fn seconds(rate: &RateLimit, readers: usize, pieces: usize, rows: u64) -> f64 {
        let began = Instant::now();
        let reader = async || {
            for _ in 0..pieces {
                rate.take(rows).await;
            }
        };
        futures::future::join_all((0..readers).map(|_| reader())).await;
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn readers_together_keep_to_the_rate() {
        let bucket = RateLimit::default();
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
        let bucket = RateLimit::default();
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
        let bucket = RateLimit::default();
        assert_eq!(bucket.worthwhile_readers(1, 1000), None);
        bucket.set_rate(Some(500));
        assert_eq!(bucket.worthwhile_readers(1000, 1_000_000), Some(1), "500 kB a second");
        bucket.set_rate(Some(4_500));
        assert_eq!(bucket.worthwhile_readers(1000, 1_000_000), Some(4), "4.5 MB a second");
    }
}
