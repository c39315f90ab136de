//! The stream of one attempt to read a chunk, kept alive while its reader waits for inserters.
//!
//! The server cuts off a stream of which nothing is taken for its
//! [http_send_timeout](https://clickhouse.com/docs/operations/settings/settings#http_send_timeout).
//! A reader that waits therefore sips: now and then it takes a few pieces ahead of their turn, within
//! its share of the memory.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};

use super::error::ReadError;
use super::shared::Shared;
use crate::clickhouse::{BlockStream, Error as ServerError};

/// The bytes of a sip. The server must get rid of a whole buffer of about 1 MiB in time; 64 KiB every
/// 5 s did not keep a stream alive, 2 MiB every 10 s did.
const SIP_BYTES: u64 = 2 << 20;
/// Three times the longest time between two sips.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest time for a sip where pieces are ahead.
const LONGEST_SIP: Duration = Duration::from_secs(1);
/// A shorter wait is none.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
/// The server's default limit.
const DEFAULT_SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest time for which a reader took nothing from its stream, because the queue was full or
/// the rate was limited.
#[derive(Debug, Default)]
pub(super) struct Stall {
    longest: Duration,
}

/// A stream with what was taken of it ahead of its turn.
pub(super) struct Intake<'a> {
    shared: &'a Shared,
    stream: BlockStream,
    ahead: VecDeque<Bytes>,
    ahead_bytes: u64,
    /// How the stream ended while the reader waited.
    end: Option<Result<(), ServerError>>,
    /// When something was last taken from the stream.
    taken_at: Instant,
    stall: &'a mut Stall,
}

impl<'a> Intake<'a> {
    pub(super) fn new(shared: &'a Shared, stream: BlockStream, stall: &'a mut Stall) -> Self {
        let taken_at = Instant::now();
        Self { shared, stream, ahead: VecDeque::new(), ahead_bytes: 0, end: None, taken_at, stall }
    }

    /// The next piece, or `None` after a complete response.
    ///
    /// # Errors
    /// Whatever ended the response early.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ServerError> {
        let due = self.taken_at.elapsed() >= self.limit() / 3;
        if due && !self.ahead.is_empty() && self.may_sip() {
            // What is ahead takes its time as well. An error is kept for its turn.
            let _ = timeout(LONGEST_SIP, self.sip()).await;
        }
        if let Some(piece) = self.ahead.pop_front() {
            self.ahead_bytes -= piece.len() as u64;
            return Ok(Some(piece));
        }
        match self.end.take() {
            None => self.take().await,
            Some(Ok(())) => {
                self.end = Some(Ok(()));
                Ok(None)
            }
            Some(Err(error)) => Err(error),
        }
    }

    /// Waits, and sips meanwhile.
    pub(super) async fn during<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        loop {
            if !self.may_sip() {
                return waiting.await;
            }
            let sip = async {
                sleep_until(self.taken_at + SHORTEST_WAIT).await;
                let limit = send_timeout(self.shared).await.min(LONGEST);
                sleep_until(self.taken_at + limit / 3).await;
                self.sip().await;
            };
            tokio::select! {
                biased;
                result = &mut waiting => return result,
                () = sip => {}
            }
        }
    }

    /// How long the server waits for a reader, as far as that is known.
    fn limit(&self) -> Duration {
        self.shared.send_timeout.get().map_or(DEFAULT_SEND_TIMEOUT, |&limit| limit.min(LONGEST))
    }

    fn may_sip(&self) -> bool {
        self.end.is_none() && self.ahead_bytes + SIP_BYTES <= self.shared.options.sip_bytes
    }

    /// Takes pieces of about [`SIP_BYTES`]. What was taken is kept if this is dropped.
    async fn sip(&mut self) {
        let until = self.ahead_bytes + SIP_BYTES;
        while self.ahead_bytes < until && self.end.is_none() {
            match self.take().await {
                Ok(Some(piece)) => {
                    self.ahead_bytes += piece.len() as u64;
                    self.ahead.push_back(piece);
                }
                Ok(None) => self.end = Some(Ok(())),
                Err(error) => self.end = Some(Err(error)),
            }
        }
        tracing::debug!(ahead_bytes = self.ahead_bytes, "a waiting reader keeps its stream alive");
    }

    async fn take(&mut self) -> Result<Option<Bytes>, ServerError> {
        self.stall.longest = self.stall.longest.max(self.taken_at.elapsed());
        let taken = self.stream.next().await;
        self.taken_at = Instant::now();
        taken
    }
}

/// How long the source's server waits for a reader. It is part of the user's profile: a setting of the
/// query takes effect too late.
async fn send_timeout(shared: &Shared) -> Duration {
    #[derive(Deserialize)]
    struct SendTimeout {
        seconds: f64,
    }
    let ask = async {
        let sql = "SELECT toFloat64(value) AS seconds FROM system.settings WHERE name = 'http_send_timeout'";
        let asked = shared.servers.source.row::<SendTimeout>("stall", sql).await;
        asked
            .ok()
            .and_then(|limit| Duration::try_from_secs_f64(limit.seconds).ok())
            .filter(|limit| !limit.is_zero())
            .unwrap_or(DEFAULT_SEND_TIMEOUT)
    };
    *shared.send_timeout.get_or_init(|| ask).await
}

impl Stall {
    /// Whether the stream broke because the server had waited for longer than it does.
    pub(super) async fn explains(&self, shared: &Shared, error: &ReadError) -> bool {
        let broke = match error {
            ReadError::Server(error) => error.is_no_response() || error.is_mid_stream(),
            ReadError::Framing(_)
            | ReadError::Blocks(_)
            | ReadError::Column(_)
            | ReadError::Row(_) => true,
            ReadError::Lookup(_)
            | ReadError::Late { .. }
            | ReadError::LongAnswer { .. }
            | ReadError::Lost(_)
            | ReadError::Task(_) => false,
        };
        // No server waits for a shorter time.
        if !broke || self.longest < Duration::from_secs(1) {
            return false;
        }
        let limit = send_timeout(shared).await;
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
