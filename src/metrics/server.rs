//! The page that Prometheus scrapes. Whoever asks slowly, asks for nonsense, or asks too much is
//! cut off; the run goes on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::exporter::Current;

/// So many are answered at once; further ones are closed at once.
const CONNECTIONS: usize = 16;
/// The head of a request must have come after so long.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A request must have been answered, and the answer taken, after so long.
const DONE_WITHIN: Duration = Duration::from_secs(10);
/// The head of a request at most, in bytes; the least that hyper allows.
const HEAD_BYTES: usize = 8192;
/// Where the process has no more of something, such as open files, it is waited for this long.
const PAUSE: Duration = Duration::from_millis(200);

/// Begins to listen.
pub(super) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers for as long as it is not dropped.
pub(super) async fn serve(listener: TcpListener, current: Current) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics cannot be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let current = current.clone();
        tokio::spawn(async move {
            if timeout(DONE_WITHIN, answer(stream, current)).await.is_err() {
                tracing::debug!("a client that asked for metrics was too slow");
            }
            drop(place);
        });
    }
}

/// One connection, one request.
async fn answer(stream: TcpStream, current: Current) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &current);
        async { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a request for metrics was not answered");
    }
}

fn respond(method: &Method, path: &str, current: &Current) -> Response<String> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
    let (status, kind, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, TEXT, current.text()),
        (&Method::GET | &Method::HEAD, "/") => {
            (StatusCode::OK, PLAIN, format!("{}: /metrics\n", env!("CARGO_PKG_NAME")))
        }
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, PLAIN, "metrics are at /metrics\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
