//! What commands start with: the connections, the job bound to its tables, the plan, the options of
//! the pipeline (concurrency, memory, formats, retries), and their description without passwords.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::engine_choice::{Choice, EngineDecision, Filling};
use super::resources::{Resources, resources};
use crate::cli::args::{
    CompressionChoice, EngineChoice, FaultArguments, FormatChoice, ReadFormatChoice,
    ServerArguments, ThroughputArguments,
};
use crate::cli::config::{RunConfig, ServerConfig, SessionConfig};
use crate::cli::failure::{End, Failure, connecting};
use crate::cli::output::wrap_block;
use crate::clickhouse::{Connection, Endpoint, Error as ServerError, Servers, Settings};
use crate::engine::Engine;
use crate::engine::stream::{Concurrency, PipelineOptions, ReadFormat, RowFormat};
use crate::job::{BoundJob, PinnedObject, Publish, bind};
use crate::ledger::WorkerPart;
use crate::load::{Load, new_id};
use crate::plan::{Partition, Plan, PlanOptions, partitions, plan};
use crate::progress::{bytes, count, counted};
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
    pub engine: EngineDecision,
    resources: Resources,
    throughput: ThroughputArguments,
}

/// A job with its plan.
pub(crate) struct Session {
    pub servers: Servers,
    /// The target's.
    pub server_version: String,
    pub source_version: String,
    pub job: Arc<BoundJob>,
    pub engine: EngineDecision,
    pub plan: Plan,
}

/// The job of a call without `--job`.
const DEFAULT_JOB: &str = "langfuse-events";

impl SessionConfig {
    /// Connects and binds, without waiting for servers that are unreachable. `id` becomes part of
    /// the query ids until the run id is known.
    pub(crate) async fn open(
        &self,
        id: &str,
        filling: Filling<'_>,
    ) -> Result<BoundSession, Failure> {
        let retry = RetryPolicy::default();
        let once = StartupRetry {
            retry,
            outage_wait: Duration::ZERO,
            stop: Stop::new(),
            status: Arc::default(),
        };
        self.open_with_retries(id, Some(filling), &once.without_retries()).await
    }

    /// Connects and binds, with retries. A failure after a stop request is an interruption. Without a
    /// partition to fill, `--engine auto` chooses nothing.
    pub(crate) async fn open_with_retries(
        &self,
        id: &str,
        filling: Option<Filling<'_>>,
        retry: &StartupRetry,
    ) -> Result<BoundSession, Failure> {
        self.bind(id, filling, retry).await.map_err(|failure| failure.unless_stopped(&retry.stop))
    }

    /// A failure to bind the job that a call without `--job` means, probably by someone with other tables.
    fn of_default_job(&self, failure: Failure) -> Failure {
        let is_missing = failure.one_line().contains(" does not exist");
        if self.job.reference != DEFAULT_JOB || !failure.is_refusal() || !is_missing {
            return failure;
        }
        failure.hint(format!(
            "--job names a job for other tables than those of {DEFAULT_JOB}; `clickhouse-backfill init` writes one"
        ))
    }

    async fn bind(
        &self,
        id: &str,
        filling: Option<Filling<'_>>,
        retry: &StartupRetry,
    ) -> Result<BoundSession, Failure> {
        let job = self.job.load()?;
        let servers = self.servers.connect(self.throughput.compression, id)?;
        if self.throughput.engine == EngineChoice::Server && !servers.reads_at_target() {
            return Err(Failure::usage(
                "--engine server needs source and target on one server, and they are on two",
            )
            .hint("--source-native HOST:PORT lets the target's server read from the source's; --engine stream reads from one server and inserts into the other"));
        }
        let (server_version, source_version) = versions(&servers, retry).await?;
        if self.throughput.engine == EngineChoice::Server {
            check_remote_source(&servers, retry).await?;
        }
        let mut options = self.job.options.clone();
        if let Some(filling) = filling {
            options.period = Some(filling.partition.id().to_owned());
        }
        let bound = retry
            .ask("binding the job to its tables", async || bind(&servers, &job, &options).await);
        let mut job = bound.await.map_err(|error| self.of_default_job(error.into()))?;
        require_server(&job, self.throughput.engine, &servers)?;
        let resources = resources(&self.throughput, &servers.target, &job).await?;
        let engine = self.engine(&servers, &job, &resources, filling, retry).await?;
        if engine.engine == Engine::Stream {
            job.remarks.extend(read_remark(&self.throughput, &job));
        }
        Ok(BoundSession {
            servers,
            server_version,
            source_version,
            job: Arc::new(job),
            resources,
            engine,
            throughput: self.throughput.clone(),
        })
    }

