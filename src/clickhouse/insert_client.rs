//! The HTTP client that sends inserts, over plain or encrypted connections.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures::channel::mpsc;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as HttpError};

use super::endpoint::WireCompression;

/// The frames of a body, received from the task that sends the rows.
pub(super) type Pieces =
    futures::stream::Map<mpsc::Receiver<Bytes>, fn(Bytes) -> Result<Frame<Bytes>, Infallible>>;
pub(super) type Body = StreamBody<Pieces>;
pub(super) type Answer =
    Pin<Box<dyn Future<Output = Result<Response<Incoming>, HttpError>> + Send>>;

/// The HTTP client of inserts.
#[derive(Clone)]
pub(super) struct InsertClient {
    http: Http,
    pub(super) compression: WireCompression,
}

#[derive(Clone)]
enum Http {
    Plain(Client<HttpConnector, Body>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Body>),
}

impl InsertClient {
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
