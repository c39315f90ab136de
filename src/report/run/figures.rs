//! All that a report says, as figures.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::course::CoursePoint;
use crate::ledger::{ChunkStatus, LoadStatus, Timestamp};

/// The figures of one run. The names of the fields are a contract: scripts read them from `report
/// --format json`.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// When the report was made.
    pub reported_at: Timestamp,
    /// By which version of this program.
    pub reported_by: String,
    /// What is to be said of it before all else.
    pub verdict: Verdict,
    /// What was filled, and how much of it is done.
    pub load: LoadFigures,
    /// The processes that worked on it, the first one first.
    pub processes: Vec<ProcessFigures>,
    /// How it went; empty where no samples were kept.
    pub course: Vec<CoursePoint>,
    /// Its chunks, by their numbers.
    pub chunks: Vec<ChunkFigures>,
    /// What fills each column of the target.
    pub mapping: Vec<Column>,
    /// What else decides the result: statements, settings, keys, engines.
    pub definition: BTreeMap<String, String>,
    /// What comparisons found, the newest first.
    pub verifications: Vec<VerificationFigures>,
}

/// In one line.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// How good it is.
    pub level: VerdictLevel,
    /// The words.
    pub text: String,
    /// What to do next; empty where nothing is left.
    pub next: String,
}

/// How good a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictLevel {
    /// Everything was done, and compared.
    Good,
    /// Something is left to do.
    Open,
    /// Something is wrong.
    Bad,
}

/// What was filled, and how much of it is done.
#[derive(Clone, Debug, Serialize)]
pub struct LoadFigures {
    /// The load's identity.
    pub run_id: String,
    /// The job's name.
    pub job: String,
    /// The source table.
    pub source: String,
    /// The target table.
    pub target: String,
    /// The partition's id.
    pub partition: String,
    /// Whether it is the version that counts.
    pub is_current: bool,
    /// How far it is, as the ledger has it.
    pub status: LoadStatus,
    /// Why it failed.
    pub error: String,
    /// How many chunks it has.
    pub chunks: u64,
    /// How many of them are completed.
    pub chunks_completed: u64,
    /// How many of them failed.
    pub chunks_failed: u64,
    /// Rows that an independent count of the source found.
    pub rows_expected: Option<u64>,
    /// Rows read, over all completed chunks.
    pub rows_read: u64,
    /// Rows inserted, over all completed chunks.
    pub rows_inserted: u64,
    /// Rows that found attributes inside the lookup's window.
    pub matched: u64,
    /// Rows that found them outside of it.
    pub matched_late: u64,
    /// Rows that found none.
    pub unmatched: u64,
    /// Bytes inserted, over all completed chunks.
    pub bytes_inserted: u64,
    /// Batches acknowledged, over all completed chunks.
    pub batches: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was completed; else, when something was last heard of it.
    pub ended_at: Option<Timestamp>,
    /// From the one to the other, pauses included.
    pub seconds: f64,
    /// Rows inserted for each of these seconds.
    pub rows_per_second: f64,
    /// Statements that were tried again, over all processes.
    pub retries: u64,
    /// The version of this program that wrote the record.
    pub tool_version: String,
    /// The version of ClickHouse when it began.
    pub server_version: String,
}

/// One process that worked on it.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessFigures {
    /// Its claim.
    pub claim_id: String,
    /// Worker, host and process.
    pub worker: String,
    /// Its first sample.
    pub began_at: Option<Timestamp>,
    /// Its last one.
    pub ended_at: Option<Timestamp>,
    /// Rows that it inserted.
    pub rows_inserted: u64,
    /// Statements that it tried again.
    pub retries: u64,
    /// The most memory that it was seen to hold.
    pub memory_bytes: Option<u64>,
    /// The slowest insert.
    pub insert_max_seconds: Option<f64>,
    /// What it was started with.
    pub settings: BTreeMap<String, String>,
}

/// One chunk.
#[derive(Clone, Debug, Serialize)]
pub struct ChunkFigures {
    /// Its number, from 1.
    pub chunk: u64,
    /// How far it is.
    pub status: ChunkStatus,
    /// From its first row to the last acknowledgement.
    pub seconds: Option<f64>,
    /// How often it was read again; 0 where nothing was in the way.
    pub retries: u64,
    /// Rows inserted.
    pub rows_inserted: u64,
    /// Bytes inserted.
    pub bytes_inserted: u64,
    /// Who did it.
    pub worker: String,
    /// Its range as a predicate on the source.
    pub range: String,
    /// Why it failed.
    pub error: String,
}

/// A column of the target and what fills it.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub column: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The expression.
    pub expression: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct VerificationFigures {
    /// When.
    pub verified_at: Option<Timestamp>,
    /// Whether the target was what the job makes of the source.
    pub equal: bool,
    /// Rows that the job makes.
    pub expected_rows: u64,
    /// Rows of the target.
    pub target_rows: u64,
    /// Rows that differ.
    pub differences: u64,
    /// What was compared, where it was not all.
    pub sample: String,
    /// How long it took.
    pub seconds: f64,
    /// All that it found, as `verify --json` prints it; `null` where that cannot be read.
    pub report: Value,
}
