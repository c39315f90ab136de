//! The library's interface: a job against its servers, to plan, fill and verify partitions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::causes::error_chain;
use crate::clickhouse::{
    Connection, Endpoint, Error as ServerError, QueryPrefix, Servers, Timeouts, WireCompression,
};
use crate::engine::stream::{Concurrency, Counters, PipelineOptions};
use crate::ingest::TargetError;
use crate::job::{BindOptions, BoundJob, Job, JobError, bind, load, statements};
use crate::ledger::{Ledger, LedgerError};
use crate::load::{LoadError, LoadRequest, Prepared, Recording, new_id, prepare};
use crate::plan::{
    DEFAULT_CHUNK_ROWS, MemoryDemand, MemoryPlan, MemoryTooSmall, Partition, PartitionError,
    PlanError, PlanOptions, plan,
};
use crate::state::RunOutcome;
use crate::stop::Stop;
use crate::verify::{
    RecordedLoad, Report, Verifier, VerifyError, VerifyOptions, VerifyProgress, plan_with_chunks_of,
};

/// Time between two events of a run.
const EVENT_INTERVAL: Duration = Duration::from_millis(500);

/// A job that is bound to the tables of its servers.
///
/// It fills the same partitions in the same way as the program does, and records them in the same
/// ledger: a load that one of them began is continued by the other.
#[derive(Clone)]
pub struct Backfill {
    servers: Servers,
    source_version: String,
    target_version: String,
    job: Arc<BoundJob>,
    options: Options,
    stop: Stop,
}

/// How much a [`Backfill`] does at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Limit on the memory of attributes and batches, in bytes.
    pub memory_bytes: u64,
    /// Chunks that are read at once.
    pub readers: usize,
    /// Batches that are inserted at once.
    pub inserters: usize,
    /// Approximate maximum of rows in a chunk.
    pub chunk_rows: u64,
}

impl Default for Options {
    /// One GiB, two readers, two inserters, the program's chunks.
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, readers: 2, inserters: 2, chunk_rows: DEFAULT_CHUNK_ROWS }
    }
}

/// What a run would do with a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionPlan {
    /// Rows in the parts of the source's partition; versions and deletions are not collapsed.
    pub stored_rows: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// The statement whose result the target has afterwards.
    pub equivalent_join: String,
}

/// Progress of a run, in the chunks and rows of this run alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Chunks whose rows are all inserted.
    pub chunks_completed: u64,
    /// Chunks that were pending when the run began.
    pub chunks: u64,
    /// Rows read from the source.
    pub source_rows: u64,
    /// Rows whose insert the server has acknowledged.
    pub inserted_rows: u64,
    /// Inserted rows that found attributes.
    pub matched_rows: u64,
    /// Retries of statements.
    pub retries: u64,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunReport {
    /// How it ended.
    pub outcome: RunOutcome,
    /// What it did. All zero if there was nothing to do.
    pub progress: Progress,
}

/// The result of a comparison of the target with the equivalent join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Whether no row differs.
    pub equal: bool,
    /// Rows that the job makes.
    pub expected_rows: u64,
    /// Rows of the target that the job answers for.
    pub target_rows: u64,
    /// Number of differing rows.
    pub differing_rows: u64,
    /// Names of the columns that differ.
    pub columns: Vec<String>,
}

/// Why a call failed. Its text is one line with all causes.
#[derive(Debug, thiserror::Error)]
#[error("{}", error_chain(&**source))]
pub struct Error {
    kind: ErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The job, an argument or a table is not as it must be. No row was moved.
    Invalid,
    /// A server cannot be reached, or gave an error.
    Server,
    /// The load failed, or something prevents it. Completed chunks stay completed.
    Load,
    /// The comparison failed. Nothing was changed.
    Verify,
}

