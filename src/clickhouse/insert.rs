//! Sending the rows of an insert, and knowing that ClickHouse has them.
//!
//! The client crate puts the statement of an insert into the request line, which proxies bound at 8
//! KiB, and does not show the answer's headers, so that any 200 of a proxy would count as an
//! acknowledgement. Here the statement leads the body, and an acknowledgement is an answer that
//! bears the id of our query in
//! [ClickHouse's header](https://clickhouse.com/docs/interfaces/http#response-headers), and whose
//! body is empty.

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::client::legacy::Error as HttpError;
use tokio::time::timeout;

use super::client_error::{from_http, from_words};
use super::connection::Connection;
use super::endpoint::WireCompression;
use super::error::Error;
use super::framing::compress;
use super::insert_client::{Body, Pieces};
use super::settings::Settings;
use super::url::{UrlError, UrlProblem};

/// What the server parses of a statement, in bytes, unless it is longer
/// ([max_query_size](https://clickhouse.com/docs/operations/settings/settings#max_query_size)).
const QUERY_BYTES: usize = 262_144;

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
        Box::pin(self.send(label, sql, settings, body)).await
    }

    async fn send(
        &self,
        label: &str,
        sql: &str,
        settings: &Settings,
        body: &[Bytes],
    ) -> Result<(), Error> {
        let query_id = self.queries.next(label);
        let (mut pieces, receiver) = mpsc::channel(0);
        let frames: Pieces = receiver.map(|bytes| Ok(Frame::data(bytes)));
        let request = self.insert_request(&query_id, sql, settings, StreamBody::new(frames))?;
        let mut answer = self.inserts.request(request);
        let statement = Bytes::from(format!("{sql}\n"));
        for piece in std::iter::once(&statement).chain(body) {
            let piece = compress(piece, self.inserts.compression)?;
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

    fn insert_request(
        &self,
        query_id: &str,
        sql: &str,
        settings: &Settings,
        body: Body,
    ) -> Result<Request<Body>, Error> {
        let mut url = self.endpoint.url().clone();
        let longest = (sql.len() + 1).max(QUERY_BYTES).to_string();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("database", self.endpoint.database());
            query.append_pair("query_id", query_id);
            if sql.len() >= QUERY_BYTES {
                query.append_pair("max_query_size", &longest);
            }
            if self.inserts.compression != WireCompression::None {
                query.append_pair("decompress", "1");
            }
            let own = settings.clone().with_all(
                self.resets(settings)
                    .filter(|(name, _)| settings.iter().all(|(own, _)| own != *name)),
            );
            query.extend_pairs(own.iter());
        }
        let mut request = Request::post(url.as_str())
            .header("X-ClickHouse-User", self.endpoint.user().as_bytes())
            .header("User-Agent", concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        let password = self.endpoint.password();
        if !password.is_empty() {
            request = request.header("X-ClickHouse-Key", password.reveal().as_bytes());
        }
        request
            .body(body)
            .map_err(|error| UrlError::from(UrlProblem::Unreadable(error.to_string())).into())
    }

    /// What an answer means.
    async fn acknowledged(
        &self,
        answer: Result<Response<Incoming>, HttpError>,
        query_id: &str,
    ) -> Result<(), Error> {
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
                let message = self.endpoint.password().hide_in(error.to_string());
                return Err(Error::Network { url: self.endpoint.url().to_string(), message });
            }
            Ok(Err(_)) => Bytes::new(),
        };
        let is_ours = header(&head.headers, "X-ClickHouse-Query-Id") == Some(query_id);
        let code = header(&head.headers, "X-ClickHouse-Exception-Code");
        if head.status.is_success() && is_ours && code.is_none() && words.is_empty() {
            return Ok(());
        }
        let from_clickhouse = is_ours || code.is_some();
        let status = head.status.as_u16();
        Err(from_words(&words, status, code, from_clickhouse, &self.endpoint))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
