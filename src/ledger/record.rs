//! The records of a load and of its chunks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Timestamp};

/// What is filled, by what, from what. Two loads of one key are two versions of the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadKey {
    /// The job's name.
    pub job: String,
    /// The source table, with its database.
    pub source_table: String,
    /// The target table, with its database.
    pub target_table: String,
    /// The id of the source's partition.
    pub partition_id: String,
}

impl fmt::Display for LoadKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, source_table, target_table, partition_id } = self;
        write!(formatter, "partition {partition_id} of {source_table} into {target_table} by {job}")
    }
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadStatus {
    /// Somebody is at it, or was killed over it.
    Started,
    /// Every chunk is done, and the source was counted.
    Completed,
    /// Something failed for good.
    Failed,
    /// It was stopped in order.
    Interrupted,
}

impl LoadStatus {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One load: one row of `load_state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRecord {
    /// What it fills.
    #[serde(flatten)]
    pub key: LoadKey,
    /// Its identity, which stays the same however often it is resumed.
    pub run_id: String,
    /// Whether this is the version of the load that counts.
    pub is_current: bool,
    /// How far it is.
    pub status: LoadStatus,
    /// Why it failed.
    pub error: String,
    /// The hash of all that decides its result.
    pub fingerprint: String,
    /// The parts of the fingerprint.
    pub definition: Fingerprint,
    /// The bounds of its chunks, serialised by the planner.
    pub chunk_bounds: String,
    /// How many chunks it has.
    pub chunks: u64,
    /// How many of them are completed.
    pub chunks_completed: u64,
    /// How many of them failed.
    pub chunks_failed: u64,
    /// Rows that an independent count found when it began.
    pub rows_expected: Option<u64>,
    /// Rows read, over all completed chunks.
    pub rows_read: u64,
    /// Rows inserted, over all completed chunks.
    pub rows_inserted: u64,
    /// Rows that found attributes inside the lookup window.
    pub matched: u64,
    /// Rows that found them outside of it.
    pub matched_late: u64,
    /// Rows that found none.
    pub unmatched: u64,
    /// The version of this program that wrote the row.
    pub tool_version: String,
    /// The version of ClickHouse when it began.
    pub server_version: String,
    /// When it began; `None` lets the ledger's clock say it.
    pub started_at: Option<Timestamp>,
    /// When it was completed; where that is `None` and the status is completed, the ledger's clock
    /// says it.
    pub completed_at: Option<Timestamp>,
}

impl LoadRecord {
    /// Adds up what its chunks say, unless it has done so for good: what a load that is not at its
    /// end says of them is as old as its last end.
    pub fn catch_up(&mut self, chunks: &[ChunkRecord]) {
        if self.status != LoadStatus::Completed {
            self.add_up(chunks);
        }
    }

    /// Adds up what its chunks say.
    pub fn add_up(&mut self, chunks: &[ChunkRecord]) {
        let done = || chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Completed);
        let sum = |figure: fn(&ChunkRecord) -> u64| done().map(figure).sum();
        self.chunks_completed = done().count() as u64;
        self.chunks_failed =
            chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Failed).count() as u64;
        self.rows_read = sum(|chunk| chunk.rows_read);
        self.rows_inserted = sum(|chunk| chunk.rows_inserted);
        self.matched = sum(|chunk| chunk.matched);
        self.matched_late = sum(|chunk| chunk.matched_late);
        self.unmatched = sum(|chunk| chunk.unmatched);
    }
}

/// How far a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkStatus {
    /// Not completed; some of its rows may have been inserted.
    Pending,
    /// Its stream ended cleanly, and every row of it was acknowledged.
    Completed,
    /// It failed for good in the last run; the next one tries it again.
    Failed,
}

/// One chunk: one row of `load_state_chunks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// The load.
    pub run_id: String,
    /// Its number in the load, from 0.
    pub chunk: u64,
    /// Its range as a predicate on the source; empty for the whole partition.
    pub range: String,
    /// How far it is.
    pub status: ChunkStatus,
    /// Who wrote the row, such as `1/1 host 4711`; empty while it is pending.
    pub worker: String,
    /// Attempts that the last run made.
    pub attempts: u64,
    /// Rows read.
    pub rows_read: u64,
    /// Rows inserted.
    pub rows_inserted: u64,
    /// Rows that found attributes inside the lookup window.
    pub matched: u64,
    /// Rows that found them outside of it.
    pub matched_late: u64,
    /// Rows that found none.
    pub unmatched: u64,
    /// Bytes inserted.
    pub bytes_inserted: u64,
    /// Batches acknowledged.
    pub batches: u64,
    /// The sum, modulo 2^128, of the hashes of its inserted rows; the same whatever their order.
    #[serde(with = "decimal")]
    pub hash: u128,
    /// Why it failed.
    pub error: String,
    /// When its reading began.
    pub started_at: Option<Timestamp>,
    /// When its last batch was acknowledged, or it failed.
    pub completed_at: Option<Timestamp>,
}

impl ChunkRecord {
    /// A chunk that nobody has begun.
    pub fn pending(run_id: &str, chunk: u64, range: &str) -> Self {
        Self {
            run_id: run_id.to_owned(),
            chunk,
            range: range.to_owned(),
            status: ChunkStatus::Pending,
            worker: String::new(),
            attempts: 0,
            rows_read: 0,
            rows_inserted: 0,
            matched: 0,
            matched_late: 0,
            unmatched: 0,
            bytes_inserted: 0,
            batches: 0,
            hash: 0,
            error: String::new(),
            started_at: None,
            completed_at: None,
        }
    }
}

/// JSON has no numbers of 128 bits that every reader keeps.
pub(super) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
