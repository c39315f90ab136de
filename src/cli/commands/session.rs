//! What commands start with: the connections, the job bound to its tables, the plan, the options of
//! the pipeline (concurrency, memory, formats, retries), and their description without passwords.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::allocator::return_freed_memory;
use crate::cli::args::{AtOnce, EngineChoice, FaultArguments, FormatChoice, ThroughputArguments};
use crate::cli::config::{RunConfig, SessionConfig};
use crate::cli::failure::{End, Failure, connecting};
use crate::cli::output::wrap_block;
use crate::clickhouse::{Connection, Endpoint, Error as ServerError, Servers};
use crate::engine::Engine;
use crate::engine::stream::{
    Concurrency, ConcurrencyBounds, PipelineOptions, RowFormat, Throttle, insert_memory_bytes,
};
use crate::job::{BoundJob, bind, load};
use crate::ledger::WorkerPart;
use crate::load::Load;
use crate::plan::{MemoryDemand, MemoryPlan, Partition, Plan, PlanOptions, plan};
use crate::progress::{available_memory_bytes, bytes, count, counted};
use crate::retry::{RetryPolicy, StartupRetry};
use crate::stop::Stop;

/// A job that is bound to its tables.
#[derive(Clone)]
pub(crate) struct BoundSession {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub resources: Resources,
    /// The aimed number of rows per chunk.
    pub chunk_rows: u64,
    /// What evaluates the job.
    engine: Engine,
}

/// A job with its plan.
pub(crate) struct Session {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub plan: Plan,
}

impl SessionConfig {
    /// Connects and binds, without waiting for servers that are unreachable. `id` becomes part of
    /// the query ids until the run id is known.
    pub(crate) async fn open(&self, id: &str) -> Result<BoundSession, Failure> {
        let retry = RetryPolicy::default();
        let once = StartupRetry { retry, outage_wait: Duration::ZERO, stop: Stop::new() };
        self.open_with_retries(id, &once.without_retries()).await
    }

    /// Connects and binds, with retries. A failure after a stop request is an interruption.
    pub(crate) async fn open_with_retries(
        &self,
        id: &str,
        retry: &StartupRetry,
    ) -> Result<BoundSession, Failure> {
        self.bind(id, retry).await.map_err(|failure| failure.unless_stopped(&retry.stop))
    }

    async fn bind(&self, id: &str, retry: &StartupRetry) -> Result<BoundSession, Failure> {
        let job = load(&self.job.reference)?;
        let servers = self.servers.connect(self.throughput.compression, id)?;
        if self.throughput.engine == EngineChoice::Server && !servers.is_one_server() {
            return Err(Failure::usage(
                "--engine server needs source and target on one server, and they are on two",
            )
            .hint("--engine stream reads from one server and inserts into the other"));
        }
        // An error in the first answer is a configuration error, so only outages are retried.
        let first = &retry.clone().without_retries();
        let greet = |connection: Connection, end: End| async move {
            let greeting = async || connection.hello().await.map_err(GreetingError::of);
            first.ask("the first query", greeting).await.map_err(|error| match error {
                GreetingError::Failed(error) | GreetingError::Unresolved(error) => {
                    connecting(&error, end)
                }
            })
        };
        let server_version = greet(servers.target.clone(), End::Target).await?;
        let source_version = if servers.is_one_server() {
            server_version.clone()
        } else {
            greet(servers.source.clone(), End::Source).await?
        };
        let bound = retry.ask("binding the job to its tables", async || {
            bind(&servers, &job, &self.job.options).await
        });
        let job = bound.await?;
        let resources = resources(&self.throughput, &servers.target, &job).await?;
        Ok(BoundSession {
            servers,
            server_version,
            source_version,
            job: Arc::new(job),
            resources,
            chunk_rows: self.throughput.chunk_rows(),
            engine: self.throughput.engine.into(),
        })
    }
}

