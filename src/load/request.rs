//! What a load is asked to be.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clickhouse::Servers;
use crate::job::BoundJob;
use crate::ledger::{LedgerLocation, Slot};
use crate::pipeline::{Counters, PipelineOptions, Sampler, Stop};
use crate::plan::{Partition, PlanOptions};

/// What is filled, and how.
pub struct LoadRequest {
    /// Where is read and written.
    pub servers: Servers,
    /// The version of ClickHouse at the target.
    pub server_version: String,
    /// The job, held against the tables.
    pub job: Arc<BoundJob>,
    /// The partition.
    pub partition: Partition,
    /// How it is cut, where it is not resumed.
    pub plan: PlanOptions,
    /// How the pipeline works.
    pub pipeline: PipelineOptions,
    /// What is recorded, and where. `None`, as in a dry run, records nothing: the load begins from the beginning and excludes nobody.
    pub recording: Option<Recording>,
    /// Whether rows that are sent twice may stay twice in the target.
    pub allow_duplicates: bool,
    /// Numbers for those who watch.
    pub counters: Arc<Counters>,
    /// For stopping it.
    pub stop: Stop,
    /// Who keeps the first rows.
    pub sampler: Option<Arc<Sampler>>,
}

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Where.
    pub location: LedgerLocation,
    /// The database of the ledger's tables.
    pub database: String,
    /// Which part of the chunks this process works on.
    pub slot: Slot,
    /// A claim without heartbeats for so long is taken for dead.
    pub claim_timeout: Duration,
    /// Whether a new version of the load begins, whatever became of the one before.
    pub restart: bool,
    /// How long a ledger that cannot be reached is tried again, before the run stops.
    pub patience: Duration,
}

/// A new id for a run or a process: the seconds since 1970 and a random number, in hexadecimal, so that ids sort by time.
pub fn new_id() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{seconds:08x}{:08x}", rand::random::<u32>())
}
