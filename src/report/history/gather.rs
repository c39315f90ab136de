//! Putting together what the ledger and the source say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::summary::summary;
use super::{History, LoadHistory, PartitionHistory, State};
use crate::clickhouse::{Connection, TableName};
use crate::ledger::{ChunkStatus, Ledger, LedgerError, LiveClaim, LoadKey, LoadRecord, LoadStatus};
use crate::plan::{StoredPartition, partitions};

/// What is filled from what, by which job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filling {
    /// The job's name.
    pub job: String,
    /// The source table, with its database.
    pub source: String,
    /// The target table, with its database.
    pub target: String,
}

impl Filling {
    fn of(key: &LoadKey) -> Self {
        Self {
            job: key.job.clone(),
            source: key.source_table.clone(),
            target: key.target_table.clone(),
        }
    }
}

/// What is listed.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// This alone, whether or not the ledger knows of it; `None` for all that the ledger knows.
    pub only: Option<Filling>,
    /// A claim of another host without heartbeats for so long is taken for dead.
    pub claim_timeout: Duration,
}

/// Reads the ledger, and asks the source for its partitions. Where it does not tell them, only
/// those that the ledger knows are listed.
///
/// # Errors
/// Those of the ledger.
pub async fn gather(
    ledger: &Ledger,
    source: &Connection,
    options: &HistoryOptions,
) -> Result<Vec<History>, LedgerError> {
    let mut fillings: BTreeMap<Filling, Vec<LoadRecord>> = BTreeMap::new();
    for load in ledger.all_loads().await? {
        fillings.entry(Filling::of(&load.key)).or_default().push(load);
    }
    if let Some(only) = &options.only {
        let loads = fillings.remove(only).unwrap_or_default();
        fillings = BTreeMap::from([(only.clone(), loads)]);
    }
    let mut histories = Vec::new();
    for (filling, loads) in fillings {
        let stored = stored(source, &filling.source).await;
        let partitions = of_partitions(ledger, loads, &stored, options.claim_timeout).await?;
        let Filling { job, source, target } = filling;
        histories.push(History { job, source, target, summary: summary(&partitions), partitions });
    }
    Ok(histories)
}

async fn stored(source: &Connection, table: &str) -> Vec<StoredPartition> {
    let table = TableName::parse(table, source.endpoint().database());
    partitions(source, &table).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the partitions of {table} cannot be listed: those that were not started are not shown");
        Vec::new()
    })
}

async fn of_partitions(
    ledger: &Ledger,
    loads: Vec<LoadRecord>,
    stored: &[StoredPartition],
    claim_timeout: Duration,
) -> Result<Vec<PartitionHistory>, LedgerError> {
    let ids = loads
        .iter()
        .map(|load| &load.key.partition_id)
        .chain(stored.iter().map(|partition| &partition.id));
    let ids: BTreeSet<_> = ids.cloned().collect();
    let mut found = Vec::new();
    for id in ids {
        let mut of_id: Vec<_> =
            loads.iter().filter(|load| load.key.partition_id == id).cloned().collect();
        of_id.sort_by_key(|load| (!load.is_current, std::cmp::Reverse(load.started_at)));
        let source_rows =
            stored.iter().find(|partition| partition.id == id).map(|partition| partition.rows);
        let mut partition = PartitionHistory {
            partition: id,
            state: State::NotStarted,
            percent: None,
            source_rows,
            loads: Vec::new(),
        };
        if let Some(load) = of_id.first_mut().filter(|load| load.is_current) {
            let (mut claims, mut chunk_error) = (Vec::new(), String::new());
            if load.status != LoadStatus::Completed {
                let chunks = ledger.chunks(&load.run_id).await?;
                load.catch_up(&chunks);
                if let Some(failed) =
                    chunks.iter().find(|chunk| chunk.status == ChunkStatus::Failed)
                {
                    chunk_error = format!("chunk {}: {}", failed.chunk + 1, failed.error);
                }
                claims = ledger.at_work(&load.key, claim_timeout).await?;
            }
            partition.state = state(load.status, !claims.is_empty());
            partition.percent = Some(percent(load));
            partition.loads.push(LoadHistory { chunk_error, ..entry(load, &claims) });
        }
        partition
            .loads
            .extend(of_id.iter().skip(partition.loads.len()).map(|load| entry(load, &[])));
        found.push(partition);
    }
    Ok(found)
}

fn state(status: LoadStatus, at_work: bool) -> State {
    match status {
        LoadStatus::Completed => State::Done,
        _ if at_work => State::Running,
        LoadStatus::Failed => State::Failed,
        LoadStatus::Interrupted => State::Interrupted,
        LoadStatus::Started => State::Killed,
    }
}

/// By rows where they were counted, else by chunks; 100 of what is completed alone.
fn percent(load: &LoadRecord) -> u64 {
    if load.status == LoadStatus::Completed {
        return 100;
    }
    let (done, of) = match load.rows_expected {
        Some(expected) if expected > 0 => (load.rows_read, expected),
        _ => (load.chunks_completed, load.chunks.max(1)),
    };
    let percent = u128::from(done) * 100 / u128::from(of);
    u64::try_from(percent.min(99)).unwrap_or(99)
}

fn entry(load: &LoadRecord, claims: &[LiveClaim]) -> LoadHistory {
    let who = |claim: &LiveClaim| {
        format!("{} {} {}", claim.claim.slot, claim.claim.process.host, claim.claim.process.pid)
    };
    LoadHistory {
        run_id: load.run_id.clone(),
        is_current: load.is_current,
        status: load.status,
        chunks: load.chunks,
        chunks_completed: load.chunks_completed,
        chunks_failed: load.chunks_failed,
        rows_expected: load.rows_expected,
        rows_inserted: load.rows_inserted,
        unmatched: load.unmatched,
        started_at: load.started_at,
        completed_at: load.completed_at,
        seconds: load
            .started_at
            .zip(load.completed_at)
            .map(|(began, ended)| began.age_at(ended).as_secs_f64()),
        error: load.error.clone(),
        chunk_error: String::new(),
        at_work: claims.iter().map(who).collect(),
    }
}