/// An error of the first query.
#[derive(Debug, thiserror::Error)]
enum GreetingError {
    #[error("{0}")]
    Failed(#[source] ServerError),
    /// The host has no address, probably because its name is wrong: there is nothing to wait for.
    #[error("{0}")]
    Unresolved(ServerError),
}

impl GreetingError {
    fn of(error: ServerError) -> Self {
        if error.is_unresolved_host() { Self::Unresolved(error) } else { Self::Failed(error) }
    }
}

/// Sends the first query to each server.
pub(crate) async fn greet(servers: &Servers) -> Result<(), Failure> {
    servers.target.hello().await.map_err(|error| connecting(&error, End::Target))?;
    if !servers.is_one_server() {
        servers.source.hello().await.map_err(|error| connecting(&error, End::Source))?;
    }
    Ok(())
}

impl BoundSession {
    /// How a partition is divided into chunks if no plan exists.
    pub(crate) fn plan_options(&self) -> PlanOptions {
        PlanOptions {
            chunk_rows: self.chunk_rows,
            holds_attributes: self.engine == Engine::Stream,
            ..PlanOptions::new(self.resources.memory)
        }
    }

    /// Makes the plan. No row moves.
    pub(crate) async fn plan(self, partition: &Partition) -> Result<Session, Failure> {
        let plan = plan(&self.servers.source, &self.job, partition, self.plan_options()).await?;
        Ok(self.with_plan(plan))
    }

    /// Adds a plan.
    pub(crate) fn with_plan(self, plan: Plan) -> Session {
        let Self { servers, server_version, source_version, job, .. } = self;
        Session { servers, server_version, source_version, job, plan }
    }
}

/// The memory limit where the machine's available memory is unknown.
const MEMORY_UNKNOWN: u64 = 4 << 30;

/// Concurrent readers at the start, with `--readers auto`.
const READERS_FIRST: usize = 2;
/// The most readers with `--readers auto`: more of them would only wait for inserters.
const READERS_MOST: usize = 8;
/// The most inserters with `--inserters auto`: more of them help only with many disks.
const INSERTERS_MOST: usize = 16;

/// The pipeline's options for `run`.
pub(crate) fn pipeline_options(
    config: &RunConfig,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    let options = write_options(&config.session.throughput, &config.faults, job, resources)?;
    Ok(PipelineOptions { dry_run: config.dry_run, ..options })
}

/// The pipeline's options for a command that writes.
pub(crate) fn write_options(
    throughput: &ThroughputArguments,
    faults: &FaultArguments,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    Ok(PipelineOptions {
        retry: retry(faults),
        outage_wait: faults.outage_wait,
        drain_timeout: faults.drain_timeout,
        max_failed_chunks: faults.max_failed_chunks,
        ..fail_fast_options(throughput, job, resources)?
    })
}

/// The pipeline's options for a trial: no waiting in outages, and the first failed chunk ends it.
pub(crate) fn fail_fast_options(
    throughput: &ThroughputArguments,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    let ThroughputArguments { batch_size, stream_block_size, .. } = *throughput;
    let Resources { readers, inserters, memory, .. } = *resources;
    Ok(PipelineOptions {
        engine: throughput.engine.into(),
        format: row_format(throughput.insert_format, job)?,
        batch_rows: batch_size,
        stream_block_rows: stream_block_size,
        outage_wait: Duration::ZERO,
        drain_timeout: Duration::ZERO,
        max_failed_chunks: 0,
        ..PipelineOptions::new(job, &memory, readers, inserters)
    })
}

/// How often statements are retried.
fn retry(faults: &FaultArguments) -> RetryPolicy {
    RetryPolicy { max_retries: faults.retries.max_retries, ..RetryPolicy::default() }
}

/// How long queries before the first row are retried.
pub(crate) fn startup_retry(faults: &FaultArguments, stop: &Stop) -> StartupRetry {
    StartupRetry { retry: retry(faults), outage_wait: faults.outage_wait, stop: stop.clone() }
}

/// Resolves the format of inserts.
fn row_format(choice: FormatChoice, job: &BoundJob) -> Result<RowFormat, Failure> {
    match (choice, &job.native_layout) {
        (FormatChoice::Rowbinary, _) | (FormatChoice::Auto, Err(_)) => Ok(RowFormat::RowBinary),
        (_, Ok(layout)) => Ok(RowFormat::Native(layout.clone())),
        (FormatChoice::Native, Err(reason)) => {
            let message = format!("this job cannot insert native blocks: {reason}");
            Err(Failure::usage(message).hint("--insert-format auto inserts them as RowBinary"))
        }
    }
}

/// The concurrency and memory of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    /// Concurrent readers.
    pub readers: Concurrency,
    /// Concurrent inserters.
    pub inserters: Concurrency,
    /// How memory is divided.
    pub memory: MemoryPlan,
    /// The levels that `ctl set` may choose.
    pub levels: ConcurrencyBounds,
}

