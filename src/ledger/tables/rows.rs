//! Records as rows of the ledger's tables, written and read as
//! [JSONEachRow](https://clickhouse.com/docs/interfaces/formats/JSONEachRow).

use serde::{Deserialize, Serialize};

use super::super::record::decimal;
use super::super::{
    ChunkRecord, ChunkStatus, Claim, ClaimStatus, Fingerprint, LedgerError, LiveClaim, LoadKey,
    LoadRecord, LoadStatus, ProcessIdentity, Slot, Timestamp,
};
use std::time::Duration;

/// How rows of JSON become rows of a table: `INSERT INTO … (columns) SELECT values FROM
/// input(structure)`.
pub(super) struct InsertForm {
    pub columns: &'static str,
    pub values: &'static str,
    pub structure: &'static str,
}

/// A time that is known stays; one that is not becomes the server's present.
pub(super) const INSERT_LOAD: InsertForm = InsertForm {
    columns: "job, source_table, target_table, partition_id, run_id, is_current, status, error, fingerprint, definition, chunk_bounds, chunks, \
        chunks_completed, chunks_failed, rows_expected, rows_read, rows_inserted, matched, matched_late, unmatched, tool_version, server_version, \
        started_at, completed_at, updated_at",
    values: "job, source_table, target_table, partition_id, run_id, is_current, status, error, fingerprint, definition, chunk_bounds, chunks, \
        chunks_completed, chunks_failed, rows_expected, rows_read, rows_inserted, matched, matched_late, unmatched, tool_version, server_version, \
        ifNull(fromUnixTimestamp64Micro(started_us, 'UTC'), now64(6, 'UTC')), \
        if(status = 'completed' AND completed_us IS NULL, now64(6, 'UTC'), fromUnixTimestamp64Micro(completed_us, 'UTC')), now64(6, 'UTC')",
    structure: "job String, source_table String, target_table String, partition_id String, run_id String, is_current UInt8, status String, \
        error String, fingerprint String, definition String, chunk_bounds String, chunks UInt64, chunks_completed UInt64, chunks_failed UInt64, \
        rows_expected Nullable(UInt64), rows_read UInt64, rows_inserted UInt64, matched UInt64, matched_late UInt64, unmatched UInt64, \
        tool_version String, server_version String, started_us Nullable(Int64), completed_us Nullable(Int64)",
};

/// Times of chunks are this machine's, and are written as how long ago that was.
pub(super) const INSERT_CHUNKS: InsertForm = InsertForm {
    columns: "run_id, chunk, range, status, worker, attempts, rows_read, rows_inserted, matched, matched_late, unmatched, bytes_inserted, batches, \
        hash, error, started_at, completed_at, updated_at",
    values: "run_id, chunk, range, status, worker, attempts, rows_read, rows_inserted, matched, matched_late, unmatched, bytes_inserted, batches, \
        hash, error, now64(6, 'UTC') - toIntervalMicrosecond(started_ago), now64(6, 'UTC') - toIntervalMicrosecond(completed_ago), now64(6, 'UTC')",
    structure: "run_id String, chunk UInt64, range String, status String, worker String, attempts UInt64, rows_read UInt64, rows_inserted UInt64, \
        matched UInt64, matched_late UInt64, unmatched UInt64, bytes_inserted UInt64, batches UInt64, hash UInt128, error String, \
        started_ago Nullable(Int64), completed_ago Nullable(Int64)",
};

pub(super) const INSERT_CLAIM: InsertForm = InsertForm {
    columns: "job, source_table, target_table, partition_id, claim_id, worker, workers, run_id, status, host, pid, machine, process_started, \
        heartbeat_seconds, claimed_at, heartbeat_at",
    values: "job, source_table, target_table, partition_id, claim_id, worker, workers, run_id, status, host, pid, machine, process_started, \
        heartbeat_seconds, ifNull(fromUnixTimestamp64Micro(claimed_us, 'UTC'), now64(6, 'UTC')), now64(6, 'UTC')",
    structure: "job String, source_table String, target_table String, partition_id String, claim_id String, worker UInt32, workers UInt32, \
        run_id String, status String, host String, pid UInt32, machine String, process_started UInt64, heartbeat_seconds UInt32, \
        claimed_us Nullable(Int64)",
};

