//! The status of a load, from its ledger alone: from any host, without a word from the processes that
//! work on it. Nothing here changes the ledger.

use std::time::Duration;

use serde::Serialize;

use super::rate::{SPAN, by_chunks, by_samples};
use super::{
    ChunkRecord, ChunkStatus, Ledger, LedgerError, LiveClaim, LoadKey, LoadRecord, LoadSample,
    ProcessIdentity, Publication, Timestamp,
};
use crate::state::LoadState;

/// The status of a load. The names of the fields are a contract: scripts read them from `status
/// --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LoadStatus {
    /// What has become of it.
    pub state: LoadState,
    /// The job's name.
    pub job: String,
    /// The id of the source's partition.
    pub partition: String,
    /// The source table, with its database.
    pub source: String,
    /// The target table, with its database.
    pub target: String,
    /// The run that all its query ids contain; `null` where it has not begun.
    pub run_id: Option<String>,
    /// The run that completed the version that readers may trust; `null` if none is completed. It is
    /// an earlier run while a version of `--restart` is not completed.
    pub current_run_id: Option<String>,
    /// Chunks of the load.
    pub chunks: u64,
    /// Chunks of which every row is in the target.
    pub chunks_completed: u64,
    /// Chunks that failed for good in the last run.
    pub chunks_failed: u64,
    /// The others.
    pub chunks_pending: u64,
    /// Rows of the completed chunks.
    pub rows_inserted: u64,
    /// Rows that the source has, where they have been counted.
    pub rows_expected: Option<u64>,
    /// How much is done, from 0 to 1: by rows where they have been counted, else by chunks. 1 is
    /// said of a completed load only.
    pub progress_ratio: f64,
    /// Inserted rows a second over the last minutes, while it is under way.
    pub rows_per_second: Option<f64>,
    /// How long the rest would take at that speed.
    pub remaining_seconds: Option<f64>,
    /// Why its processes begin no chunk, where they wait.
    pub waiting: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// When a chunk was last completed.
    pub last_chunk_at: Option<Timestamp>,
    /// What went wrong last, in the ledger's words.
    pub last_error: Option<String>,
    /// What was built beside the target and published; `null` where rows are inserted in place.
    pub publication: Option<Publication>,
    /// Who works on it, and who died over it.
    pub processes: Vec<Process>,
}

/// A process that holds a claim on the load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Process {
    /// The machine's name.
    pub host: String,
    /// The process id there.
    pub pid: u32,
    /// Which part of the load it does, such as `1/1`.
    pub worker: String,
    /// Whether it may still be at work: it is not known to have ended, and its heartbeats have not
    /// stopped for too long.
    pub alive: bool,
    /// When it came.
    pub claimed_at: Option<Timestamp>,
    /// Its last heartbeat.
    pub heartbeat_at: Timestamp,
    /// How long ago that was.
    pub heartbeat_age_seconds: f64,
}

/// What was read of a load.
#[derive(Clone, Debug, Default)]
struct Records {
    /// The newest version.
    load: Option<LoadRecord>,
    /// The version that readers may trust.
    current: Option<LoadRecord>,
    chunks: Vec<ChunkRecord>,
    /// Claims that were not given back.
    claims: Vec<LiveClaim>,
    /// How its processes went over the last minutes.
    samples: Vec<LoadSample>,
}

impl LoadStatus {
    /// Judges what was read `now`, by the ledger's clock. A claim without heartbeats for
    /// `claim_timeout` is a dead process's; where `here` is its machine, that is known at once.
    fn derive(
        key: &LoadKey,
        records: &Records,
        now: Timestamp,
        claim_timeout: Duration,
        here: &ProcessIdentity,
    ) -> Self {
        let Records { load, current, chunks, claims, samples } = records;
        let processes: Vec<_> =
            claims.iter().map(|claim| Process::of(claim, claim_timeout, here)).collect();
        let alive: Vec<_> =
            claims.iter().filter(|claim| claim.is_alive(claim_timeout, here)).collect();
        let state = LoadState::observed(load.as_ref().map(|load| load.status), !alive.is_empty());
        let with_status = |status| chunks.iter().filter(move |chunk| chunk.status == status);
        let (completed, failed) = (
            with_status(ChunkStatus::Completed).count() as u64,
            with_status(ChunkStatus::Failed).count() as u64,
        );
        let total = load.as_ref().map_or(0, |load| load.chunks).max(chunks.len() as u64);
        let rows_inserted =
            with_status(ChunkStatus::Completed).map(|chunk| chunk.rows_inserted).sum();
        let expected = load.as_ref().and_then(|load| load.rows_expected);
        let since = alive.iter().filter_map(|claim| claim.claim.claimed_at).min();
        let ids: Vec<_> = alive.iter().map(|claim| claim.claim.claim_id.as_str()).collect();
        let speed = || by_samples(samples, &ids, now).or_else(|| by_chunks(chunks, since?, now));
        let speed = if state == LoadState::Started { speed() } else { None };
        let left = expected
            .or_else(|| estimated_rows(rows_inserted, completed, total))
            .map(|rows| rows.saturating_sub(rows_inserted));
        let remaining = speed.zip(left).map(|(speed, left)| left as f64 / speed);
        Self {
            state,
            job: key.job.clone(),
            partition: key.partition_id.clone(),
            source: key.source_table.clone(),
            target: key.target_table.clone(),
            run_id: load.as_ref().map(|load| load.run_id.clone()),
            current_run_id: current.as_ref().map(|load| load.run_id.clone()),
            chunks: total,
            chunks_completed: completed,
            chunks_failed: failed,
            chunks_pending: total.saturating_sub(completed + failed),
            rows_inserted,
            rows_expected: expected,
            progress_ratio: progress(state, (rows_inserted, expected), (completed, total)),
            rows_per_second: speed,
            remaining_seconds: remaining.filter(|seconds| seconds.is_finite()),
            waiting: waiting(samples, &ids),
            started_at: load.as_ref().and_then(|load| load.started_at),
            completed_at: load.as_ref().and_then(|load| load.completed_at),
            last_chunk_at: with_status(ChunkStatus::Completed)
                .filter_map(|chunk| chunk.completed_at)
                .max(),
            last_error: last_error(load.as_ref(), chunks),
            publication: load.as_ref().and_then(|load| load.publication.clone()),
            processes,
        }
    }

