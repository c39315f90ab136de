//! The content of a report: all of its values, and the assessment that stands first.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::time_text;
use super::timeline::TimelinePoint;
use super::verified::Verified;
use crate::ledger::{ChunkStatus, Definition, LoadRecord, LoadVersions, Publication, Timestamp};
use crate::plan::ChunkId;
use crate::progress::{bytes, count, counted};
use crate::state::LoadState;

/// The report of one load. Its field names are a contract: scripts read them from `report --format
/// json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunReport {
    /// Creation time of the report.
    pub reported_at: Timestamp,
    /// Name and version of the program that created it.
    pub reported_by: String,
    /// The result in one line.
    pub verdict: Assessment,
    /// The load and its totals.
    pub load: LoadFigures,
    /// The processes that worked on it, by start time.
    pub processes: Vec<ProcessFigures>,
    /// Values over time; empty if no samples were recorded.
    pub course: Vec<TimelinePoint>,
    /// Its chunks by number.
    pub chunks: Vec<ChunkFigures>,
    /// The expression of each target column.
    pub mapping: Vec<Column>,
    /// What decides the load's result, as it was recorded.
    pub definition: Definition,
    /// The definition without the columns, by names for people.
    #[serde(skip)]
    pub definition_parts: BTreeMap<String, String>,
    /// The newest comparison of all rows, or else the newest; `null` without any.
    pub verified: Option<Verified>,
    /// The results of `verify`, the newest first.
    pub verifications: Vec<VerificationFigures>,
}

/// The result of a load in one line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Assessment {
    /// Its level.
    pub level: AssessmentLevel,
    /// The result as text.
    pub text: String,
    /// What to do next; empty if nothing is left to do.
    pub next: String,
}

/// The level of an assessment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AssessmentLevel {
    /// Completed and verified.
    Good,
    /// Work or verification is left.
    Open,
    /// A failure or a difference.
    Bad,
}

/// A load and its totals.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoadFigures {
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
    /// Whether it is the current load of its partition.
    pub is_current: bool,
    /// Its state in the ledger.
    pub status: LoadState,
    /// What was built beside the target and published; `null` where rows are inserted in place.
    pub publication: Option<Publication>,
    /// Why it failed.
    pub error: String,
    /// Number of chunks.
    pub chunks: u64,
    /// Completed chunks.
    pub chunks_completed: u64,
    /// Failed chunks.
    pub chunks_failed: u64,
    /// Rows of the source by an independent count.
    pub rows_expected: Option<u64>,
    /// Rows read by completed chunks.
    pub rows_read: u64,
    /// Rows inserted by completed chunks.
    pub rows_inserted: u64,
    /// Rows with attributes from inside the lookup window.
    pub matched: u64,
    /// Rows with attributes from outside of it.
    pub matched_late: u64,
    /// Rows without attributes.
    pub unmatched: u64,
    /// Bytes inserted by completed chunks.
    pub bytes_inserted: u64,
    /// Batches acknowledged by completed chunks.
    pub batches: u64,
    /// Start time.
    pub started_at: Option<Timestamp>,
    /// Completion time; before completion, the time of the last sign of life.
    pub ended_at: Option<Timestamp>,
    /// Time from start to end, including pauses.
    pub seconds: f64,
    /// Rows inserted per second of that time.
    pub rows_per_second: f64,
    /// Retried statements of all processes.
    pub retries: u64,
    /// Version of the program that wrote the record.
    pub tool_version: String,
    /// Version of ClickHouse at the start.
    pub server_version: String,
}

/// A process that worked on the load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProcessFigures {
    /// Its claim.
    pub claim_id: String,
    /// Worker, host and process id.
    pub worker: String,
    /// Time of its first sample.
    pub began_at: Option<Timestamp>,
    /// Time of its last sample.
    pub ended_at: Option<Timestamp>,
    /// Rows inserted.
    pub rows_inserted: u64,
    /// Retried statements.
    pub retries: u64,
    /// Peak memory among its samples.
    pub memory_bytes: Option<u64>,
    /// The slowest insert.
    pub insert_max_seconds: Option<f64>,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
}

/// One chunk.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChunkFigures {
    /// Its number, from 1; a text such as `8.2` for a part of a divided chunk.
    pub chunk: ChunkId,
    /// Its state.
    pub status: ChunkStatus,
    /// Time from its first row to its last acknowledgement.
    pub seconds: Option<f64>,
    /// Number of repeated reads; 0 if the first one succeeded.
    pub retries: u64,
    /// Rows inserted.
    pub rows_inserted: u64,
    /// Bytes inserted.
    pub bytes_inserted: u64,
    /// The process that completed it.
    pub worker: String,
    /// Its range as a predicate on the source.
    pub range: String,
    /// Why it failed.
    pub error: String,
}

