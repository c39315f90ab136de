//! What there is to say of a run, for another process.

use serde::Serialize;

use super::handle::Control;
use super::rules::{MaxParts, Rules};
use crate::control::monitor::Sample;
use crate::engine::stream::{Snapshot, ThrottleLimits};

/// What is filled, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The job's name.
    pub job: String,
    /// The source table.
    pub source: String,
    /// The target table.
    pub target: String,
    /// The partition.
    pub partition: String,
    /// Whether nothing is written.
    pub dry_run: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// What is filled.
    #[serde(flatten)]
    pub subject: Subject,
    /// The load's identity, once it is known.
    pub run_id: Option<String>,
    /// The process id.
    pub process: u32,
    /// The program's version.
    pub version: &'static str,
    /// `plan`, `lookup`, `stream` or `done`.
    pub phase: &'static str,
    /// How far it is.
    pub progress: Progress,
    /// Why it waits; empty while it does not.
    pub waiting: Vec<String>,
    /// Whether `ctl pause` is one of the reasons.
    pub paused: bool,
    /// Whether it finishes what is in flight, and then ends.
    pub stopping: bool,
    /// How much is done at once.
    pub limits: ThrottleLimits,
    /// When it waits.
    pub rules: RuleValues,
    /// Of these rules, those that have no effect: the user may not read the figure, or the server
    /// has none. Empty until the server was asked.
    pub rules_without_effect: Vec<&'static str>,
    /// How the server is.
    pub server: Sample,
}

/// How far a run is.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Rows whose insert was acknowledged.
    pub rows: u64,
    /// How many there will be; not known at first.
    pub rows_expected: Option<u64>,
    /// Rows read.
    pub rows_read: u64,
    /// Rows of the lookup table read.
    pub lookup_rows: u64,
    /// Chunks of which every row was acknowledged.
    pub chunks_done: u64,
    /// Chunks that failed.
    pub chunks_failed: u64,
    /// Chunks in all.
    pub chunks: u64,
    /// Inserts in flight.
    pub inserts_in_flight: u64,
    /// Statements that were tried again.
    pub retries: u64,
}

/// The rules under the names of their flags.
#[derive(Clone, Debug, Serialize)]
pub struct RuleValues {
    /// As it was set.
    pub max_parts: MaxParts,
    /// The limit that follows from it.
    pub parts_limit: Option<u64>,
    /// Merges under way.
    pub max_merges: Option<u64>,
    /// Memory of the server, in percent.
    pub max_server_memory_used: Option<u8>,
    /// The replica's delay.
    pub max_replica_delay_seconds: Option<u64>,
    /// The time of the day, such as `22:00-06:00`.
    pub window: Option<String>,
}

impl RuleValues {
    fn new(rules: &Rules, sample: &Sample) -> Self {
        Self {
            max_parts: rules.max_parts,
            parts_limit: rules.parts_limit(sample),
            max_merges: rules.max_merges,
            max_server_memory_used: rules.max_server_memory_percent,
            max_replica_delay_seconds: rules.max_replica_delay.map(|delay| delay.as_secs()),
            window: rules.window.map(|window| window.to_string()),
        }
    }
}

impl From<Snapshot> for Progress {
    fn from(numbers: Snapshot) -> Self {
        Self {
            rows: numbers.inserted_rows,
            rows_expected: numbers.rows_expected(),
            rows_read: numbers.source_rows,
            lookup_rows: numbers.lookup_rows,
            chunks_done: numbers.chunks_done,
            chunks_failed: numbers.chunks_failed,
            chunks: numbers.chunks,
            inserts_in_flight: numbers.inserts_in_flight,
            retries: numbers.retries,
        }
    }
}

impl Control {
    /// Everything at this moment.
    pub fn status(&self) -> Status {
        let (server, rules) = (self.sample(), self.rules());
        Status {
            subject: self.subject().clone(),
            run_id: self.run_id(),
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            phase: self.counters().phase().name(),
            progress: self.counters().snapshot().into(),
            waiting: self.reasons(),
            paused: self.is_paused(),
            stopping: self.is_stopping(),
            limits: self.limits(),
            rules: RuleValues::new(&rules, &server),
            rules_without_effect: if self.is_sampled() {
                rules.without_effect(&server)
            } else {
                Vec::new()
            },
            server,
        }
    }
}
