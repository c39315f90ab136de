//! Traces and metrics for a collector, by [OTLP](https://opentelemetry.io/docs/specs/otlp/) over HTTP. The
//! [variables of the specification](https://opentelemetry.io/docs/specs/otel/protocol/exporter/) say
//! where; without an endpoint nothing is sent.
//!
//! What is sent leaves in threads beside the run, from bounded queues. A collector that is away or slow
//! costs data and one warning; the run waits for it only at the end of a partition, for a moment. Nothing
//! here logs a header or a URL: both may hold a key.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use super::exposition::{Family, Kind};
use super::{ObservedRun, families};
use crate::causes::error_chain;
use crate::sync::Mutex;

/// The name of the service, where `OTEL_SERVICE_NAME` gives none.
const SERVICE: &str = "clickhouse-backfill";
/// How long a run waits for the collector at the end of a partition, and of the process, where
/// `OTEL_EXPORTER_OTLP_TIMEOUT` does not say.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const ANSWER: usize = 1 << 20;
/// The time that an export may take, where no variable says so.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What this process sends.
struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    reach: Arc<Reach>,
    current: Arc<Mutex<Option<Arc<ObservedRun>>>>,
    registered: AtomicBool,
}

static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// The kinds of data.
#[derive(Clone, Copy, Debug)]
enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    /// The variable of this kind, or the one for all of them.
    fn variable(self, name: &str) -> Option<String> {
        let of_kind = variable(&format!("OTEL_EXPORTER_OTLP_{}_{name}", self.name()));
        of_kind.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    fn is_wanted(self) -> bool {
        let exporter = variable(&format!("OTEL_{}_EXPORTER", self.name()));
        self.variable("ENDPOINT").is_some() && exporter.is_none_or(|exporter| exporter == "otlp")
    }

    /// The given time of an export, in milliseconds.
    fn timeout(self) -> Option<Duration> {
        let given = self.variable("TIMEOUT").and_then(|text| text.parse().ok());
        given.map(Duration::from_millis)
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Starts to send what the variables ask for. Returns the layer that sends spans, and notes about what
/// cannot be sent.
pub(crate) fn start() -> (Option<Box<dyn Layer<Registry> + Send + Sync>>, Vec<String>) {
    let mut notes = Vec::new();
    let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text == "true");
    if is_disabled || ![Signal::Traces, Signal::Metrics].into_iter().any(Signal::is_wanted) {
        return (None, notes);
    }
    let reach = Arc::<Reach>::default();
    let mut refused = |signal: Signal, reason: String| {
        let kind = signal.name().to_lowercase();
        notes.push(format!("note: OpenTelemetry: {kind} are not sent: {reason}"));
    };
    let traces = Signal::Traces.is_wanted().then(|| traces(&reach));
    let traces = traces.and_then(|made| made.map_err(|error| refused(Signal::Traces, error)).ok());
    let metrics = Signal::Metrics.is_wanted().then(|| metrics(&reach));
    let metrics =
        metrics.and_then(|made| made.map_err(|error| refused(Signal::Metrics, error)).ok());
    let spans = traces.as_ref().map(|traces| traces.tracer(SERVICE));
    let (current, registered) = (Arc::default(), AtomicBool::new(false));
    let started = Telemetry { traces, metrics, reach, current, registered };
    if TELEMETRY.set(started).is_err() {
        return (None, notes);
    }
    (spans.map(layer), notes)
}

fn layer(tracer: SdkTracer) -> Box<dyn Layer<Registry> + Send + Sync> {
    let is_ours = filter_fn(|metadata| {
        metadata.target().starts_with("clickhouse_backfill") && *metadata.level() <= Level::INFO
    });
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(is_ours)
        .boxed()
}

fn resource() -> Resource {
    let names_service = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if names_service { builder.build() } else { builder.with_service_name(SERVICE).build() }
}

fn traces(reach: &Arc<Reach>) -> Result<SdkTracerProvider, String> {
    let client = Collector::new(Signal::Traces, reach).map_err(|error| error.to_string())?;
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    let exporter = exporter.map_err(|error| without_values(&error))?;
    let provider = SdkTracerProvider::builder().with_resource(resource());
    Ok(provider.with_batch_exporter(exporter).build())
}

fn metrics(reach: &Arc<Reach>) -> Result<SdkMeterProvider, String> {
    let client = Collector::new(Signal::Metrics, reach).map_err(|error| error.to_string())?;
    let exporter = MetricExporter::builder().with_http().with_http_client(client).build();
    let exporter = exporter.map_err(|error| without_values(&error))?;
    let provider = SdkMeterProvider::builder().with_resource(resource());
    Ok(provider.with_periodic_exporter(exporter).build())
}

/// Why an exporter cannot be built. The message may quote a URL or a header.
fn without_values(_: &dyn Error) -> String {
    "an OTEL_EXPORTER_OTLP variable cannot be used; the endpoint is a URL such as http://localhost:4318, the protocol http/protobuf".to_owned()
}

/// Sends the figures of this run from now on.
pub(super) fn observe(run: &Arc<ObservedRun>) {
    let Some(telemetry) = TELEMETRY.get() else { return };
    *telemetry.current.lock() = Some(run.clone());
    let Some(metrics) = &telemetry.metrics else { return };
    if !telemetry.registered.swap(true, Ordering::Relaxed) {
        let meter = metrics.meter(SERVICE);
        for family in &families::current(Some(run)).families {
            register(&meter, family, &telemetry.current);
        }
    }
}

/// Makes an instrument that reads a family of the metrics page.
fn register(meter: &Meter, family: &Family, current: &Arc<Mutex<Option<Arc<ObservedRun>>>>) {
    let (name, help) = (family.name.clone(), family.help.clone());
    match family.kind {
        Kind::Gauge => {
            let gauge = meter.f64_observable_gauge(name.clone()).with_description(help);
            gauge.with_callback(reading(current, name)).build();
        }
        Kind::Counter => {
            let counter = meter.f64_observable_counter(name.clone()).with_description(help);
            counter.with_callback(reading(current, name)).build();
        }
        // As Prometheus has it: counters of each bucket, of all, and their sum.
        Kind::Histogram => {
            for ending in ["_bucket", "_count", "_sum"] {
                let name = format!("{name}{ending}");
                let counter =
                    meter.f64_observable_counter(name.clone()).with_description(help.clone());
                counter.with_callback(reading(current, name)).build();
            }
        }
    }
}

/// Observes the samples of this name.
fn reading(
    current: &Arc<Mutex<Option<Arc<ObservedRun>>>>,
    name: String,
) -> impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static {
    let current = current.clone();
    move |instrument| {
        let run = current.lock().clone();
        let exposition = families::current(run.as_deref());
        let samples = exposition.families.into_iter().flat_map(|family| family.samples);
        for sample in samples.filter(|sample| sample.name == name) {
            let Ok(value) = sample.value.parse() else { continue };
            let labels = sample.labels.into_iter();
            let labels: Vec<_> = labels.map(|(key, value)| KeyValue::new(key, value)).collect();
            instrument.observe(value, &labels);
        }
    }
}

/// Sends what has gathered at the end of a partition.
pub(super) async fn flush() {
    let Some(Telemetry { traces, metrics, reach, .. }) = TELEMETRY.get() else { return };
    let (traces, metrics) = (traces.clone(), metrics.clone());
    // The figures are those of this moment, so they go first.
    let sending = move || {
        let _ = metrics.map(|metrics| metrics.force_flush());
        let _ = traces.map(|traces| traces.force_flush());
    };
    if !reach.is_lost() && !beside(sending).await {
        reach.lose("no answer in time");
    }
}

/// Sends the rest at the end of the process.
pub(super) async fn stop() {
    let Some(Telemetry { traces, metrics, reach, .. }) = TELEMETRY.get() else { return };
    let (traces, metrics) = (traces.clone(), metrics.clone());
    let sending = move || {
        let _ = metrics.map(|metrics| metrics.shutdown_with_timeout(patience()));
        let _ = traces.map(|traces| traces.shutdown_with_timeout(patience()));
    };
    if !reach.is_lost() && !beside(sending).await {
        reach.lose("no answer in time");
    }
}

fn patience() -> Duration {
    Signal::Traces.timeout().max(Signal::Metrics.timeout()).unwrap_or(PATIENCE)
}

/// Does something in a thread of its own; `false` if it takes too long, and is left alone.
async fn beside(work: impl FnOnce() + Send + 'static) -> bool {
    let (done, ended) = oneshot::channel();
    std::thread::spawn(move || {
        work();
        // Whoever waited has gone on.
        let _ = done.send(());
    });
    timeout(patience(), ended).await.is_ok()
}

/// Whether the collector has failed to take something.
#[derive(Debug, Default)]
struct Reach {
    lost: AtomicBool,
    said: AtomicBool,
}

impl Reach {
    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Notes a failure. Only the first one is logged.
    fn lose(&self, reason: &str) {
        self.lost.store(true, Ordering::Relaxed);
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "the OpenTelemetry collector does not take traces or metrics; they are lost until it does, and the run goes on"
            );
        }
    }

    fn find(&self) {
        self.lost.store(false, Ordering::Relaxed);
    }
}

/// The connection of an exporter to the collector. The SDK calls it in a thread of its own, which it may
/// keep waiting.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
    limit: Duration,
    reach: Arc<Reach>,
}

impl Collector {
    fn new(signal: Signal, reach: &Arc<Reach>) -> io::Result<Self> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?;
        let client = Client::builder(TokioExecutor::new())
            .build(connector.https_or_http().enable_http1().build());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            client,
            runtime,
            limit: signal.timeout().unwrap_or(TIMEOUT),
            reach: reach.clone(),
        })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.client.request(request.map(Full::new)).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let limited = async { timeout(self.limit, self.exchange(request)).await };
        match self.runtime.block_on(limited) {
            Ok(Ok(response)) if response.status().is_success() => {
                self.reach.find();
                Ok(response)
            }
            Ok(Ok(response)) => {
                self.reach.lose(&format!("it answers {}", response.status()));
                Ok(response)
            }
            Ok(Err(error)) => {
                self.reach.lose(&error_chain(&*error));
                Err(error)
            }
            Err(elapsed) => {
                self.reach.lose("no answer in time");
                Err(elapsed.into())
            }
        }
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> BoxFuture<'b, Result<Response<Bytes>, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move { self.send(request) })
    }
}
