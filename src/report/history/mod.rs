//! The runs of all partitions, and what is missing between them.

mod gather;
mod summary;
mod text;

use serde::Serialize;

use crate::ledger::{LoadStatus, Timestamp};

pub use gather::{Filling, HistoryOptions, gather};
pub use text::text;

/// What was done of all partitions by one job. Its field names are a contract with scripts.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    /// The job's name.
    pub job: String,
    /// The source table, with its database.
    pub source: String,
    /// The target table, with its database.
    pub target: String,
    /// In one line: `202401–202510 done, 202511 failed at 63 %, 202512 not started`.
    pub summary: String,
    /// Every partition that the source has or that the ledger knows, by its id.
    pub partitions: Vec<PartitionHistory>,
}

/// What was done of one partition.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionHistory {
    /// The partition's id.
    pub partition: String,
    /// How far it is.
    pub state: State,
    /// How much of it is done, rounded down; `null` where nothing was begun.
    pub percent: Option<u64>,
    /// Stored rows of the source, versions not collapsed; `null` where that is not known.
    pub source_rows: Option<u64>,
    /// Its loads, the newest first; the one that counts before all others.
    pub loads: Vec<LoadHistory>,
}

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every chunk is done.
    Done,
    /// A process is at it.
    Running,
    /// Something failed for good.
    Failed,
    /// It was stopped in order.
    Interrupted,
    /// Its process is gone without a word.
    Killed,
    /// The source has rows, and the ledger knows nothing of them.
    NotStarted,
}

/// One load of a partition.
#[derive(Clone, Debug, Serialize)]
pub struct LoadHistory {
    /// Its identity.
    pub run_id: String,
    /// Whether this is the version that counts.
    pub is_current: bool,
    /// As the ledger has it.
    pub status: LoadStatus,
    /// How many chunks it has.
    pub chunks: u64,
    /// How many of them are completed.
    pub chunks_completed: u64,
    /// How many of them failed.
    pub chunks_failed: u64,
    /// Rows that an independent count found.
    pub rows_expected: Option<u64>,
    /// Rows inserted.
    pub rows_inserted: u64,
    /// Rows that found no attributes.
    pub unmatched: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// From its beginning to its completion, pauses included.
    pub seconds: Option<f64>,
    /// Why it failed.
    pub error: String,
    /// Why the first of its failed chunks failed.
    pub chunk_error: String,
    /// Who is at it: worker, host and process.
    pub at_work: Vec<String>,
}

impl State {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Killed => "killed",
            Self::NotStarted => "not started",
        }
    }
}