impl Resources {
    /// The throttle of a run with these resources. `replaces` says whether repeated rows collapse in
    /// the target. If the target recognizes repeated blocks instead, the inserters stay within the
    /// number that its deduplication window was checked for.
    pub(crate) fn throttle(&self, replaces: bool) -> Arc<Throttle> {
        let Self { readers, inserters, mut levels, .. } = *self;
        if !replaces {
            levels.inserters_most = inserters.most();
        }
        Throttle::within(readers, inserters, levels)
    }
}

/// Resolves the concurrency, and divides the memory limit: the one given, or half of the available
/// memory. `connection` is to the target's server.
pub(crate) async fn resources(
    arguments: &ThroughputArguments,
    connection: &Connection,
    job: &BoundJob,
) -> Result<Resources, Failure> {
    let total = arguments.memory.unwrap_or_else(|| {
        available_memory_bytes().map_or(MEMORY_UNKNOWN, |available| available / 2)
    });
    let server = ServerSize::ask(connection).await;
    let (deferred, an_insert) = (
        job.has_deferred_lookup(),
        insert_memory_bytes(arguments.batch_bytes, job.target.columns.len()),
    );
    let settle = |asked_readers: AtOnce, asked_inserters: AtOnce| {
        let divide = |readers: Concurrency, inserters: Concurrency| {
            let (most_readers, most_inserters) = (readers.most() as u64, inserters.most() as u64);
            let demand = MemoryDemand {
                total,
                readers: most_readers,
                inserters: most_inserters,
                batch_bytes: arguments.batch_bytes,
                deferred,
            };
            MemoryPlan::divide(demand).map(|memory| (readers, inserters, memory))
        };
        let most_inserters = server.inserters_most(an_insert);
        // More concurrency is not worth smaller batches.
        match divide(
            readers(asked_readers, server.readers_most()),
            inserters(asked_inserters, most_inserters),
        ) {
            Ok(generous) if generous.2.batch_bytes == arguments.batch_bytes => Ok(generous),
            _ => divide(
                readers(asked_readers, READERS_FIRST),
                inserters(asked_inserters, server.inserters_first()),
            ),
        }
    };
    let (readers, inserters, memory) =
        settle(arguments.readers, arguments.inserters).map_err(|error| {
            Failure::usage(error.to_string())
                .hint("raise --memory, or lower --readers and --inserters")
        })?;
    return_freed_memory(total);
    let levels = ConcurrencyBounds::of(readers, inserters);
    let levels = ConcurrencyBounds {
        readers_found: settle(AtOnce::Auto, arguments.inserters)
            .map_or(levels.readers_found, |(readers, ..)| readers.most()),
        inserters_found: settle(arguments.readers, AtOnce::Auto)
            .map_or(levels.inserters_found, |(_, inserters, _)| inserters.most()),
        ..levels
    };
    Ok(Resources { readers, inserters, memory, levels })
}

fn readers(asked: AtOnce, most: usize) -> Concurrency {
    match asked {
        AtOnce::Fixed(number) => Concurrency::Fixed(usize::from(number)),
        AtOnce::Auto => Concurrency::Auto { first: READERS_FIRST, most },
    }
}

fn inserters(asked: AtOnce, most: usize) -> Concurrency {
    match asked {
        AtOnce::Fixed(number) => Concurrency::Fixed(usize::from(number)),
        AtOnce::Auto => Concurrency::Auto { first: most.div_ceil(2), most },
    }
}