const KEY: &str = "job, source_table, target_table, partition_id";

pub(super) fn load_columns() -> String {
    format!(
        "{KEY}, run_id, is_current, status, error, fingerprint, definition, chunk_bounds, chunks, chunks_completed, chunks_failed, rows_expected, \
         rows_read, rows_inserted, matched, matched_late, unmatched, tool_version, server_version, \
         toUnixTimestamp64Micro(started_at) AS started_us, toUnixTimestamp64Micro(completed_at) AS completed_us"
    )
}

pub(super) fn chunk_columns() -> String {
    "run_id, chunk, range, status, worker, attempts, rows_read, rows_inserted, matched, matched_late, unmatched, bytes_inserted, batches, \
     toString(hash) AS hash, error, toUnixTimestamp64Micro(started_at) AS started_ago, toUnixTimestamp64Micro(completed_at) AS completed_ago"
        .to_owned()
}

pub(super) fn claim_columns() -> String {
    format!(
        "{KEY}, claim_id, worker, workers, run_id, status, host, pid, machine, process_started, heartbeat_seconds, \
         toUnixTimestamp64Micro(claimed_at) AS claimed_us, toUnixTimestamp64Micro(heartbeat_at) AS heartbeat_us, \
         toUnixTimestamp64Micro(now64(6, 'UTC')) - heartbeat_us AS age_us"
    )
}

#[derive(Serialize, Deserialize)]
pub(super) struct LoadRow {
    #[serde(flatten)]
    key: LoadKey,
    run_id: String,
    is_current: u8,
    status: LoadStatus,
    error: String,
    fingerprint: String,
    definition: String,
    chunk_bounds: String,
    chunks: u64,
    chunks_completed: u64,
    chunks_failed: u64,
    rows_expected: Option<u64>,
    rows_read: u64,
    rows_inserted: u64,
    matched: u64,
    matched_late: u64,
    unmatched: u64,
    tool_version: String,
    server_version: String,
    started_us: Option<i64>,
    completed_us: Option<i64>,
}

impl LoadRow {
    pub fn from_record(load: &LoadRecord) -> Result<Self, LedgerError> {
        let load = load.clone();
        let definition = serde_json::to_string(&load.definition)
            .map_err(|error| malformed("definition", &error))?;
        Ok(Self {
            key: load.key,
            run_id: load.run_id,
            is_current: u8::from(load.is_current),
            status: load.status,
            error: load.error,
            fingerprint: load.fingerprint,
            definition,
            chunk_bounds: load.chunk_bounds,
            chunks: load.chunks,
            chunks_completed: load.chunks_completed,
            chunks_failed: load.chunks_failed,
            rows_expected: load.rows_expected,
            rows_read: load.rows_read,
            rows_inserted: load.rows_inserted,
            matched: load.matched,
            matched_late: load.matched_late,
            unmatched: load.unmatched,
            tool_version: load.tool_version,
            server_version: load.server_version,
            started_us: load.started_at.map(|time| time.0),
            completed_us: load.completed_at.map(|time| time.0),
        })
    }

    pub fn into_record(self) -> Result<LoadRecord, LedgerError> {
        let definition: Fingerprint = serde_json::from_str(&self.definition)
            .map_err(|error| malformed("definition", &error))?;
        Ok(LoadRecord {
            key: self.key,
            run_id: self.run_id,
            is_current: self.is_current != 0,
            status: self.status,
            error: self.error,
            fingerprint: self.fingerprint,
            definition,
            chunk_bounds: self.chunk_bounds,
            chunks: self.chunks,
            chunks_completed: self.chunks_completed,
            chunks_failed: self.chunks_failed,
            rows_expected: self.rows_expected,
            rows_read: self.rows_read,
            rows_inserted: self.rows_inserted,
            matched: self.matched,
            matched_late: self.matched_late,
            unmatched: self.unmatched,
            tool_version: self.tool_version,
            server_version: self.server_version,
            started_at: self.started_us.map(Timestamp),
            completed_at: self.completed_us.map(Timestamp),
        })
    }
}