    /// The engine that the flag names, or the one that is chosen for the partition to fill.
    async fn engine(
        &self,
        servers: &Servers,
        job: &BoundJob,
        resources: &Resources,
        filling: Option<Filling<'_>>,
        retry: &StartupRetry,
    ) -> Result<EngineDecision, Failure> {
        match (self.throughput.engine, EngineDecision::forced(job, servers), filling) {
            (EngineChoice::Server, _, _) => Ok(EngineDecision::given(Engine::Server)),
            (EngineChoice::Stream, _, _) | (EngineChoice::Auto, None, None) => {
                Ok(EngineDecision::given(Engine::Stream))
            }
            (EngineChoice::Auto, Some(forced), _) => Ok(forced),
            (EngineChoice::Auto, None, Some(filling)) => {
                let resources = &resources.of_chunks(self.throughput.inserters);
                let batch_rows = self.throughput.batch_size;
                let choice = Choice { servers, job, resources, batch_rows, filling };
                choice.decide(retry).await.map_err(|error| Failure::stopped(&error))
            }
        }
    }
}

/// The versions of the target's and of the source's server.
async fn versions(servers: &Servers, retry: &StartupRetry) -> Result<(String, String), Failure> {
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
    let target = greet(servers.target.clone(), End::Target).await?;
    let source = if servers.is_one_server() {
        target.clone()
    } else {
        greet(servers.source.clone(), End::Source).await?
    };
    Ok((target, source))
}