/// The server's size.
#[derive(Clone, Copy, Debug, Deserialize)]
struct ServerSize {
    cores: usize,
    /// Memory that its queries may still allocate, in bytes.
    memory: u64,
}

impl Default for ServerSize {
    fn default() -> Self {
        Self { cores: 2, memory: 8 << 30 }
    }
}

impl ServerSize {
    /// Asks the server; assumes a small one if it does not answer.
    async fn ask(connection: &Connection) -> Self {
        // `max_threads` defaults to the number of cores. `max_server_memory_usage` of 0 means no
        // limit.
        let sql = "SELECT toUInt64(getSetting('max_threads')) AS cores, \
            (SELECT toUInt64(sum(toFloat64(value))) FROM system.asynchronous_metrics WHERE metric = 'OSMemoryAvailable') AS free, \
            (SELECT toUInt64(sum(toFloat64(value))) FROM system.server_settings WHERE name = 'max_server_memory_usage') AS allowed, \
            (SELECT toUInt64(greatest(sum(value), 0)) FROM system.metrics WHERE metric = 'MemoryTracking') AS used, \
            toUInt64(if(allowed = 0, free, least(free, if(allowed > used, allowed - used, 0)))) AS memory";
        connection.row("size", sql).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the size of the server is unknown");
            Self::default()
        })
    }

    /// One thread reads a stream, in about a quarter of the time that inserting its rows takes.
    fn readers_most(self) -> usize {
        self.cores.div_ceil(3).clamp(READERS_FIRST, READERS_MOST)
    }

    /// One inserter per core.
    fn inserters_first(self) -> usize {
        self.cores.clamp(1, INSERTERS_MOST)
    }

    /// Half as many more, which work while others wait for the network. A quarter of the server's
    /// memory may go to inserts, each of which takes `an_insert` bytes.
    fn inserters_most(self, an_insert: u64) -> usize {
        let fit = self.memory / 4 / an_insert.max(1);
        (self.cores + self.cores.div_ceil(2))
            .clamp(1, INSERTERS_MOST)
            .min(usize::try_from(fit).unwrap_or(usize::MAX))
            .max(1)
    }
}

/// The indentation of values.
const VALUES: usize = 14;

