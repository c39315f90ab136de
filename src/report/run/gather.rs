//! Reads a report from the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::figures::{
    ChunkFigures, Column, LoadFigures, ProcessFigures, RunReport, VerificationFigures, assess,
};
use super::timeline::timeline;
use crate::ledger::{
    ChunkRecord, Ledger, LedgerError, LoadKey, LoadRecord, LoadSample, Timestamp, Verification,
};

/// What to report.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// The load's partition and tables.
    pub key: LoadKey,
    /// The load; `None` for the current one.
    pub run_id: Option<String>,
    /// The target's columns in the order of the report; others follow.
    pub columns: Vec<String>,
    /// Age of the last heartbeat after which a claim of another host is dead.
    pub claim_timeout: Duration,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The ledger has no load of this partition.
    #[error("the ledger, {ledger}, has no load of {key}")]
    Unknown {
        /// Its location.
        ledger: String,
        /// Which load.
        key: Box<LoadKey>,
    },
    /// The ledger has other loads of this partition.
    #[error("the ledger has no run {run_id} of {key}; it has {}", known.join(", "))]
    UnknownRun {
        /// The requested run.
        run_id: String,
        /// Which load.
        key: Box<LoadKey>,
        /// The existing runs.
        known: Vec<String>,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Reads everything that the ledger has of a load.
pub async fn gather(ledger: &Ledger, options: &ReportOptions) -> Result<RunReport, GatherError> {
    let key = &options.key;
    let mut load = find(ledger, options).await?;
    let chunks = ledger.chunks(&load.run_id).await?;
    load.catch_up(&chunks);
    let at_work = load.is_current && !ledger.at_work(key, options.claim_timeout).await?.is_empty();
    let samples = optional(ledger.samples(&load.run_id).await, "the timeline");
    let verifications = optional(ledger.verifications(&load.run_id).await, "the results of verify");
    let verifications: Vec<_> = verifications.into_iter().rev().map(verification).collect();
    let (mapping, definition) = mapping(&load, &options.columns);
    let processes = processes(&samples);
    Ok(RunReport {
        reported_at: Timestamp::now(),
        reported_by: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        verdict: assess(&load, at_work, &verifications),
        load: figures(
            &load,
            &chunks,
            &samples,
            processes.iter().map(|process| process.retries).sum(),
        ),
        processes,
        course: timeline(&samples),
        chunks: chunks.into_iter().map(chunk).collect(),
        mapping,
        definition,
        verifications,
    })
}

async fn find(ledger: &Ledger, options: &ReportOptions) -> Result<LoadRecord, GatherError> {
    let key = &options.key;
    let Some(run_id) = &options.run_id else {
        let unknown =
            || GatherError::Unknown { ledger: ledger.describe(), key: Box::new(key.clone()) };
        return ledger.current_load(key).await?.ok_or_else(unknown);
    };
    let mut of_key: Vec<_> =
        ledger.all_loads().await?.into_iter().filter(|load| load.key == *key).collect();
    match of_key.iter().position(|load| load.run_id == *run_id) {
        Some(place) => Ok(of_key.swap_remove(place)),
        None if of_key.is_empty() => {
            Err(GatherError::Unknown { ledger: ledger.describe(), key: Box::new(key.clone()) })
        }
        None => {
            let known = of_key.into_iter().map(|load| load.run_id).collect();
            Err(GatherError::UnknownRun {
                run_id: run_id.clone(),
                key: Box::new(key.clone()),
                known,
            })
        }
    }
}

/// Samples and verifications may be missing or not readable by this user.
fn optional<T>(read: Result<Vec<T>, LedgerError>, what: &str) -> Vec<T> {
    read.unwrap_or_else(|error| {
        tracing::warn!("the report lacks {what}: {}", crate::causes::error_chain(&error));
        Vec::new()
    })
}

fn figures(
    load: &LoadRecord,
    chunks: &[ChunkRecord],
    samples: &[LoadSample],
    retries: u64,
) -> LoadFigures {
    let last_signs = chunks
        .iter()
        .filter_map(|chunk| chunk.completed_at)
        .chain(samples.iter().filter_map(|sample| sample.sampled_at));
    let ended_at = load.completed_at.or_else(|| last_signs.max());
    let seconds = load
        .started_at
        .zip(ended_at)
        .map_or(0.0, |(began, ended)| began.age_at(ended).as_secs_f64());
    let done =
        || chunks.iter().filter(|chunk| chunk.status == crate::ledger::ChunkStatus::Completed);
    LoadFigures {
        run_id: load.run_id.clone(),
        job: load.key.job.clone(),
        source: load.key.source_table.clone(),
        target: load.key.target_table.clone(),
        partition: load.key.partition_id.clone(),
        is_current: load.is_current,
        status: load.status,
        error: load.error.clone(),
        chunks: load.chunks,
        chunks_completed: load.chunks_completed,
        chunks_failed: load.chunks_failed,
        rows_expected: load.rows_expected,
        rows_read: load.rows_read,
        rows_inserted: load.rows_inserted,
        matched: load.matched,
        matched_late: load.matched_late,
        unmatched: load.unmatched,
        bytes_inserted: done().map(|chunk| chunk.bytes_inserted).sum(),
        batches: done().map(|chunk| chunk.batches).sum(),
        started_at: load.started_at,
        ended_at,
        seconds,
        rows_per_second: if seconds > 0.0 { load.rows_inserted as f64 / seconds } else { 0.0 },
        retries,
        tool_version: load.tool_version.clone(),
        server_version: load.server_version.clone(),
    }
}

fn processes(samples: &[LoadSample]) -> Vec<ProcessFigures> {
    let mut by_claim: BTreeMap<&str, Vec<&LoadSample>> = BTreeMap::new();
    for sample in samples {
        by_claim.entry(&sample.claim_id).or_default().push(sample);
    }
    let process = |(claim_id, samples): (&str, Vec<&LoadSample>)| {
        let last = samples.last();
        let settings = samples.iter().find(|sample| !sample.settings.is_empty());
        ProcessFigures {
            claim_id: claim_id.to_owned(),
            worker: last.map(|sample| sample.worker.clone()).unwrap_or_default(),
            began_at: samples.first().and_then(|sample| sample.sampled_at),
            ended_at: last.and_then(|sample| sample.sampled_at),
            rows_inserted: last.map_or(0, |sample| sample.rows_inserted),
            retries: last.map_or(0, |sample| sample.retries),
            memory_bytes: samples.iter().filter_map(|sample| sample.client_memory_bytes).max(),
            insert_max_seconds: samples
                .iter()
                .filter_map(|sample| sample.insert_max_seconds)
                .reduce(f64::max),
            settings: settings
                .and_then(|sample| serde_json::from_str(&sample.settings).ok())
                .unwrap_or_default(),
        }
    };
    let mut processes: Vec<_> = by_claim.into_iter().map(process).collect();
    processes.sort_by_key(|process| process.began_at);
    processes
}

fn chunk(chunk: ChunkRecord) -> ChunkFigures {
    let took = chunk
        .started_at
        .zip(chunk.completed_at)
        .map(|(began, ended)| began.age_at(ended).as_secs_f64());
    ChunkFigures {
        chunk: chunk.chunk + 1,
        status: chunk.status,
        seconds: took,
        retries: chunk.attempts.saturating_sub(1),
        rows_inserted: chunk.rows_inserted,
        bytes_inserted: chunk.bytes_inserted,
        worker: chunk.worker,
        range: chunk.range,
        error: chunk.error,
    }
}

/// The expression of each column, and the rest of the load's definition.
fn mapping(load: &LoadRecord, order: &[String]) -> (Vec<Column>, BTreeMap<String, String>) {
    const EXPRESSION: &str = "the expression of the column ";
    const TYPE: &str = "the type of the column ";
    let (mut types, mut expressions, mut definition) =
        (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for (part, value) in load.definition.parts() {
        if let Some(column) = part.strip_prefix(EXPRESSION) {
            expressions.push((column.to_owned(), value.clone()));
        } else if let Some(column) = part.strip_prefix(TYPE) {
            types.insert(column.to_owned(), value.clone());
        } else {
            definition.insert(part.clone(), value.clone());
        }
    }
    let column = |(column, expression): (String, String)| Column {
        type_name: types.remove(&column).unwrap_or_default(),
        column,
        expression,
    };
    let mut mapping: Vec<_> = expressions.into_iter().map(column).collect();
    mapping.sort_by_key(|column| {
        order.iter().position(|name| *name == column.column).unwrap_or(usize::MAX)
    });
    (mapping, definition)
}

fn verification(verification: Verification) -> VerificationFigures {
    VerificationFigures {
        verified_at: verification.verified_at,
        equal: verification.equal,
        expected_rows: verification.expected_rows,
        target_rows: verification.target_rows,
        differences: verification.differences,
        sample: verification.sample,
        seconds: verification.seconds,
        report: serde_json::from_str(&verification.report).unwrap_or(Value::Null),
    }
}