/// Refuses a job with groups or objects where rows would pass through this process.
fn require_server(job: &BoundJob, engine: EngineChoice, servers: &Servers) -> Result<(), Failure> {
    let (message, remedy) = if job.group.is_some() {
        (
            "has [group], and the server makes the groups, not rows that pass through this process",
            "--engine server lets the server aggregate each chunk",
        )
    } else if job.objects.is_some() {
        (
            "has objects, and the server reads them, not this process",
            "--engine server lets the server read each object",
        )
    } else if job.postgres.is_some() {
        (
            "reads PostgreSQL, and the server reads it, not this process",
            "--engine server lets the server read each range",
        )
    } else {
        return Ok(());
    };
    if engine != EngineChoice::Stream && servers.is_one_server() {
        return Ok(());
    }
    let failure = Failure::refused(format!("{} {message}", job.name));
    Err(if servers.is_one_server() {
        failure.hint(remedy)
    } else {
        failure.hint("it needs source and target on one server, as one user")
    })
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

/// Connects to the target's server and sends the first query. Also gives the server's version.
pub(crate) async fn open_target(
    arguments: &ServerArguments,
    compression: CompressionChoice,
) -> Result<(Connection, String), Failure> {
    let target = ServerConfig::resolve(arguments)?.connect(compression, &new_id())?.target;
    let version = target.hello().await.map_err(|error| connecting(&error, End::Target))?;
    Ok((target, version))
}

/// Lets the target's server read from the source's, if it is to do so.
async fn check_remote_source(servers: &Servers, retry: &StartupRetry) -> Result<(), Failure> {
    if let Some(obstacle) = servers.remote_obstacle() {
        return Err(Failure::refused(obstacle).hint(
            "name a source user whose profile sets none of them, or leave the rows to --engine stream",
        ));
    }
    let Some(remote) = servers.remote_source() else { return Ok(()) };
    let (sql, target) = (remote.rows_of("SELECT 1"), &servers.target);
    let reading = async || target.fetch("native", &sql, "TSV", &Settings::common()).await;
    let retry = retry.clone().without_retries();
    let tried = retry.ask("reading from the source's server", reading).await;
    tried.map(drop).map_err(|error| {
        let address = remote.address();
        let message = format!("the target's server cannot read from the source's at {address}");
        Failure::refused_because(&message, &error).hint(
            "--source-native is the address of the source's native protocol, as the target's server reaches it; the target's user needs CREATE TEMPORARY TABLE and REMOTE",
        )
    })
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
    /// The same with the stream engine.
    pub(crate) fn streamed(&self) -> Self {
        Self { engine: EngineDecision::given(Engine::Stream), ..self.clone() }
    }

    /// The concurrency of its engine, and how memory is divided.
    pub(crate) fn resources(&self) -> Resources {
        match self.engine.engine {
            Engine::Stream => self.resources,
            Engine::Server => self.resources.of_chunks(self.throughput.inserters),
        }
    }

    /// The aimed number of rows per chunk.
    pub(crate) fn chunk_rows(&self) -> u64 {
        self.throughput.chunk_rows(self.engine.engine)
    }

    /// Whether a load that was started with chunks of another size is continued with those.
    pub(crate) fn keeps_chunk_rows(&self) -> bool {
        self.throughput.chunk_rows.is_none()
    }

    /// How a partition is divided into chunks if no plan exists.
    pub(crate) fn plan_options(&self) -> PlanOptions {
        PlanOptions {
            chunk_rows: self.chunk_rows(),
            holds_attributes: self.engine.engine == Engine::Stream,
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
        let Self { servers, server_version, source_version, job, engine, .. } = self;
        Session { servers, server_version, source_version, job, engine, plan }
    }
}

/// The pipeline's options for `run`.
pub(crate) fn pipeline_options(
    config: &RunConfig,
    session: &BoundSession,
) -> Result<PipelineOptions, Failure> {
    let options = write_options(&config.faults, session)?;
    Ok(PipelineOptions { dry_run: config.dry_run, ..options })
}

/// The pipeline's options for a command that writes.
pub(crate) fn write_options(
    faults: &FaultArguments,
    session: &BoundSession,
) -> Result<PipelineOptions, Failure> {
    Ok(PipelineOptions {
        retry: retry(faults),
        outage_wait: faults.outage_wait,
        drain_timeout: faults.drain_timeout,
        max_failed_chunks: faults.max_failed_chunks,
        ..fail_fast_options(session)?
    })
}

/// The pipeline's options for a trial: no waiting in outages, and the first failed chunk ends it.
pub(crate) fn fail_fast_options(session: &BoundSession) -> Result<PipelineOptions, Failure> {
    let BoundSession { job, engine, throughput, .. } = session;
    let ThroughputArguments { batch_size, stream_block_size, .. } = *throughput;
    let Resources { readers, inserters, memory, .. } = session.resources();
    require_server_engine(job, engine)?;
    Ok(PipelineOptions {
        engine: engine.engine,
        format: row_format(throughput.insert_format, job)?,
        read_format: match blocks_read(throughput, job) {
            Ok(true) => ReadFormat::Native,
            Ok(false) | Err(_) => ReadFormat::RowBinary,
        },
        batch_rows: batch_size,
        stream_block_rows: stream_block_size,
        outage_wait: Duration::ZERO,
        drain_timeout: Duration::ZERO,
        max_failed_chunks: 0,
        ..PipelineOptions::new(job, &memory, readers, inserters)
    })
}

/// The stage of a job that replaces a partition is filled by the server.
fn require_server_engine(job: &BoundJob, engine: &EngineDecision) -> Result<(), Failure> {
    if job.publish == Publish::InPlace || engine.engine == Engine::Server {
        return Ok(());
    }
    let message = format!(
        "{} has publish = \"replace\", and only --engine server builds a partition beside the target",
        job.origin
    );
    Err(Failure::usage(message)
        .hint("--engine server")
        .hint("publish = \"in_place\" inserts the rows into the target"))
}

/// How often statements are retried.
fn retry(faults: &FaultArguments) -> RetryPolicy {
    RetryPolicy { max_retries: faults.retries.max_retries, ..RetryPolicy::default() }
}

/// How long queries before the first row are retried.
pub(crate) fn startup_retry(faults: &FaultArguments, stop: &Stop) -> StartupRetry {
    StartupRetry {
        retry: retry(faults),
        outage_wait: faults.outage_wait,
        stop: stop.clone(),
        status: Arc::default(),
    }
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

/// Whether the source is read in blocks; or why not, where that was wanted.
fn blocks_read(throughput: &ThroughputArguments, job: &BoundJob) -> Result<bool, String> {
    if throughput.read_format != ReadFormatChoice::Native {
        return Ok(false);
    }
    job.source_blocks.as_ref().map_err(String::clone)?;
    job.native_layout.as_ref().map_err(String::clone)?;
    if throughput.insert_format == FormatChoice::Rowbinary {
        return Err("blocks are only passed on as blocks".to_owned());
    }
    if !job.target.is_replacing() {
        let table = &job.target.name;
        return Err(format!(
            "{table} does not collapse repeated rows, so batches must repeat exactly"
        ));
    }
    Ok(true)
}

/// The note where blocks were wanted and rows are read.
fn read_remark(throughput: &ThroughputArguments, job: &BoundJob) -> Option<String> {
    let reason = blocks_read(throughput, job).err()?;
    Some(format!("the source is read as RowBinary: {reason}"))
}

/// The indentation of values.
const VALUES: usize = 14;

/// A run, as it is described before its first row.
pub(crate) struct Described<'a> {
    pub session: &'a Session,
    pub options: &'a PipelineOptions,
    pub run_id: &'a str,
    pub load: Option<&'a Load>,
    pub part: WorkerPart,
    /// The chunks of `--canary`.
    pub canary: Option<String>,
    /// Whether everything is described, with `-v`.
    pub in_detail: bool,
}

impl Described<'_> {
    /// The text, wrapped to a width.
    pub(crate) fn text(&self, width: usize) -> String {
        let Self { session, options, run_id, .. } = self;
        let mut text =
            format!("{} {}, run {run_id}\n", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        text.push_str(&servers_and_tables(session, self.in_detail));
        if self.in_detail {
            text.push_str(&self.details());
        } else {
            line(&mut text, "engine", &engine(session, options));
        }
        if let Some(reason) = &session.engine.reason {
            line(&mut text, "chosen", &format!("{}: {reason}", session.engine.engine.as_str()));
        }
        for left_out in &session.job.left_out {
            line(&mut text, "left out", &format!("{}: {}", left_out.name, left_out.reason));
        }
        let chunks = self.load.map(Load::chunk_counts).unwrap_or_default();
        if chunks.before > 0 {
            let (before, total) = (count(chunks.before), counted(chunks.total, "chunk"));
            line(&mut text, "resumed", &format!("{before} of {total} done by earlier runs"));
        }
        if self.part.workers > 1 {
            let chunks = self.part.range_of(session.plan.chunks.len());
            let chunks = format!("{}, chunks {} to {}", self.part, chunks.start + 1, chunks.end);
            line(&mut text, "worker", &chunks);
        }
        if let Some(canary) = &self.canary {
            line(&mut text, "canary", canary);
        }
        if options.dry_run {
            line(&mut text, "dry run", "yes, nothing is written");
        }
        wrap_block(&text, VALUES, width)
    }

    /// What the short description leaves out.
    fn details(&self) -> String {
        let Self { session, options, .. } = self;
        let mut text = String::new();
        if !session.job.defaults.is_empty() {
            line(&mut text, "defaults", &session.job.defaults.join(", "));
        }
        match options.engine {
            Engine::Stream => {
                if options.read_format == ReadFormat::Native {
                    line(&mut text, "reads", "native blocks, whose columns are passed on");
                }
                line(&mut text, "batches", &batches(options));
                let memory = &session.plan.memory;
                let (total, attributes) = (bytes(memory.total), bytes(memory.attributes));
                let memory = format!("at most {total}, of which {attributes} for attributes");
                line(&mut text, "memory", &memory);
            }
            Engine::Server => {
                line(&mut text, "engine", &engine(session, options));
                if let Some(remote) = session.servers.remote_source() {
                    let address = remote.address();
                    let reads = format!("the target's server reads the source at {address}");
                    line(&mut text, "reads", &reads);
                }
            }
        }
        if let Some(place) = self.load.and_then(Load::recorded_in) {
            line(&mut text, "ledger", &place);
        }
        text
    }
}

/// The engine and its limits.
fn engine(session: &Session, options: &PipelineOptions) -> String {
    match options.engine {
        Engine::Stream => format!(
            "stream; {}, {}, at most {} of memory",
            concurrency(options.readers, "reader"),
            concurrency(options.inserters, "inserter"),
            bytes(session.plan.memory.total)
        ),
        Engine::Server => format!(
            "server: one INSERT … SELECT a chunk; {} at once, {}",
            concurrency(options.inserters, "insert"),
            counted(u64::from(options.retry.max_retries), "retry")
        ),
    }
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
pub(crate) fn servers_and_tables(session: &Session, in_detail: bool) -> String {
    let mut text = servers(session);
    let Session { job, plan, .. } = session;
    let name = if job.name == job.origin {
        job.name.clone()
    } else {
        format!("{} ({})", job.name, job.origin)
    };
    if in_detail {
        line(&mut text, "job", &name);
    }
    line(&mut text, "source", &source(job, plan));
    for object in plan.bounds.objects.iter().take(OBJECTS) {
        line(&mut text, "", &object_words(object));
    }
    if plan.bounds.objects.len() > OBJECTS {
        let more = plan.bounds.objects.len() - OBJECTS;
        line(&mut text, "", &format!("and {} more", count(more as u64)));
    }
    if let Some(before) = &job.before {
        line(&mut text, "before", &format!("{} < {}", before.column, before.moment));
    }
    if let Some((newest_by, older)) = job.newest_by.as_ref().zip(plan.scope.older.as_ref()) {
        let read = older.read_rows.map_or_else(String::new, |rows| {
            format!(
                ", found by reading these columns and the sorting key of {}",
                counted(rows, "row")
            )
        });
        let left_out = counted(older.rows, "older row");
        let newest_by = newest_by.columns.join(", ");
        line(&mut text, "newest by", &format!("{newest_by}: {left_out} left out{read}"));
    }
    if !job.filters.is_empty() {
        let names: Vec<_> = job.filters.iter().map(|(name, _)| name.as_str()).collect();
        line(&mut text, "where", &names.join(", "));
    }
    if let Some(lookup) = job.lookup.as_ref().filter(|_| in_detail) {
        let keys: Vec<_> = lookup.keys.iter().map(|key| key.lookup.as_str()).collect();
        line(&mut text, "lookup", &format!("{} by {}", lookup.table.name, keys.join(", ")));
    }
    let columns = counted(job.columns.len() as u64, "column");
    let by = if in_detail { String::new() } else { format!(", by the job {name}") };
    let target = format!("{} ({}), {columns}{by}", job.target.name, job.target.engine);
    line(&mut text, "target", &target);
    for remark in &job.remarks {
        line(&mut text, "note", remark);
    }
    text
}

/// How many objects are named.
const OBJECTS: usize = 8;

/// The source, and how it is divided.
fn source(job: &BoundJob, plan: &Plan) -> String {
    let (name, partition) = (&job.source.name, &plan.partition);
    let chunks = counted(plan.chunks.len() as u64, "chunk");
    if let Some(objects) = &job.objects {
        let rows =
            objects.rows().map_or_else(|| "unknown rows".to_owned(), |rows| counted(rows, "row"));
        let size = objects.bytes().map_or_else(|| "unknown size".to_owned(), bytes);
        let version = objects.version.as_ref();
        let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
        let objects = counted(objects.pins.len() as u64, "object");
        return format!(
            "{name}, period {partition}{version}: {rows} in {objects}, {size}, {chunks}"
        );
    }
    if job.postgres.is_some() {
        return format!(
            "{name}, period {partition}: {}, {chunks}",
            counted(plan.stored_rows, "row")
        );
    }
    let size = if plan.stored_bytes == 0 && plan.stored_rows > 0 {
        "unknown size".to_owned()
    } else {
        bytes(plan.stored_bytes)
    };
    format!(
        "{name}, partition {partition}: {} in {}, {size}, {chunks}",
        counted(plan.stored_rows, "stored row"),
        counted(plan.parts, "part")
    )
}

/// An object, in words.
fn object_words(object: &PinnedObject) -> String {
    let rows = object.rows.map(|rows| format!(", {}", counted(rows, "row"))).unwrap_or_default();
    let size = object.size.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
    format!("{}{rows}{size}, {}", object.path, object.identity)
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
        let evaluates = match (session.engine.engine, servers.remote_source()) {
            (Engine::Server, Some(_)) => "source's",
            _ => "target's",
        };
        let note = format!(
            "the servers' versions differ; the {evaluates} server evaluates the expressions"
        );
        line(&mut text, "note", &note);
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

/// Which partitions of the source have rows, behind the words that this one has none; empty if that
/// cannot be asked.
pub(crate) async fn partitions_with_rows(session: &Session) -> String {
    const SHOWN: usize = 6;
    let found = partitions(&session.servers.source, &session.job.source.name).await;
    let Ok(found) = found else { return String::new() };
    let ids: Vec<_> = found.iter().map(|partition| partition.id.as_str()).collect();
    match &*ids {
        [] => "\nhint: the table has no rows at all".to_owned(),
        few if few.len() <= SHOWN => format!("\nhint: there are rows in {}", few.join(", ")),
        [first, .., last] => {
            format!("\nhint: there are rows in {} partitions, {first} to {last}", ids.len())
        }
        [_] => String::new(),
    }
}