/// The configuration of a run, wrapped to a width.
pub(crate) fn configuration(
    session: &Session,
    options: &PipelineOptions,
    run_id: &str,
    load: Option<&Load>,
    part: WorkerPart,
    width: usize,
) -> String {
    let job = &session.job;
    let mut text =
        format!("{} {}, run {run_id}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    text.push_str(&servers_and_tables(session));
    if !job.defaults.is_empty() {
        line(&mut text, "defaults", &job.defaults.join(", "));
    }
    for left_out in &job.left_out {
        line(&mut text, "left out", &format!("{}: {}", left_out.name, left_out.reason));
    }
    match options.engine {
        Engine::Stream => {
            line(&mut text, "batches", &batches(options));
            let memory = &session.plan.memory;
            let (total, attributes) = (bytes(memory.total), bytes(memory.attributes));
            let memory = format!("at most {total}, of which {attributes} for attributes");
            line(&mut text, "memory", &memory);
        }
        Engine::Server => {
            let (inserters, retries) = (
                concurrency(options.inserters, "insert"),
                counted(u64::from(options.retry.max_retries), "retry"),
            );
            let engine =
                format!("server: one INSERT … SELECT a chunk; {inserters} at once, {retries}");
            line(&mut text, "engine", &engine);
        }
    }
    if let Some(place) = load.and_then(Load::recorded_in) {
        line(&mut text, "ledger", &place);
    }
    let chunks = load.map(Load::chunk_counts).unwrap_or_default();
    if chunks.before > 0 {
        let (before, total) = (count(chunks.before), counted(chunks.total, "chunk"));
        line(&mut text, "resumed", &format!("{before} of {total} done by earlier runs"));
    }
    if part.workers > 1 {
        let chunks = part.range_of(session.plan.chunks.len());
        let chunks = format!("{part}, chunks {} to {}", chunks.start + 1, chunks.end);
        line(&mut text, "worker", &chunks);
    }
    line(&mut text, "dry run", if options.dry_run { "yes, nothing is written" } else { "no" });
    wrap_block(&text, VALUES, width)
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {name:<12}{value}");
}

fn batches(options: &PipelineOptions) -> String {
    let format =
        if matches!(options.format, RowFormat::Native(_)) { "native blocks" } else { "RowBinary" };
    format!(
        "{} or {} as {format}; {}, {}, {}",
        counted(options.batch_rows, "row"),
        bytes(options.batch_bytes),
        concurrency(options.readers, "reader"),
        concurrency(options.inserters, "inserter"),
        counted(u64::from(options.retry.max_retries), "retry")
    )
}

/// A concurrency in words.
fn concurrency(number: Concurrency, who: &str) -> String {
    match number {
        Concurrency::Fixed(number) => counted(number as u64, who),
        Concurrency::Auto { most, .. } => format!("up to {}", counted(most as u64, who)),
    }
}

/// The servers, the job and its tables.
pub(crate) fn servers_and_tables(session: &Session) -> String {
    let mut text = servers(session);
    let Session { job, plan, .. } = session;
    if job.name == job.origin {
        line(&mut text, "job", &job.name);
    } else {
        line(&mut text, "job", &format!("{} ({})", job.name, job.origin));
    }
    let size = if plan.stored_bytes == 0 && plan.stored_rows > 0 {
        "unknown size".to_owned()
    } else {
        bytes(plan.stored_bytes)
    };
    let source = format!(
        "{}, partition {}: {} in {}, {size}, {}",
        job.source.name,
        plan.partition,
        counted(plan.stored_rows, "stored row"),
        counted(plan.parts, "part"),
        counted(plan.chunks.len() as u64, "chunk")
    );
    line(&mut text, "source", &source);
    if let Some(lookup) = &job.lookup {
        let keys: Vec<_> = lookup.keys.iter().map(|key| key.lookup.as_str()).collect();
        line(&mut text, "lookup", &format!("{} by {}", lookup.table.name, keys.join(", ")));
    }
    let columns = counted(job.columns.len() as u64, "column");
    let target = format!("{} ({}), {columns}", job.target.name, job.target.engine);
    line(&mut text, "target", &target);
    for remark in &job.remarks {
        line(&mut text, "note", remark);
    }
    text
}

fn servers(session: &Session) -> String {
    let Session { servers, server_version, source_version, .. } = session;
    let (source, target) = (
        at(servers.source.endpoint(), source_version),
        at(servers.target.endpoint(), server_version),
    );
    let mut text = String::new();
    if servers.is_one_server() {
        line(&mut text, "server", &target);
        return text;
    }
    line(&mut text, "from server", &source);
    line(&mut text, "to server", &target);
    if source_version != server_version {
        let note = "the servers' versions differ; the target's server evaluates the expressions";
        line(&mut text, "note", note);
    }
    text
}

/// A server and its user.
fn at(endpoint: &Endpoint, version: &str) -> String {
    format!(
        "{} (ClickHouse {version}), user {}, database {}",
        endpoint.url(),
        endpoint.user(),
        endpoint.database()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deduplication_window_bounds_the_inserters() {
        let (readers, inserters) = (Concurrency::Fixed(2), Concurrency::Fixed(3));
        let demand = MemoryDemand {
            total: 4 << 30,
            readers: 2,
            inserters: 3,
            batch_bytes: 16 << 20,
            deferred: false,
        };
        let levels =
            ConcurrencyBounds { inserters_found: 8, ..ConcurrencyBounds::of(readers, inserters) };
        let resources =
            Resources { readers, inserters, memory: MemoryPlan::divide(demand).unwrap(), levels };
        let most = |replaces: bool| resources.throttle(replaces).limits().inserters_most;
        assert_eq!((most(false), most(true)), (3, 64));
        assert!(
            resources.throttle(false).set_inserters(4).is_err()
                && resources.throttle(true).set_inserters(4).is_ok()
        );
    }
}