impl Error {
    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Makes an [`Error`] of each of these types.
macro_rules! errors {
    ($($source:ty => $kind:ident,)*) => {$(
        impl From<$source> for Error {
            fn from(source: $source) -> Self {
                Self { kind: ErrorKind::$kind, source: Box::new(source) }
            }
        }
    )*};
}

errors! {
    ServerError => Server,
    JobError => Invalid,
    PartitionError => Invalid,
    MemoryTooSmall => Invalid,
    PlanError => Load,
    LedgerError => Load,
    LoadError => Load,
    VerifyError => Verify,
    TargetError => Invalid,
}

impl Job {
    /// Reads the built-in job or else the file of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: there is neither, or the job has an error, whose line is named.
    pub fn load(name: &str) -> Result<Self, Error> {
        Ok(load(name)?)
    }

    /// Reads a job from the text of a job file.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], which names the line.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Ok(Self::parse("the job", text)?)
    }
}

impl Backfill {
    /// Connects to a server and binds the job to its tables.
    ///
    /// # Errors
    /// [`ErrorKind::Server`], and [`ErrorKind::Invalid`] if the job does not fit the tables.
    pub async fn connect(endpoint: Endpoint, job: &Job) -> Result<Self, Error> {
        Self::bind(Servers::one(connection(endpoint)?), job).await
    }

    /// Connects to two servers: rows are read from `source` and inserted into `target`.
    ///
    /// # Errors
    /// See [`connect`](Self::connect).
    pub async fn between(source: Endpoint, target: Endpoint, job: &Job) -> Result<Self, Error> {
        let (source, target) = (connection(source)?, connection(target)?);
        Self::bind(Servers::two(source, target, None), job).await
    }

    async fn bind(servers: Servers, job: &Job) -> Result<Self, Error> {
        let target_version = servers.target.hello().await?;
        let source_version = if servers.is_one_server() {
            target_version.clone()
        } else {
            servers.source.hello().await?
        };
        let job = bind(&servers, job, &BindOptions::default()).await?;
        if job.group.is_some() {
            let message = "it has [group], which the library does not fill; the command does";
            let (role, table) = ("target", job.target.name);
            return Err(JobError::Unfit { role, table, message: message.to_owned() }.into());
        }
        let job = Arc::new(job);
        let (options, stop) = (Options::default(), Stop::new());
        Ok(Self { servers, source_version, target_version, job, options, stop })
    }

    /// Replaces the options.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The signal that stops runs and comparisons: what is in flight is finished and recorded.
    pub fn stop_signal(&self) -> Stop {
        self.stop.clone()
    }

    /// Plans a partition: a month such as `202511`, or `id:` and the id of a partition.
    ///
    /// # Errors
    /// [`Error`]. Nothing is changed.
    pub async fn plan(&self, partition: &str) -> Result<PartitionPlan, Error> {
        let (source, partition) = (&self.servers.source, partition.parse()?);
        let plan = plan(source, &self.job, &partition, self.plan_options()?).await?;
        Ok(PartitionPlan {
            stored_rows: plan.stored_rows,
            chunks: plan.chunks.len() as u64,
            equivalent_join: statements::join(&self.job, &plan.scope.shown()),
        })
    }

