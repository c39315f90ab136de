//! Reads a report from the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::figures::{
    ChunkFigures, Column, LoadFigures, ProcessFigures, RunReport, VerificationFigures, assess,
};
use super::timeline::timeline;
use super::verified::{Target, Verified};
use crate::clickhouse::Connection;
use crate::ledger::{
    ChunkRecord, Ledger, LedgerError, LoadKey, LoadRecord, LoadSample, LoadVersions, Timestamp,
    Verification,
};
use crate::state::LoadState;

/// What to report.
#[derive(Clone, Debug)]
pub(crate) struct ReportOptions {
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
pub(crate) enum GatherError {
    /// The ledger has no load of this partition.
    #[error("the ledger, {ledger}, has no load of {key}")]
    Unknown {
        /// Its location.
        ledger: String,
        /// Which load.
        key: Box<LoadKey>,
    },
    /// The ledger has other loads of this partition.
    #[error("the ledger has no run {run_id:?} of {key}; its runs are {}", known.join(", "))]
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
///
/// `target` is asked whether the target has changed since it was compared.
pub(crate) async fn gather(
    ledger: &Ledger,
    target: &Connection,
    options: &ReportOptions,
) -> Result<RunReport, GatherError> {
    let key = &options.key;
    let versions = ledger.versions(key).await?;
    let mut load = find(ledger, &versions, options)?.clone();
    let is_newest = versions.newest().is_some_and(|newest| newest.run_id == load.run_id);
    let chunks = ledger.chunks(&load.run_id).await?;
    load.catch_up(&chunks);
    let at_work = is_newest && !ledger.at_work(key, options.claim_timeout).await?.is_empty();
    let samples = optional(ledger.samples(&load.run_id).await, "the timeline");
    let verifications = optional(ledger.verifications(&load.run_id).await, "the results of verify");
    let verifications: Vec<_> = verifications.into_iter().rev().map(verification).collect();
    let verified = match verifications.first() {
        Some(_) => {
            let table = Target::read(target, &key.target_table).await;
            Verified::find(ledger, &load.run_id, table.as_ref()).await
        }
        None => None,
    };
    let processes = processes(&samples);
    Ok(RunReport {
        reported_at: Timestamp::now(),
        reported_by: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        verdict: assess(&load, &versions, at_work, verifications.first().zip(verified.as_ref())),
        load: figures(
            &load,
            at_work,
            &chunks,
            &samples,
            processes.iter().map(|process| process.retries).sum(),
        ),
        processes,
        course: timeline(&samples),
        chunks: chunks.into_iter().map(chunk).collect(),
        mapping: mapping(&load, &options.columns),
        definition_parts: load.definition.other_parts(),
        definition: load.definition,
        verified,
        verifications,
    })
}

/// The version of the load to report on: the one that is asked for, or else the newest.
fn find<'a>(
    ledger: &Ledger,
    versions: &'a LoadVersions,
    options: &ReportOptions,
) -> Result<&'a LoadRecord, GatherError> {
    let key = || Box::new(options.key.clone());
    let unknown = || GatherError::Unknown { ledger: ledger.describe(), key: key() };
    let newest = versions.newest().ok_or_else(unknown)?;
    let Some(run_id) = &options.run_id else { return Ok(newest) };
    let known = versions.newest_first();
    known.clone().find(|load| load.run_id == *run_id).ok_or_else(|| GatherError::UnknownRun {
        run_id: run_id.clone(),
        key: key(),
        known: known.map(|load| load.run_id.clone()).collect(),
    })
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
    at_work: bool,
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
        status: LoadState::observed(Some(load.status), at_work),
        publication: load.publication.clone(),
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
        chunk: chunk.id(),
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

/// The target's columns, in the order of the job.
fn mapping(load: &LoadRecord, order: &[String]) -> Vec<Column> {
    let columns = load.definition.columns().into_iter();
    let mut mapping: Vec<_> = columns
        .map(|column| Column {
            column: column.name,
            type_name: column.type_name,
            expression: column.expression,
        })
        .collect();
    mapping.sort_by_key(|column| {
        order.iter().position(|name| *name == column.column).unwrap_or(usize::MAX)
    });
    mapping
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