/// A column of the target and its expression.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Column {
    /// Its name.
    pub column: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its expression.
    pub expression: String,
}

/// The result of one `verify`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct VerificationFigures {
    /// Time of the comparison.
    pub verified_at: Option<Timestamp>,
    /// Whether the target was equal to the equivalent join.
    pub equal: bool,
    /// Rows of the equivalent join.
    pub expected_rows: u64,
    /// Rows of the target.
    pub target_rows: u64,
    /// Differing rows.
    pub differences: u64,
    /// The compared share, if not all rows were compared.
    pub sample: String,
    /// Duration.
    pub seconds: f64,
    /// The complete result as `verify --json` prints it; `null` if unreadable.
    pub report: Value,
}

/// A time to the second, or `unknown`.
pub(super) fn time_or_unknown(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "unknown".to_owned(), time_text)
}

/// A recorded setting for people: sizes are recorded in bytes.
pub(super) fn setting_text(value: &str) -> String {
    let size = value.strip_suffix(" bytes").and_then(|number| number.parse().ok());
    size.map_or_else(|| value.to_owned(), bytes)
}

/// The next step of an unfinished load.
const RESUME: &str = "Run the same command again to complete the remaining chunks.";

/// The next step of a failed load.
const CORRECT: &str = "Correct the cause of the failed chunks, then run the same command again; completed chunks are kept.";

/// Assesses a version of a load by the newest comparison of its target and by the one that counts.
pub(super) fn assess(
    load: &LoadRecord,
    versions: &LoadVersions,
    at_work: bool,
    compared: Option<(&VerificationFigures, &Verified)>,
) -> Assessment {
    let say = |level, text: String, next: &str| Assessment { level, text, next: next.to_owned() };
    let is_newest = versions.newest().is_some_and(|newest| newest.run_id == load.run_id);
    if !is_newest && !load.is_current {
        return say(AssessmentLevel::Open, "Superseded by a later load.".to_owned(), "");
    }
    let (done, of) = (count(load.chunks_completed), count(load.chunks));
    let mut progress = format!("{done} of {of} chunks completed.");
    if let Some(current) = versions.current().filter(|current| current.run_id != load.run_id) {
        let at = time_or_unknown(current.completed_at);
        let _ = write!(progress, " Run {}, completed at {at}, stays current.", current.run_id);
    }
    match load.status {
        LoadState::Completed => completed(compared),
        _ if at_work => say(AssessmentLevel::Open, format!("In progress: {progress}"), ""),
        LoadState::Failed => say(AssessmentLevel::Bad, format!("Failed: {progress}"), CORRECT),
        LoadState::Interrupted => {
            say(AssessmentLevel::Open, format!("Interrupted: {progress}"), RESUME)
        }
        LoadState::Staged => {
            let text = format!("Staged and verified, not published: {progress}");
            say(AssessmentLevel::Open, text, RESUME)
        }
        LoadState::Superseded => say(
            AssessmentLevel::Open,
            "Rolled back: what it had replaced was put back.".to_owned(),
            "",
        ),
        LoadState::Started | LoadState::NotStarted => say(
            AssessmentLevel::Bad,
            format!("Interrupted: the process ended without recording a state; {progress}"),
            RESUME,
        ),
    }
}

fn completed(compared: Option<(&VerificationFigures, &Verified)>) -> Assessment {
    let say = |level, text: String, next: &str| Assessment { level, text, next: next.to_owned() };
    let again = "`verify` compares every column of every row with the equivalent join.";
    let Some((newest, verified)) = compared else {
        let text = "Completed: an independent count of the source agrees. Not verified yet.";
        return say(AssessmentLevel::Open, text.to_owned(), again);
    };
    if !newest.equal {
        let (found, at) = (counted(newest.differences, "row"), time_or_unknown(newest.verified_at));
        let differ = if newest.differences == 1 { "differs" } else { "differ" };
        let text = format!("Completed, but `verify` found {found} that {differ}, at {at}.");
        return say(AssessmentLevel::Bad, text, "`repair` fills the affected chunks again.");
    }
    let at = time_or_unknown(verified.verified_at);
    let (how, result) = match &*verified.sample {
        "" => ("verified".to_owned(), "the target equals the equivalent join"),
        sample => (format!("partly verified ({sample})"), "no row differs"),
    };
    if verified.changed_since == Some(true) {
        let text = format!("Completed and {how} at {at}, before later changes of the target.");
        return say(AssessmentLevel::Open, text, again);
    }
    say(AssessmentLevel::Good, format!("Completed and {how} at {at}: {result}."), "")
}
