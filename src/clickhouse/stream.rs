//! The response of a running query as a stream of bytes.
//!
//! ClickHouse reports an error in the middle of a response by writing the exception's text into the
//! body and closing the connection. If that text arrives in several pieces, its beginning looks like
//! rows. So the last [`HOLD_BACK_BYTES`] are held back until more bytes arrive or the response ends
//! cleanly: bytes that this stream returns are never part of an exception.

use std::collections::VecDeque;
use std::sync::Arc;

use ::clickhouse::query::BytesCursor;
use bytes::Bytes;
use tokio::time::timeout;

use super::client_error::{from_client, not_clickhouse};
use super::endpoint::{Endpoint, Timeouts};
use super::error::Error;

/// More than the longest exception in a body: 16 KiB since 25.11
/// ([WriteBufferFromHTTPServerResponse](https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTP/WriteBufferFromHTTPServerResponse.h)),
/// and before that a message that includes the query.
const HOLD_BACK_BYTES: usize = 128 * 1024;

/// A query's response, piece by piece.
pub struct BlockStream {
    cursor: BytesCursor,
    endpoint: Arc<Endpoint>,
    query_id: String,
    timeouts: Timeouts,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    received: bool,
    ended: bool,
}

impl BlockStream {
    pub(super) fn new(
        cursor: BytesCursor,
        endpoint: Arc<Endpoint>,
        query_id: String,
        timeouts: Timeouts,
    ) -> Self {
        Self {
            cursor,
            endpoint,
            query_id,
            timeouts,
            held: VecDeque::new(),
            held_bytes: 0,
            received: false,
            ended: false,
        }
    }

    /// The next piece, or `None` after a complete response.
    ///
    /// # Errors
    /// Whatever ends the response early. Bytes that were held back are dropped then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(first) = self.held.front()
                && (self.ended || self.held_bytes - first.len() >= HOLD_BACK_BYTES)
            {
                self.held_bytes -= first.len();
                return Ok(self.held.pop_front());
            }
            if self.ended {
                return Ok(None);
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<(), Error> {
        let (what, after) = if self.received {
            ("the next part of a response", self.timeouts.idle)
        } else {
            ("the first part of a response", self.timeouts.first_byte)
        };
        let piece =
            timeout(after, self.cursor.next()).await.map_err(|_| Error::Timeout { what, after })?;
        match piece.map_err(|error| {
            from_client(error, &self.endpoint, self.timeouts.connect, &self.query_id, self.received)
        })? {
            // ClickHouse's answers have this header; a page of a proxy has not.
            _ if !self.received && self.cursor.summary().is_none() => {
                return Err(not_clickhouse(&self.endpoint));
            }
            Some(piece) => {
                self.received = true;
                self.held_bytes += piece.len();
                self.held.push_back(piece);
            }
            None => self.ended = true,
        }
        Ok(())
    }
}
