//! Requests with rows in bulk, in either direction, over an HTTP client of our own.
//!
//! The client crate puts the statement of an insert into the request line, which proxies bound at 8
//! KiB, does not show the heads of answers, and takes rows that quote an exception for one. Small
//! queries go through it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures::channel::mpsc;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as HttpError};

use super::endpoint::{Endpoint, WireCompression};
use super::error::Error;
use super::settings::Settings;
use super::url::{UrlError, UrlProblem};

/// The frames of a body, received from the task that sends the rows.
pub(super) type Pieces =
    futures::stream::Map<mpsc::Receiver<Bytes>, fn(Bytes) -> Result<Frame<Bytes>, Infallible>>;
/// The rows of an insert, or the statement of a query.
pub(super) type Body = Either<StreamBody<Pieces>, Full<Bytes>>;
pub(super) type Answer =
    Pin<Box<dyn Future<Output = Result<Response<Incoming>, HttpError>> + Send>>;

/// The HTTP client of inserts and of rows that are read as a stream.
#[derive(Clone)]
pub(super) struct BulkClient {
    http: Http,
    pub(super) compression: WireCompression,
}

#[derive(Clone)]
enum Http {
    Plain(Client<HttpConnector, Body>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Body>),
}

impl BulkClient {
    pub(super) fn plain(client: Client<HttpConnector, Body>, compression: WireCompression) -> Self {
        Self { http: Http::Plain(client), compression }
    }

    pub(super) fn encrypted(
        client: Client<HttpsConnector<HttpConnector>, Body>,
        compression: WireCompression,
    ) -> Self {
        Self { http: Http::Encrypted(client), compression }
    }

    pub(super) fn request(&self, request: Request<Body>) -> Answer {
        match &self.http {
            Http::Plain(client) => Box::pin(client.request(request)),
            Http::Encrypted(client) => Box::pin(client.request(request)),
        }
    }
}

/// What the server may read behind a statement before it parses it, in bytes
/// ([max_query_size](https://clickhouse.com/docs/operations/settings/settings#max_query_size)). By
/// default that is 256 KiB, and an insert whose rows stop coming before is not in
/// `system.processes`: it could not be killed, and yet go on later.
const AHEAD_BYTES: usize = 16_384;

/// A statement that is sent as the beginning of a body.
pub(super) struct BulkRequest<'a> {
    pub query_id: &'a str,
    pub sql: &'a str,
    /// All settings of the statement.
    pub settings: Settings,
    /// Parameters of the request that are no settings of the statement.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The encoding of HTTP that the answer may have.
    pub accept: Option<&'static str>,
}

impl BulkRequest<'_> {
    /// The request. The body begins with the statement.
    pub(super) fn build(&self, endpoint: &Endpoint, body: Body) -> Result<Request<Body>, Error> {
        let mut url = endpoint.url().clone();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("database", endpoint.database());
            query.append_pair("query_id", self.query_id);
            query.extend_pairs(self.parameters);
            if self.settings.get("max_query_size").is_none() {
                let most = self.sql.len() + AHEAD_BYTES;
                query.append_pair("max_query_size", &most.to_string());
            }
            query.extend_pairs(self.settings.iter());
        }
        let mut request = Request::post(url.as_str())
            .header("X-ClickHouse-User", endpoint.user().as_bytes())
            .header("User-Agent", concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        if let Some(encoding) = self.accept {
            request = request.header("Accept-Encoding", encoding);
        }
        let password = endpoint.password();
        if !password.is_empty() {
            request = request.header("X-ClickHouse-Key", password.reveal().as_bytes());
        }
        request
            .body(body)
            .map_err(|error| UrlError::from(UrlProblem::Unreadable(error.to_string())).into())
    }
}
