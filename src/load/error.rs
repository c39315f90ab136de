//! Why a load does not begin, or stops.

use super::recorder::RecordingError;
use super::tables::TablesError;
use crate::clickhouse::Error as ServerError;
use crate::engine::stream::{DedupError, PipelineError};
use crate::job::ObjectChange;
use crate::ledger::{Difference, LedgerError, LoadKey, LoadRecord};
use crate::plan::{ChunkId, PlanError, changes_in_words};
use crate::preflight::Check;
use crate::publish::PublishError;
use crate::units::counted;
use crate::verify::VerifyError;

/// A load that does not begin, or stopped before it was complete.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The ledger forbids it, or cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It was begun with another definition.
    #[error("{}", changed(load, differences))]
    Changed {
        /// As it was begun.
        load: Box<LoadRecord>,
        /// What is not the same now.
        differences: Vec<Difference>,
    },
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The server refuses the inserts.
    #[error("the server refuses the insert that a run would send, tried without rows")]
    Preflight(#[source] Box<ServerError>),
    /// Checks before the first row block it.
    #[error("{}", blocked(checks))]
    Blocked {
        /// Those that do.
        checks: Vec<Check>,
    },
    /// Rows that are sent twice would stay twice.
    #[error(transparent)]
    Repeats(#[from] DedupError),
    /// The pipeline stopped.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// What was done could not be written down, so that it was stopped.
    #[error("what was done could not be recorded: {} not in the ledger", if *chunks == 1 { "1 completed chunk is".to_owned() } else { format!("{} are", counted(*chunks, "completed chunk")) })]
    Recording {
        /// The number of completed chunks that are not recorded as such.
        chunks: u64,
        /// Why.
        source: RecordingError,
    },
    /// What was built is not published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What was built could not be compared with what the job makes.
    #[error("comparing what was built with what the job makes failed; nothing is published")]
    Verify(#[from] VerifyError),
    /// Objects have changed since they were planned.
    #[error(
        "superseded: objects have changed since run {run_id} planned them: {}",
        changes_in_words(changes)
    )]
    Superseded {
        /// The run.
        run_id: String,
        /// How.
        changes: Vec<ObjectChange>,
    },
    /// It was rolled back.
    #[error("{key} was filled by run {run_id}, which was rolled back or undone")]
    RolledBack {
        /// Which load.
        key: LoadKey,
        /// Its run.
        run_id: String,
    },
    /// A table of the job is not what it was, or cannot be asked for.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// Some chunks failed; the others are done.
    #[error("{failed} of {} failed; the first of them, chunk {}, with: {reason}", counted(*chunks, "chunk"), first)]
    Chunks {
        /// How many.
        failed: u64,
        /// Of how many.
        chunks: u64,
        /// The first one.
        first: ChunkId,
        /// Its reason.
        reason: String,
    },
    /// Stopping was asked for before it had begun.
    #[error("stopped before the load began")]
    Stopped,
    /// A task ended unexpectedly.
    #[error("a task ended unexpectedly: {0}")]
    Task(String),
}

fn blocked(checks: &[Check]) -> String {
    checks
        .iter()
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect::<Vec<_>>()
        .join("; ")
}

fn changed(load: &LoadRecord, differences: &[Difference]) -> String {
    use std::fmt::Write;
    const SHOWN: usize = 5;
    let (key, run_id, status) = (&load.key, &load.run_id, load.status.text());
    let mut text = format!("{key} is {status} as run {run_id}, and not the same as it was:");
    for difference in differences.iter().take(SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n    {difference}");
    }
    if differences.len() > SHOWN {
        let _ = write!(text, "\n    and {} more", differences.len() - SHOWN);
    }
    text
}
