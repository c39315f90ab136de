//! Sending the rows of an insert, and knowing that ClickHouse has them.
//!
//! The statement leads the body. An acknowledgement is an answer that bears the id of our query in
//! [ClickHouse's header](https://clickhouse.com/docs/interfaces/http#response-headers), and whose
//! body is empty; any other 200 may be that of a proxy.

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Either, Limited, StreamBody};
use hyper::Response;
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper_util::client::legacy::Error as HttpError;
use serde_json::Value;
use tokio::time::timeout;

use super::answer::{AnswerHead, header};
use super::bulk::{BulkRequest, Pieces};
use super::client_error::from_http;
use super::connection::Connection;
use super::endpoint::WireCompression;
use super::error::Error;
use super::framing::{DECOMPRESS, compress};
use super::settings::Settings;

/// The figures that the acknowledgement of an insert reports; 0 where it reports none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InsertSummary {
    /// Uncompressed bytes that it read, of all tables.
    pub read_bytes: u64,
    /// Uncompressed bytes that it wrote, to the target and by its views.
    pub written_bytes: u64,
}

impl InsertSummary {
    /// From the [header](https://clickhouse.com/docs/interfaces/http#response-headers), whose numbers
    /// are strings.
    fn of(headers: &HeaderMap) -> Self {
        let summary: Option<Value> = header(headers, "X-ClickHouse-Summary")
            .and_then(|text| serde_json::from_str(text).ok());
        let number = |name: &str| {
            let value = summary.as_ref()?.get(name)?;
            value.as_u64().or_else(|| value.as_str()?.parse().ok())
        };
        Self {
            read_bytes: number("read_bytes").unwrap_or_default(),
            written_bytes: number("written_bytes").unwrap_or_default(),
        }
    }
}

/// An answer to an insert is empty, or an error's text. No more than this is read of it.
const ANSWER_BYTES: usize = 256 * 1024;

impl Connection {
    /// Sends one `INSERT … FORMAT …` with its body and waits for the acknowledgement.
    ///
    /// The body is not copied unless it is compressed. Without a body the server checks grants,
    /// types and settings and inserts nothing.
    ///
    /// # Errors
    /// The server's refusal; or the loss of the connection or an answer that is not ClickHouse's,
    /// after which it is not known whether the rows arrived.
    pub async fn insert(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
        body: &[Bytes],
    ) -> Result<(), Error> {
        // On the heap: an answer and its body are large.
        Box::pin(self.send(label, sql, settings, body)).await.map(drop)
    }

    /// Runs one `INSERT … SELECT` and waits for the acknowledgement; returns its figures.
    ///
    /// # Errors
    /// See [`insert`](Self::insert).
    pub(crate) async fn insert_selected(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
    ) -> Result<InsertSummary, Error> {
        let headers = Box::pin(self.send(label, sql, settings, &[])).await?;
        Ok(InsertSummary::of(&headers))
    }

    async fn send(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
        body: &[Bytes],
    ) -> Result<HeaderMap, Error> {
        let query_id = self.queries.next(label);
        let (mut pieces, receiver) = mpsc::channel(0);
        let frames: Pieces = receiver.map(|bytes| Ok(Frame::data(bytes)));
        let compression = self.bulk.compression;
        let parameters: &[_] = match compression {
            WireCompression::None => &[],
            WireCompression::Lz4 | WireCompression::Zstd => &[DECOMPRESS],
        };
        let settings = self.effective(settings);
        let request = BulkRequest { query_id: &query_id, sql, settings, parameters, accept: None };
        let request = request.build(&self.endpoint, Either::Left(StreamBody::new(frames)))?;
        let mut answer = self.bulk.request(request);
        let statement = Bytes::from(format!("{sql}\n"));
        let parts = std::iter::once(&statement).chain(body);
        for part in parts.flat_map(|piece| parts_of(piece, compression)) {
            let piece = compress(&part, compression)?;
            let sent = tokio::select! {
                biased;
                // An answer before the end is a refusal, or a connection that could not be made.
                early = &mut answer => return self.acknowledged(early, &query_id).await,
                sent = timeout(self.timeouts.send, pieces.send(piece)) => sent,
            };
            match sent {
                Ok(Ok(())) => {}
                // The connection takes no more: its answer says why.
                Ok(Err(_)) => break,
                Err(_) => {
                    let what = "sending a part of an insert";
                    return Err(Error::Timeout { what, after: self.timeouts.send });
                }
            }
        }
        drop(pieces);
        let after = self.timeouts.insert_end;
        let late = Error::Timeout { what: "an insert", after };
        match timeout(after, async { self.acknowledged(answer.await, &query_id).await }).await {
            Ok(acknowledged) => acknowledged,
            Err(_) => Err(late),
        }
    }

    /// What an answer means: the headers of an acknowledgement, or why it is none.
    async fn acknowledged(
        &self,
        answer: Result<Response<Incoming>, HttpError>,
        query_id: &str,
    ) -> Result<HeaderMap, Error> {
        let failed = |error| from_http(error, &self.endpoint, self.timeouts.connect);
        let (head, body) = answer.map_err(failed)?.into_parts();
        let read = Limited::new(body, ANSWER_BYTES).collect();
        let words = match timeout(self.timeouts.idle, read).await {
            Err(_) => {
                let what = "the rest of the answer to an insert";
                return Err(Error::Timeout { what, after: self.timeouts.idle });
            }
            Ok(Ok(words)) => words.to_bytes(),
            // More than is read, or cut: the head tells enough of an error.
            Ok(Err(error)) if head.status.is_success() => {
                let message = self.endpoint.hide_passwords(error.to_string());
                return Err(Error::Network { url: self.endpoint.url().to_string(), message });
            }
            Ok(Err(_)) => Bytes::new(),
        };
        let answer = AnswerHead::of(&head, query_id);
        if answer.is_success() && answer.is_ours && words.is_empty() {
            return Ok(head.headers);
        }
        Err(answer.refusal(&words, &self.endpoint))
    }
}

/// The largest block that is compressed, in bytes: the server has as much of it in memory.
const BLOCK_BYTES: usize = 1 << 20;

/// A piece in the parts that are compressed by themselves.
fn parts_of(piece: &Bytes, compression: WireCompression) -> impl Iterator<Item = Bytes> {
    let step = if compression == WireCompression::None { usize::MAX } else { BLOCK_BYTES };
    let piece = piece.clone();
    (0..piece.len())
        .step_by(step)
        .map(move |begin| piece.slice(begin..begin.saturating_add(step).min(piece.len())))
}