fn malformed(what: &str, error: &serde_json::Error) -> LedgerError {
    LedgerError::Malformed { what: what.to_owned(), message: error.to_string() }
}

/// Written with how long ago its times were, read with the times themselves.
#[derive(Serialize, Deserialize)]
pub(super) struct ChunkRow {
    run_id: String,
    chunk: u64,
    range: String,
    status: ChunkStatus,
    worker: String,
    attempts: u64,
    rows_read: u64,
    rows_inserted: u64,
    matched: u64,
    matched_late: u64,
    unmatched: u64,
    bytes_inserted: u64,
    batches: u64,
    #[serde(with = "decimal")]
    hash: u128,
    error: String,
    started_ago: Option<i64>,
    completed_ago: Option<i64>,
}

impl ChunkRow {
    pub fn from_record(chunk: &ChunkRecord) -> Self {
        let now = Timestamp::now();
        let ago = |time: Timestamp| i64::try_from(time.age_at(now).as_micros()).unwrap_or(i64::MAX);
        let chunk = chunk.clone();
        Self {
            run_id: chunk.run_id,
            chunk: chunk.chunk,
            range: chunk.range,
            status: chunk.status,
            worker: chunk.worker,
            attempts: chunk.attempts,
            rows_read: chunk.rows_read,
            rows_inserted: chunk.rows_inserted,
            matched: chunk.matched,
            matched_late: chunk.matched_late,
            unmatched: chunk.unmatched,
            bytes_inserted: chunk.bytes_inserted,
            batches: chunk.batches,
            hash: chunk.hash,
            error: chunk.error,
            started_ago: chunk.started_at.map(ago),
            completed_ago: chunk.completed_at.map(ago),
        }
    }

    pub fn into_record(self) -> ChunkRecord {
        ChunkRecord {
            run_id: self.run_id,
            chunk: self.chunk,
            range: self.range,
            status: self.status,
            worker: self.worker,
            attempts: self.attempts,
            rows_read: self.rows_read,
            rows_inserted: self.rows_inserted,
            matched: self.matched,
            matched_late: self.matched_late,
            unmatched: self.unmatched,
            bytes_inserted: self.bytes_inserted,
            batches: self.batches,
            hash: self.hash,
            error: self.error,
            started_at: self.started_ago.map(Timestamp),
            completed_at: self.completed_ago.map(Timestamp),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ClaimRow {
    #[serde(flatten)]
    key: LoadKey,
    claim_id: String,
    #[serde(flatten)]
    slot: Slot,
    run_id: String,
    status: ClaimStatus,
    #[serde(flatten)]
    process: ProcessIdentity,
    heartbeat_seconds: u32,
    claimed_us: Option<i64>,
    #[serde(default, skip_serializing)]
    heartbeat_us: i64,
    #[serde(default, skip_serializing)]
    age_us: i64,
}

impl ClaimRow {
    pub fn from_claim(claim: &Claim) -> Self {
        let claim = claim.clone();
        Self {
            key: claim.key,
            claim_id: claim.claim_id,
            slot: claim.slot,
            run_id: claim.run_id,
            status: claim.status,
            process: claim.process,
            heartbeat_seconds: claim.heartbeat_seconds,
            claimed_us: claim.claimed_at.map(|time| time.0),
            heartbeat_us: 0,
            age_us: 0,
        }
    }

    pub fn into_claim(self) -> LiveClaim {
        LiveClaim {
            claim: Claim {
                key: self.key,
                claim_id: self.claim_id,
                slot: self.slot,
                process: self.process,
                run_id: self.run_id,
                status: self.status,
                heartbeat_seconds: self.heartbeat_seconds,
                claimed_at: self.claimed_us.map(Timestamp),
            },
            heartbeat_at: Timestamp(self.heartbeat_us),
            age: Duration::from_micros(u64::try_from(self.age_us).unwrap_or_default()),
        }
    }
}
