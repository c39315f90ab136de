//! Serves a run's metrics on a port and writes them to a file, until it is dropped.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{ObservedRun, families, live, otlp};
use crate::files;
use crate::sync::Mutex;

/// Interval between two writes of the file; collectors are usually scraped every 15 s.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// Interval between two samples of the figures of the page.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// The observed run, once there is one.
#[derive(Clone, Default)]
struct CurrentRun(Arc<Mutex<Option<Arc<ObservedRun>>>>);

impl CurrentRun {
    fn run(&self) -> Option<Arc<ObservedRun>> {
        self.0.lock().clone()
    }

    /// The metrics as text.
    fn text(&self) -> String {
        families::current(self.run().as_deref()).to_string()
    }
}

/// Serves and writes metrics until it is dropped.
pub(crate) struct Exporter {
    current: CurrentRun,
    address: Option<SocketAddr>,
    file: Option<Arc<MetricsFile>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Why metrics cannot be exported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricsError {
    /// The port is in use, or the address does not belong to this machine.
    #[error("cannot serve metrics on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write metrics to {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl Exporter {
    /// Listens on the port and writes the file once, so that a wrong address or path is reported
    /// before the run begins.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub(crate) async fn start(
        listen: Option<SocketAddr>,
        file: Option<&Path>,
    ) -> Result<Self, MetricsError> {
        let current = CurrentRun::default();
        let file = file.map(|path| MetricsFile::new(path, current.clone()));
        let mut exporter =
            Self { current: current.clone(), address: None, file, tasks: Vec::new() };
        if let Some(address) = listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| MetricsError::Listen { address, source })?;
            exporter.address = listener.local_addr().ok();
            exporter.tasks.push(tokio::spawn(sample(current.clone())));
            exporter.tasks.push(tokio::spawn(serve(listener, current)));
        }
        exporter.write_file().await?;
        if let Some(file) = &exporter.file {
            exporter.tasks.push(tokio::spawn(rewrite(file.clone())));
        }
        Ok(exporter)
    }

    /// The listening address, with the port that the system chose if port 0 was requested.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Exports the metrics of this run from now on.
    pub(crate) fn observe(&self, run: Arc<ObservedRun>) {
        otlp::observe(&run);
        *self.current.0.lock() = Some(run);
    }

    /// Writes the file, if there is one, and sends what a collector is to get, without waiting for the next
    /// interval.
    ///
    /// # Errors
    /// [`MetricsError::File`].
    pub(crate) async fn write(&self) -> Result<(), MetricsError> {
        otlp::flush().await;
        self.write_file().await
    }

    /// Sends the rest of what a collector is to get. The process ends.
    pub(crate) async fn end(&self) {
        otlp::stop().await;
    }

    async fn write_file(&self) -> Result<(), MetricsError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.rewrite()
            .await
            .map_err(|source| MetricsError::File { path: file.path.clone(), source })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Samples the figures of which the page shows rates.
async fn sample(current: CurrentRun) {
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(run) = current.run() {
            run.figures();
        }
    }
}

async fn rewrite(file: Arc<MetricsFile>) {
    let mut ticks = interval(WRITE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut failing = false;
    loop {
        ticks.tick().await;
        match file.rewrite().await {
            Ok(()) => failing = false,
            // Logged once per series of failures: a full disk must not fill the log.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(path = %file.path.display(), %error, "cannot write metrics; the run continues");
            }
            Err(_) => {}
        }
    }
}

/// The file for the textfile collector.
struct MetricsFile {
    path: PathBuf,
    current: CurrentRun,
    /// Held during a write.
    writing: Mutex<()>,
}

impl MetricsFile {
    fn new(path: &Path, current: CurrentRun) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), current, writing: Mutex::default() })
    }

    /// Replaces the file with the current metrics.
    async fn rewrite(self: &Arc<Self>) -> io::Result<()> {
        let file = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _alone = file.writing.lock();
            // Read under the lock, so that the last writer has the newest values.
            // The temporary file's name does not end in `.prom`, so the collector ignores it.
            files::replace(&file.path, file.current.text().as_bytes())
        });
        written.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Most requests that are answered at a time; further connections are closed.
const MAX_CONNECTIONS: usize = 16;
/// Time within which the head of a request must arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time within which a client must have read the response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a request's head; the least that hyper allows.
const MAX_HEAD_BYTES: usize = 8192;
/// Pause after a failure to accept a connection, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves the page until it is dropped. Slow, wrong and too many requests are cut off.
async fn serve(listener: TcpListener, current: CurrentRun) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection for metrics");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let current = current.clone();
        tokio::spawn(async move {
            if timeout(RESPONSE_TIMEOUT, answer(stream, current)).await.is_err() {
                tracing::debug!("a request for metrics timed out");
            }
            drop(permit);
        });
    }
}

/// Serves one request of a connection.
async fn answer(stream: TcpStream, current: CurrentRun) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &current);
        async { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a request for metrics failed");
    }
}

/// Nothing but what is served here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn respond(method: &Method, path: &str, current: &CurrentRun) -> Response<String> {
    const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
    const PLAIN: &str = "text/plain; charset=utf-8";
    const HTML: &str = "text/html; charset=utf-8";
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let run = current.run();
    let (status, kind, body) = match path {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned()),
        "/metrics" => (StatusCode::OK, METRICS, current.text()),
        "/" => (StatusCode::OK, HTML, live::page(run.as_deref())),
        "/live" => (StatusCode::OK, HTML, live::fragment(run.as_deref())),
        "/live.css" => (StatusCode::OK, "text/css; charset=utf-8", live::style()),
        "/live.js" => (StatusCode::OK, "text/javascript; charset=utf-8", live::SCRIPT.to_owned()),
        _ => {
            let message = "the page of the run is at /, metrics are at /metrics\n";
            (StatusCode::NOT_FOUND, PLAIN, message.to_owned())
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
