//! The loads of all partitions and what is missing between them: read from the ledger and the
//! source, as JSON and as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::time_text;
use super::verified::{Target, Verified};
use crate::causes::shortened;
use crate::clickhouse::{Connection, Servers, TableName};
use crate::ledger::{
    ChunkStatus, Ledger, LedgerError, LiveClaim, LoadKey, LoadRecord, LoadVersions, Publication,
    Timestamp,
};
use crate::plan::{StoredPartition, partitions};
use crate::progress::{count, duration};
use crate::state::LoadState;

/// The state of all partitions of one job. Its field names are a contract with scripts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct History {
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

/// The state of one partition.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PartitionHistory {
    /// The partition's id.
    pub partition: String,
    /// Its state.
    pub state: LoadState,
    /// The share that is done, rounded down; `null` if nothing was started.
    pub percent: Option<u64>,
    /// Stored rows of the source, all versions; `null` if unknown.
    pub source_rows: Option<u64>,
    /// The versions of its load, from the newest.
    pub loads: Vec<LoadHistory>,
}

/// One load of a partition.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoadHistory {
    /// Its identity.
    pub run_id: String,
    /// Whether this is the version that readers may trust.
    pub is_current: bool,
    /// Its state in the ledger.
    pub status: LoadState,
    /// Number of chunks.
    pub chunks: u64,
    /// Completed chunks.
    pub chunks_completed: u64,
    /// Failed chunks.
    pub chunks_failed: u64,
    /// Rows of the source by an independent count.
    pub rows_expected: Option<u64>,
    /// Rows inserted.
    pub rows_inserted: u64,
    /// Rows without attributes.
    pub unmatched: u64,
    /// Start time.
    pub started_at: Option<Timestamp>,
    /// Completion time.
    pub completed_at: Option<Timestamp>,
    /// Time from start to completion, including pauses.
    pub seconds: Option<f64>,
    /// What was built beside the target and published; `null` where rows are inserted in place.
    pub publication: Option<Publication>,
    /// Why it failed.
    pub error: String,
    /// Why its first failed chunk failed.
    pub chunk_error: String,
    /// The processes that are working on it: worker, host and process id.
    pub at_work: Vec<String>,
    /// The newest comparison of its target, of all rows where there is one; `null` without any, and for
    /// versions that are not the newest.
    pub verified: Option<Verified>,
}

/// A job with its tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobTables {
    /// The job's name.
    pub job: String,
    /// The source table, with its database.
    pub source: String,
    /// The target table, with its database.
    pub target: String,
}

impl JobTables {
    fn of(key: &LoadKey) -> Self {
        Self {
            job: key.job.clone(),
            source: key.source_table.clone(),
            target: key.target_table.clone(),
        }
    }
}

/// What to list.
#[derive(Clone, Debug)]
pub(crate) struct HistoryOptions {
    /// Only this job, whether or not the ledger knows it; `None` for all jobs of the ledger.
    pub only: Option<JobTables>,
    /// Age of the last heartbeat after which a claim of another host is dead.
    pub claim_timeout: Duration,
}

/// Reads the loads from the ledger and the partitions from the source. If the source's partitions
/// cannot be read, only those of the ledger are listed.
///
/// # Errors
/// Those of the ledger.
pub(crate) async fn gather(
    ledger: &Ledger,
    servers: &Servers,
    options: &HistoryOptions,
) -> Result<Vec<History>, LedgerError> {
    let mut jobs: BTreeMap<JobTables, BTreeMap<String, LoadVersions>> = BTreeMap::new();
    for (key, versions) in ledger.all_loads().await? {
        jobs.entry(JobTables::of(&key)).or_default().insert(key.partition_id, versions);
    }
    if let Some(only) = &options.only {
        let loads = jobs.remove(only).unwrap_or_default();
        jobs = BTreeMap::from([(only.clone(), loads)]);
    }
    let mut histories = Vec::new();
    for (tables, loads) in jobs {
        let stored = source_partitions(&servers.source, &tables.source).await;
        let mut partitions =
            partition_histories(ledger, loads, &stored, options.claim_timeout).await?;
        let target = Target::read(&servers.target, &tables.target).await;
        for load in partitions.iter_mut().filter_map(|partition| partition.loads.first_mut()) {
            load.verified = Verified::find(ledger, &load.run_id, target.as_ref()).await;
        }
        let JobTables { job, source, target } = tables;
        histories.push(History { job, source, target, summary: summary(&partitions), partitions });
    }
    Ok(histories)
}

