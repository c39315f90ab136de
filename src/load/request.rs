//! What a load is asked to be, and its definition: what must be the same when it is continued.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clickhouse::Servers;
use crate::engine::stream::{Counters, PipelineOptions, RowSampler, Throttle};
use crate::job::{BoundJob, Publish};
use crate::ledger::definition::{BatchDefinition, FORMAT_VERSION};
use crate::ledger::{LedgerLocation, LoadDefinition, WorkerPart, job_definition};
use crate::plan::{Partition, PlanOptions};
use crate::retry::StartupRetry;
use crate::stop::Stop;
use crate::verify::Share;

/// What is filled, and how.
pub(crate) struct LoadRequest {
    /// Where is read and written.
    pub servers: Servers,
    /// The version of ClickHouse at the target.
    pub server_version: String,
    /// The same at the source.
    pub source_version: String,
    /// The job, held against the tables.
    pub job: Arc<BoundJob>,
    /// The partition.
    pub partition: Partition,
    /// How it is cut, where it is not resumed.
    pub plan: PlanOptions,
    /// Whether a load that was started with chunks of another size is continued with those.
    pub keeps_chunk_rows: bool,
    /// How the pipeline works.
    pub pipeline: PipelineOptions,
    /// What is recorded, and where. `None`, as in a dry run, records nothing: the load begins from
    /// the beginning and claims nothing.
    pub recording: Option<Recording>,
    /// Whether rows that are sent twice may stay twice in the target.
    pub allow_duplicates: bool,
    /// Names of preflight checks that are downgraded to warnings.
    pub skipped_checks: Vec<String>,
    /// Numbers for those who watch.
    pub counters: Arc<Counters>,
    /// For stopping it.
    pub stop: Stop,
    /// For holding it back.
    pub throttle: Arc<Throttle>,
    /// Who keeps the first rows.
    pub sampler: Option<Arc<RowSampler>>,
    /// What is kept of this moment beside the counters.
    pub observe: Observe,
}

/// Tells the surroundings of a run at this moment.
pub(crate) type Observe = Arc<dyn Fn() -> HostStats + Send + Sync>;

/// What the pipeline does not know of itself. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostStats {
    /// Active parts of the fullest partition of the target.
    pub active_parts: Option<u64>,
    /// Merges under way on the server.
    pub merges: Option<u64>,
    /// Memory that the server holds, in bytes.
    pub server_memory_bytes: Option<u64>,
    /// Memory that it may hold, in bytes.
    pub server_memory_limit_bytes: Option<u64>,
    /// Memory that this process holds, in bytes.
    pub client_memory_bytes: Option<u64>,
    /// Why the run starts no chunk; empty where it does not wait.
    pub waiting: String,
}

impl LoadRequest {
    /// A load that is neither shown nor recorded, and claims nothing. The fields say what else there
    /// is.
    pub(crate) fn new(
        servers: Servers,
        server_version: String,
        job: Arc<BoundJob>,
        partition: Partition,
        plan: PlanOptions,
        pipeline: PipelineOptions,
    ) -> Self {
        let throttle = Throttle::new(pipeline.readers, pipeline.inserters);
        Self {
            servers,
            source_version: server_version.clone(),
            server_version,
            job,
            partition,
            plan,
            keeps_chunk_rows: false,
            pipeline,
            recording: None,
            allow_duplicates: false,
            skipped_checks: Vec::new(),
            counters: Arc::default(),
            stop: Stop::default(),
            throttle,
            sampler: None,
            observe: Arc::new(HostStats::default),
        }
    }

    /// How long what comes before the first row is asked again.
    pub(super) fn startup_retry(&self) -> StartupRetry {
        StartupRetry {
            retry: self.pipeline.retry,
            outage_wait: self.pipeline.outage_wait,
            stop: self.stop.clone(),
            status: Arc::default(),
        }
    }
}

/// The age of a heartbeat that makes a claim a dead process's, unless `--claim-timeout` says otherwise.
pub(super) const CLAIM_TIMEOUT: Duration = Duration::from_secs(60);

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// Where.
    pub location: LedgerLocation,
    /// The database of the ledger's tables.
    pub database: String,
    /// Which part of the chunks this process works on.
    pub part: WorkerPart,
    /// The share of the chunks to fill, spread over the partition; `None` for all of them.
    pub canary: Option<Share>,
    /// A claim without a heartbeat for this time is that of a dead process.
    pub claim_timeout: Duration,
    /// Whether a new version of the load begins, whatever became of the one before.
    pub restart: bool,
    /// How long a ledger that cannot be reached is tried again, before the run stops.
    pub patience: Duration,
}

impl Recording {
    /// In tables of this database, by the only process that works on the load.
    pub(crate) fn in_tables(database: &str) -> Self {
        Self {
            location: LedgerLocation::Tables,
            database: database.to_owned(),
            part: WorkerPart::WHOLE,
            canary: None,
            claim_timeout: CLAIM_TIMEOUT,
            restart: false,
            patience: Duration::from_secs(300),
        }
    }
}

/// A new id for a run or a process: the seconds since 1970 and a random number, in hexadecimal, so
/// that ids sort by time.
pub(crate) fn new_id() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{seconds:08x}{:08x}", rand::random::<u32>())
}

/// The definition of a load. Options that change only its speed are not in it.
pub(crate) fn definition(
    job: &BoundJob,
    options: &PipelineOptions,
    chunk_rows: u64,
    servers: &Servers,
    server_version: &str,
) -> LoadDefinition {
    // A target of another engine recognizes a repeated batch only if it is cut at the same rows.
    let is_recognized = !job.target.is_replacing() && job.publish == Publish::InPlace;
    let batches = is_recognized.then(|| batches(job, options));
    LoadDefinition {
        format_version: FORMAT_VERSION,
        server_version: server_version.to_owned(),
        chunk_rows,
        job: job_definition(job, servers),
        batches,
    }
}

fn batches(job: &BoundJob, options: &PipelineOptions) -> BatchDefinition {
    let source = job.source_columns.iter().map(|column| format!("source.{}", column.name));
    let lookup = job.lookup.iter().flat_map(|lookup| &lookup.columns);
    let lookup = lookup.map(|column| format!("lookup.{}", column.name));
    BatchDefinition {
        rows: options.batch_rows,
        bytes: options.batch_bytes,
        late_bytes: job.has_deferred_lookup().then_some(options.deferred.reader),
        columns: source.chain(lookup).collect(),
    }
}