    /// Whether the load was called begun, although no process works on it: the one moment in which a
    /// process that has just come or gone is between its record and its claim looks the same.
    fn may_be_between(&self, records: &Records) -> bool {
        self.state == LoadState::Interrupted
            && records.load.as_ref().is_some_and(|load| load.status == LoadState::Started)
    }
}

impl Process {
    fn of(claim: &LiveClaim, timeout: Duration, here: &ProcessIdentity) -> Self {
        Self {
            host: claim.claim.process.host.clone(),
            pid: claim.claim.process.pid,
            worker: claim.claim.part.to_string(),
            alive: claim.is_alive(timeout, here),
            claimed_at: claim.claim.claimed_at,
            heartbeat_at: claim.heartbeat_at,
            heartbeat_age_seconds: claim.age.as_secs_f64(),
        }
    }
}

/// What the last figures of these processes say.
fn waiting(samples: &[LoadSample], claim_ids: &[&str]) -> Option<String> {
    let last = |claim_id: &&str| samples.iter().rfind(|sample| sample.claim_id == **claim_id);
    let mut reasons: Vec<_> =
        claim_ids.iter().filter_map(last).map(|sample| sample.waiting.as_str()).collect();
    reasons.retain(|reason| !reason.is_empty());
    reasons.sort_unstable();
    reasons.dedup();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Chunks have about equally many rows.
fn estimated_rows(rows: u64, completed: u64, total: u64) -> Option<u64> {
    (u128::from(rows) * u128::from(total))
        .checked_div(u128::from(completed))
        .and_then(|rows| u64::try_from(rows).ok())
}

fn progress(state: LoadState, rows: (u64, Option<u64>), chunks: (u64, u64)) -> f64 {
    const ALMOST: f64 = 0.9999;
    let share = |done: u64, of: u64| if of == 0 { 0.0 } else { done as f64 / of as f64 };
    match (state, rows) {
        (LoadState::Completed, _) => 1.0,
        (_, (done, Some(expected))) if expected > 0 => share(done, expected).min(ALMOST),
        _ => share(chunks.0, chunks.1).min(ALMOST),
    }
}

/// What the load failed of, and in whose words: those of the chunk that failed last.
fn last_error(load: Option<&LoadRecord>, chunks: &[ChunkRecord]) -> Option<String> {
    let of_load = load.map(|load| load.error.clone()).filter(|error| !error.is_empty());
    let failed = chunks
        .iter()
        .filter(|chunk| chunk.status == ChunkStatus::Failed && !chunk.error.is_empty());
    let of_chunk = failed
        .max_by_key(|chunk| chunk.completed_at)
        .map(|chunk| format!("chunk {}: {}", chunk.id(), chunk.error));
    match (of_load, of_chunk) {
        (Some(of_load), Some(of_chunk)) => Some(format!("{of_load}; {of_chunk}")),
        (one, other) => one.or(other),
    }
}

/// Reads the status of a load. A claim without heartbeats for `claim_timeout` is taken for that of a
/// dead process.
///
/// # Errors
/// The ledger cannot be read. One that is not there has no loads.
pub(crate) async fn read(
    ledger: &Ledger,
    key: &LoadKey,
    claim_timeout: Duration,
) -> Result<LoadStatus, LedgerError> {
    let here = ProcessIdentity::current();
    let (mut status, records) = once(ledger, key, claim_timeout, &here).await?;
    if status.may_be_between(&records) {
        (status, _) = once(ledger, key, claim_timeout, &here).await?;
    }
    Ok(status)
}

async fn once(
    ledger: &Ledger,
    key: &LoadKey,
    claim_timeout: Duration,
    here: &ProcessIdentity,
) -> Result<(LoadStatus, Records), LedgerError> {
    // A process writes its record and then gives its claim back: what is read in the other order
    // never looks deserted.
    let claims = ledger.held_claims(key).await?;
    let versions = ledger.versions(key).await?;
    let load = versions.newest().cloned();
    let chunks = match &load {
        Some(load) => ledger.chunks(&load.run_id).await?,
        None => Vec::new(),
    };
    let now = ledger.now().await?;
    let samples = match &load {
        Some(load) if !claims.is_empty() => recent_samples(ledger, &load.run_id, now).await,
        _ => Vec::new(),
    };
    let records = Records { current: versions.current().cloned(), load, chunks, claims, samples };
    Ok((LoadStatus::derive(key, &records, now, claim_timeout, here), records))
}

/// The recent figures of the processes. They are kept beside the record; without the right to read
/// them, everything else is still known.
async fn recent_samples(ledger: &Ledger, run_id: &str, now: Timestamp) -> Vec<LoadSample> {
    match ledger.samples_since(run_id, Timestamp(now.0.saturating_sub(SPAN))).await {
        Ok(samples) => samples,
        Err(error) => {
            tracing::debug!(%error, "how the processes went is not known");
            Vec::new()
        }
    }
}