async fn source_partitions(source: &Connection, table: &str) -> Vec<StoredPartition> {
    let table = TableName::parse(table, source.endpoint().database());
    partitions(source, &table).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list the partitions of {table}: partitions without a load are not shown");
        Vec::new()
    })
}

async fn partition_histories(
    ledger: &Ledger,
    mut loads: BTreeMap<String, LoadVersions>,
    stored: &[StoredPartition],
    claim_timeout: Duration,
) -> Result<Vec<PartitionHistory>, LedgerError> {
    let ids = loads.keys().chain(stored.iter().map(|partition| &partition.id));
    let ids: BTreeSet<_> = ids.cloned().collect();
    let mut found = Vec::new();
    for id in ids {
        let mut of_id = loads.remove(&id).unwrap_or_default().into_newest_first();
        let source_rows =
            stored.iter().find(|partition| partition.id == id).map(|partition| partition.rows);
        let mut partition = PartitionHistory {
            partition: id,
            state: LoadState::NotStarted,
            percent: None,
            source_rows,
            loads: Vec::new(),
        };
        if let Some(load) = of_id.first_mut() {
            let (mut claims, mut chunk_error) = (Vec::new(), String::new());
            if load.status != LoadState::Completed {
                let chunks = ledger.chunks(&load.run_id).await?;
                load.catch_up(&chunks);
                if let Some(failed) =
                    chunks.iter().find(|chunk| chunk.status == ChunkStatus::Failed)
                {
                    chunk_error = format!("chunk {}: {}", failed.id(), failed.error);
                }
                claims = ledger.at_work(&load.key, claim_timeout).await?;
            }
            partition.state = LoadState::observed(Some(load.status), !claims.is_empty());
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

/// By rows if they were counted, else by chunks; 100 only if completed.
fn percent(load: &LoadRecord) -> u64 {
    if load.status == LoadState::Completed {
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
        format!("{} {} {}", claim.claim.part, claim.claim.process.host, claim.claim.process.pid)
    };
    LoadHistory {
        run_id: load.run_id.clone(),
        is_current: load.is_current,
        status: LoadState::observed(Some(load.status), !claims.is_empty()),
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
        publication: load.publication.clone(),
        error: load.error.clone(),
        chunk_error: String::new(),
        at_work: claims.iter().map(who).collect(),
        verified: None,
    }
}

/// `202401–202510 done, 202511 failed at 63 %, 202512 not started`: adjacent partitions in the same
/// state are merged.
fn summary(partitions: &[PartitionHistory]) -> String {
    let mut groups: Vec<(&str, &str, String)> = Vec::new();
    for partition in partitions {
        let (id, words) = (partition.partition.as_str(), state_text(partition));
        match groups.last_mut() {
            Some((_, last, same)) if *same == words => *last = id,
            _ => groups.push((id, id, words)),
        }
    }
    let group = |(first, last, words): (&str, &str, String)| {
        if first == last { format!("{first} {words}") } else { format!("{first}–{last} {words}") }
    };
    groups.into_iter().map(group).collect::<Vec<_>>().join(", ")
}

fn state_text(partition: &PartitionHistory) -> String {
    let state = partition.state.text();
    match (partition.state, partition.percent) {
        (LoadState::Completed | LoadState::NotStarted, _) | (_, None) => state.to_owned(),
        (_, Some(percent)) => format!("{state} at {percent} %"),
    }
}

/// The histories as text: for each job the summary and a table, without the columns that would make it
/// wider than this.
pub(crate) fn text(histories: &[History], columns: usize) -> String {
    let block = |history| block(history, columns);
    histories.iter().map(block).collect::<Vec<_>>().join("\n")
}

/// What heads the columns of the table.
const HEAD: [&str; 9] =
    ["partition", "state", "source rows", "inserted", "chunks", "began", "took", "verified", "run"];

fn block(history: &History, columns: usize) -> String {
    let History { job, source, target, summary, partitions } = history;
    let mut text = format!("{job}: {source} into {target}\n");
    if partitions.is_empty() {
        text.push_str("the source has no partitions and the ledger has no loads\n");
        return text;
    }
    let _ = writeln!(text, "{summary}\n");
    let mut rows = vec![HEAD.map(str::to_owned)];
    for partition in partitions {
        if partition.loads.is_empty() {
            rows.push(row(partition, None));
        }
        let newest = partition.loads.first().map(|load| load.run_id.as_str());
        rows.extend(
            partition
                .loads
                .iter()
                .map(|load| row(partition, Some((load, newest == Some(load.run_id.as_str()))))),
        );
    }
    table(&mut text, &rows, columns);
    let noted =
        partitions.iter().filter_map(|partition| Some((partition, partition.loads.first()?)));
    let noted: Vec<_> =
        noted.filter(|(_, load)| !load.error.is_empty() || !load.at_work.is_empty()).collect();
    if !noted.is_empty() {
        text.push('\n');
    }
    for (partition, load) in noted {
        let id = &partition.partition;
        for error in [&load.error, &load.chunk_error]
            .into_iter()
            .filter(|error| !error.is_empty() && load.at_work.is_empty())
        {
            let line = error.split_whitespace().collect::<Vec<_>>().join(" ");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{id}: {}", shortened(&line));
        }
        for who in &load.at_work {
            let _ = writeln!(text, "{id}: worker {who} is working on it");
        }
    }
    text
}

/// The row of a version, and whether it is the newest one.
fn row(partition: &PartitionHistory, load: Option<(&LoadHistory, bool)>) -> [String; 9] {
    let source_rows = partition.source_rows.map_or_else(unknown, count);
    let Some((load, is_newest)) = load else {
        let state = partition.state.text().to_owned();
        return [
            partition.partition.clone(),
            state,
            source_rows,
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
        ];
    };
    let state = match (is_newest, partition.percent) {
        _ if load.status == LoadState::Superseded => "rolled back".to_owned(),
        (false, _) if load.is_current => format!("{}, still current", load.status.text()),
        (false, _) => format!("{}, superseded", load.status.text()),
        (true, Some(percent)) if percent < 100 => {
            format!("{}, {percent} %", partition.state.text())
        }
        (true, _) => partition.state.text().to_owned(),
    };
    let seconds = load.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    [
        partition.partition.clone(),
        state,
        source_rows,
        count(load.rows_inserted),
        format!("{} of {}", count(load.chunks_completed), count(load.chunks)),
        load.started_at.map_or_else(unknown, time_text),
        seconds.map_or_else(unknown, duration),
        load.verified.as_ref().map_or_else(unknown, Verified::text),
        load.run_id.clone(),
    ]
}

/// The cell of an unknown value.
fn unknown() -> String {
    "–".to_owned()
}

/// Appends a table with aligned columns; numbers are right-aligned. Where it would be too wide, run ids and
/// other columns that can be missed are left out.
fn table<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]], columns: usize) {
    /// Run id, source rows, begin, time, inserted rows, chunks.
    const FIRST_TO_GO: [usize; 6] = [8, 2, 5, 6, 3, 4];
    let widths: Vec<_> = (0..COLUMNS)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut whole = widths.iter().map(|width| width + 2).sum::<usize>();
    let mut left_out = Vec::new();
    for column in FIRST_TO_GO {
        if whole > columns.saturating_add(2) {
            whole -= widths.get(column).map_or(0, |width| width + 2);
            left_out.push(column);
        }
    }
    for row in rows {
        let mut line = String::new();
        for ((cell, width), column) in row.iter().zip(&widths).zip(0..) {
            if left_out.contains(&column) {
                continue;
            }
            let _ = if (2..5).contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_leaves_out_what_makes_it_too_wide() {
        let row = |cells: [&str; 9]| cells.map(str::to_owned);
        let rows = [
            row(HEAD),
            row([
                "202511",
                "completed",
                "1,000",
                "900",
                "2 of 2",
                "2026-01-01T00:00:00Z",
                "1.0 s",
                "–",
                "0123456789abcdef",
            ]),
        ];
        let shown = |columns: usize| {
            let mut text = String::new();
            table(&mut text, &rows, columns);
            text
        };
        assert!(
            shown(108).contains("0123456789abcdef") && !shown(107).contains("0123456789abcdef")
        );
        assert_eq!(
            shown(70),
            "partition  state      inserted  chunks  took   verified\n\
             202511     completed       900  2 of 2  1.0 s  –\n"
        );
    }

    #[test]
    fn adjacent_partitions_in_one_state_are_merged() {
        let partition = |id: &str, state, percent| PartitionHistory {
            partition: id.to_owned(),
            state,
            percent,
            source_rows: None,
            loads: Vec::new(),
        };
        let partitions = [
            partition("202401", LoadState::Completed, Some(100)),
            partition("202402", LoadState::Completed, Some(100)),
            partition("202404", LoadState::Completed, Some(100)),
            partition("202405", LoadState::Failed, Some(63)),
            partition("202406", LoadState::Failed, Some(12)),
            partition("202407", LoadState::NotStarted, None),
            partition("202408", LoadState::Started, Some(0)),
        ];
        let text = "202401–202404 completed, 202405 failed at 63 %, 202406 failed at 12 %, 202407 not started, 202408 started at 0 %";
        assert_eq!(summary(&partitions), text);
        assert_eq!(summary(&[]), "");
    }
}
