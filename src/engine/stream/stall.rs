//! A reader that takes nothing for a while, because the queue is full or the rate is low: the
//! server gives such a stream up.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::error::ReadError;
use super::shared::Shared;

/// The longest time for which nothing was taken from a stream.
#[derive(Debug, Default)]
pub(super) struct Stall {
    longest: Duration,
}

impl Stall {
    /// Nothing is taken while this goes on.
    pub async fn during<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = waiting.await;
        self.longest = self.longest.max(began.elapsed());
        result
    }

    /// Whether the stream broke because the server had waited for longer than its
    /// [http_send_timeout](https://clickhouse.com/docs/operations/settings/settings#http_send_timeout).
    /// It lies in the user's profile, and saying it in the query comes too late.
    pub async fn explains(&self, shared: &Shared, error: &ReadError) -> bool {
        #[derive(Deserialize)]
        struct Limit {
            seconds: f64,
        }
        /// What the server has unless it is told otherwise.
        const DEFAULT: Duration = Duration::from_secs(30);
        let broke = match error {
            ReadError::Server(error) => error.is_no_response() || error.is_mid_stream(),
            ReadError::Framing(_) | ReadError::Row(_) => true,
            ReadError::Lookup(_)
            | ReadError::Late { .. }
            | ReadError::Lost(_)
            | ReadError::Task(_) => false,
        };
        // No server waits for less.
        if !broke || self.longest < Duration::from_secs(1) {
            return false;
        }
        let sql = "SELECT toFloat64(value) AS seconds FROM system.settings WHERE name = 'http_send_timeout'";
        let limit = shared.servers.source.row::<Limit>("stall", sql).await;
        let limit = limit
            .ok()
            .and_then(|limit| Duration::try_from_secs_f64(limit.seconds).ok())
            .unwrap_or(DEFAULT);
        let explains = self.longest >= limit;
        if explains {
            tracing::warn!(
                seconds = self.longest.as_secs_f64(),
                http_send_timeout = limit.as_secs_f64(),
                "the reader waited, for inserts or for its share of the rows a second, for longer than the server waits for a reader"
            );
        }
        explains
    }
}