    /// Fills a partition, and calls `on_progress` twice a second and at the end. A load that was
    /// interrupted is continued; one that is completed is left as it is.
    ///
    /// # Errors
    /// [`Error`]. Completed chunks are recorded; the next run continues after them.
    pub async fn run(
        &self,
        partition: &str,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<RunReport, Error> {
        let (plan, (readers, inserters)) = (self.plan_options()?, self.concurrency());
        let pipeline = PipelineOptions::new(&self.job, &plan.memory, readers, inserters);
        let request = LoadRequest {
            source_version: self.source_version.clone(),
            recording: Some(Recording::in_tables(self.servers.target.endpoint().database())),
            stop: self.stop.clone(),
            ..LoadRequest::new(
                self.servers.clone(),
                self.target_version.clone(),
                self.job.clone(),
                partition.parse()?,
                plan,
                pipeline,
            )
        };
        let counters = request.counters.clone();
        let outcome = match Box::pin(prepare(request)).await? {
            Prepared::Empty(_) => RunOutcome::Empty,
            Prepared::AlreadyComplete(_) => RunOutcome::CompletedBefore,
            Prepared::Ready(mut load) => {
                load.begin().await?;
                let mut run = Box::pin(load.run());
                loop {
                    tokio::select! {
                        outcome = &mut run => break outcome?,
                        () = tokio::time::sleep(EVENT_INTERVAL) => on_progress(progress(&counters)),
                    }
                }
            }
        };
        let progress = progress(&counters);
        on_progress(progress);
        Ok(RunReport { outcome, progress })
    }

    /// Compares a partition of the target with the equivalent join, column by column.
    ///
    /// # Errors
    /// [`Error`]. Nothing is changed.
    pub async fn verify(&self, partition: &str) -> Result<Comparison, Error> {
        let partition: Partition = partition.parse()?;
        let target = &self.servers.target;
        let location = Recording::in_tables(target.endpoint().database()).location;
        let ledger = Ledger::new(&location, target, target.endpoint().database());
        let load = RecordedLoad::find(ledger, &self.job, &partition).await;
        let options = PlanOptions { holds_attributes: false, ..self.plan_options()? };
        let (plan, run_id) =
            plan_with_chunks_of(load.as_ref(), &self.servers, &self.job, &partition, options)
                .await?;
        let options = VerifyOptions {
            load_began: load.as_ref().and_then(RecordedLoad::began),
            run_id,
            max_differences: 20,
            ..VerifyOptions::new(state_file())
        };
        let (servers, progress) = (self.servers.clone(), Arc::<VerifyProgress>::default());
        let (job, stop) = (&self.job, self.stop.clone());
        let mut verifier = Verifier::new(servers, job, &plan, options, progress, stop).await?;
        Ok(comparison(&verifier.run().await?))
    }

    fn concurrency(&self) -> (Concurrency, Concurrency) {
        let Options { readers, inserters, .. } = self.options;
        (Concurrency::Fixed(readers.max(1)), Concurrency::Fixed(inserters.max(1)))
    }

    fn memory(&self) -> Result<MemoryPlan, Error> {
        let (readers, inserters) = self.concurrency();
        let inserters = inserters.most() as u64;
        Ok(MemoryPlan::divide(MemoryDemand {
            total: self.options.memory_bytes,
            readers: readers.most() as u64,
            inserters,
            // Half of the memory is for batches: those in flight, and as many in the queue.
            batch_bytes: (self.options.memory_bytes / (4 * inserters)).clamp(1 << 20, 128 << 20),
            deferred: self.job.has_deferred_lookup(),
        })?)
    }

    fn plan_options(&self) -> Result<PlanOptions, Error> {
        let chunk_rows = self.options.chunk_rows;
        Ok(PlanOptions { chunk_rows, ..PlanOptions::new(self.memory()?) })
    }
}

pub(crate) fn connection(endpoint: Endpoint) -> Result<Connection, ServerError> {
    let queries = QueryPrefix::new(&new_id());
    Connection::new(endpoint, WireCompression::None, queries, Timeouts::default())
}

fn progress(counters: &Counters) -> Progress {
    let numbers = counters.snapshot();
    Progress {
        chunks_completed: numbers.chunks_done,
        chunks: numbers.chunks_pending,
        source_rows: numbers.source_rows,
        inserted_rows: numbers.inserted_rows,
        matched_rows: numbers.matched_rows + numbers.matched_late_rows,
        retries: numbers.retries,
    }
}

fn comparison(report: &Report) -> Comparison {
    Comparison {
        equal: report.equal,
        expected_rows: report.expected_rows,
        target_rows: report.target_rows,
        differing_rows: report.difference_count(),
        columns: report.columns.iter().map(|column| column.name.clone()).collect(),
    }
}

/// A file that only this comparison uses: another one cannot resume it.
fn state_file() -> PathBuf {
    std::env::temp_dir().join(format!("clickhouse-backfill-verify-{}.json", new_id()))
}
