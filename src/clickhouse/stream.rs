//! The response of a running query as a stream of bytes.
//!
//! ClickHouse reports an error in the middle of a response by writing the exception into the body
//! (see [`exception`]). If that arrives in several pieces, its beginning looks like rows. So the
//! last [`HOLD_BACK_BYTES`] are held back until more bytes arrive or the response ends cleanly: bytes
//! that this stream returns are never part of an exception. Only the end of a response is searched
//! for one, so rows may quote exceptions wherever the network cuts them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::Response;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::answer::{AnswerBody, AnswerHead, BodyError, end_of_error};
use super::bulk::{Answer, BulkRequest};
use super::client_error::{from_exception, from_http, lost, not_clickhouse};
use super::connection::Connection;
use super::endpoint::{Endpoint, Timeouts, WireCompression};
use super::error::Error;
use super::exception;
use super::framing::{DECOMPRESS, Damaged, Encoding, compress};
use super::settings::Settings;

/// More than the longest exception in a body: 16 KiB since 25.11
/// ([WriteBufferFromHTTPServerResponse](https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTP/WriteBufferFromHTTPServerResponse.h)),
/// and before that a message that includes the query.
const HOLD_BACK_BYTES: usize = 128 * 1024;

impl Connection {
    /// Starts a query whose rows are read as a stream of RowBinary blocks, compressed if configured.
    /// `label` becomes part of the query id.
    pub fn stream(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<BlockStream, Error> {
        self.stream_as("RowBinary", self.bulk.compression, label, sql, settings)
    }

    /// Starts a query whose rows are read as a stream of any format, not compressed.
    pub(crate) fn stream_format(
        &self,
        format: &str,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<BlockStream, Error> {
        self.stream_as(format, WireCompression::None, label, sql, settings)
    }

    /// The same as [`stream`](Self::stream) in Native blocks.
    pub fn stream_native(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<BlockStream, Error> {
        self.stream_as("Native", self.bulk.compression, label, sql, settings)
    }

    pub(super) fn stream_as(
        &self,
        format: &str,
        compression: WireCompression,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<BlockStream, Error> {
        let query_id = self.queries.next(label);
        let format = ("default_format", format);
        let (parameters, accept): (&[_], _) = match compression {
            WireCompression::None => (&[format], None),
            WireCompression::Lz4 => (&[format, DECOMPRESS, ("compress", "1")], None),
            WireCompression::Zstd => {
                (&[format, DECOMPRESS, ("enable_http_compression", "1")], Some("zstd"))
            }
        };
        let settings = self.effective(settings);
        let request = BulkRequest { query_id: &query_id, sql, settings, parameters, accept };
        let statement = compress(&Bytes::from(sql.to_owned()), compression)?;
        let statement = Either::Right(Full::from(statement));
        let answer = self.bulk.request(request.build(&self.endpoint, statement)?);
        Ok(BlockStream {
            state: State::Waiting(answer),
            compression,
            endpoint: self.endpoint.clone(),
            query_id,
            timeouts: self.timeouts,
            held: VecDeque::new(),
            held_bytes: 0,
            returned: false,
        })
    }
}

/// A query's response, piece by piece.
pub struct BlockStream {
    state: State,
    compression: WireCompression,
    endpoint: Arc<Endpoint>,
    query_id: String,
    timeouts: Timeouts,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// Whether pieces were returned.
    returned: bool,
}

enum State {
    /// For the head of the response.
    Waiting(Answer),
    Reading {
        body: AnswerBody,
        tag: Option<Vec<u8>>,
    },
    Ended,
}

impl BlockStream {
    /// The next piece, or `None` after a complete response.
    ///
    /// # Errors
    /// Whatever ends the response early. Bytes that were held back are dropped then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let has_ended = matches!(self.state, State::Ended);
            if let Some(first) = self.held.front()
                && (has_ended || self.held_bytes - first.len() >= HOLD_BACK_BYTES)
            {
                self.held_bytes -= first.len();
                self.returned = true;
                return Ok(self.held.pop_front());
            }
            if has_ended {
                return Ok(None);
            }
            let (what, after) = self.timeouts.of_part(self.returned || !self.held.is_empty());
            timeout(after, self.receive()).await.map_err(|_| Error::Timeout { what, after })??;
        }
    }

    async fn receive(&mut self) -> Result<(), Error> {
        match &mut self.state {
            State::Waiting(answer) => {
                let failed = |error| from_http(error, &self.endpoint, self.timeouts.connect);
                let response = answer.await.map_err(failed)?;
                self.open(response).await
            }
            State::Reading { body, .. } => match body.next().await {
                Ok(Some(piece)) => {
                    self.held_bytes += piece.len();
                    self.held.push_back(piece);
                    Ok(())
                }
                Ok(None) => self.end(None),
                Err(error) => self.end(Some(error)),
            },
            State::Ended => Ok(()),
        }
    }

    async fn open(&mut self, response: Response<Incoming>) -> Result<(), Error> {
        let (head, body) = response.into_parts();
        let head = AnswerHead::of(&head, &self.query_id);
        if !head.is_success() {
            let encoding = head.encoding(self.compression).unwrap_or(Encoding::Plain);
            let words = end_of_error(body, encoding).await;
            return Err(head.refusal(&words, &self.endpoint));
        }
        // A page of a proxy.
        if !head.is_from_clickhouse() {
            return Err(not_clickhouse(&self.endpoint));
        }
        let damaged = |damaged: Damaged| self.lost(BodyError::Damaged(damaged));
        let encoding = head.encoding(self.compression).map_err(damaged)?;
        let body = AnswerBody::new(body, encoding).map_err(damaged)?;
        self.state = State::Reading { body, tag: head.tag };
        Ok(())
    }

    /// The end of the body: complete, or cut by an error.
    fn end(&mut self, error: Option<BodyError>) -> Result<(), Error> {
        let State::Reading { body, tag } = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(());
        };
        // What cannot be decoded may be a text that was not encoded.
        let undecoded = if error.is_some() { body.undecoded() } else { &[] };
        let last = undecoded.last().or_else(|| self.held.back()?.last());
        if last == Some(&b'\n') {
            let parts = self.held.iter().map(|piece| &**piece).chain([undecoded]);
            let rows = parts.collect::<Vec<_>>().concat();
            let skipped = rows.len().saturating_sub(HOLD_BACK_BYTES);
            let rows = rows.get(skipped..).unwrap_or_default();
            if let Some(found) = exception::at_end(rows, tag.as_deref()) {
                let mid_stream = self.returned || skipped + found.begin > 0;
                return Err(from_exception(found.text, mid_stream, &self.endpoint));
            }
        }
        error.map_or(Ok(()), |error| Err(self.lost(error)))
    }

    fn lost(&self, error: BodyError) -> Error {
        match error {
            BodyError::Lost(error) => lost(error, &self.endpoint, self.timeouts.connect),
            BodyError::Damaged(damaged) => Error::Network {
                url: self.endpoint.url().to_string(),
                message: damaged.to_string(),
            },
        }
    }
}
