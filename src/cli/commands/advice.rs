//! Errors of the rooms as failures of a command, with hints about what to do next.
//!
//! The last hint follows from the class of the error: an error that may pass says how to run the
//! command again, a permanent one says what to correct first.

use std::error::Error as StdError;

use crate::cli::failure::Failure;
use crate::clickhouse::{
    Error as ServerError, ErrorClass, TableName, quote_identifier, quote_literal,
};
use crate::engine::stream::error::FailedChunk;
use crate::engine::stream::{DedupError, PipelineError};
use crate::job::{BoundJob, JobError, Publish};
use crate::ledger::LedgerError;
use crate::load::{LoadError, TablesError};
use crate::plan::{ChunkId, PlanError};
use crate::preflight::{Check, SKIPPABLE};
use crate::progress::{count, counted};
use crate::publish::PublishError;
use crate::stop::Stop;

/// How many errors of chunks are shown; the log has all of them.
const CAUSES_NAMED: usize = 5;
/// How many chunks with the same error are named.
const CHUNKS_NAMED: usize = 10;

/// How a command continues after a failure.
#[derive(Clone, Debug)]
pub(crate) struct Continuation {
    /// The next command, for errors that may pass.
    next: &'static str,
    /// What is safe.
    safe: String,
}

impl Continuation {
    /// The continuation of a run that fills the job's target.
    pub(super) fn of_run(job: &BoundJob, dry_run: bool) -> Self {
        const NEXT: &str = "run the same command again to continue with the missing chunks";
        let target = &job.target.name;
        if dry_run {
            Self { next: "run the same command again", safe: "nothing was written".to_owned() }
        } else if job.publish == Publish::Replace {
            let safe = format!("{target} is as it was, and the chunks that were staged stay");
            Self { next: NEXT, safe }
        } else if job.target.is_replacing() {
            let safe = format!(
                "inserted rows stay, and rows inserted twice collapse in {target} by its sorting key"
            );
            Self { next: NEXT, safe }
        } else {
            let safe = format!(
                "inserted rows stay, and {target} recognizes batches sent twice if it has a deduplication window"
            );
            Self { next: NEXT, safe }
        }
    }

    /// The continuation of a command that only reads.
    pub(super) fn of_read() -> Self {
        Self { next: "run the same command again", safe: "nothing was changed".to_owned() }
    }

    /// The continuation of a repair.
    pub(super) fn of_repair() -> Self {
        let safe = "filled chunks and removals stay".to_owned();
        Self { next: "run the same command again", safe }
    }

    /// The hint after an error that may pass, or after a stop request.
    pub(super) fn hint(&self) -> String {
        format!("{}; {}", self.next, self.safe)
    }

    /// The hint after an error that has a server's error among its causes.
    fn after_server_error(&self, error: &(dyn StdError + 'static)) -> String {
        match ServerError::within(error) {
            Some(error) => self.after(error.class(), error.code()),
            None => self.hint(),
        }
    }

    /// The hint after an error of this class, with ClickHouse's code.
    fn after(&self, class: ErrorClass, code: Option<u32>) -> String {
        let safe = &self.safe;
        let correct = match (class, code) {
            (ErrorClass::Rows, _) => {
                "correct the column's expression in the job, or the rows in the source"
            }
            (ErrorClass::Fatal, Some(16 | 36 | 47 | 60 | 81)) => {
                "`clickhouse-backfill plan` checks the job against its tables, which may have changed"
            }
            (ErrorClass::Fatal, Some(252)) => {
                "set max_partitions_per_insert_block under [settings.insert] of the job to the partitions that a batch goes into, or use a partition key of the target with fewer values"
            }
            (ErrorClass::Fatal, Some(497)) => "grant the right that the server names",
            (ErrorClass::Fatal, _) => "correct the cause first, a retry would fail again",
            (ErrorClass::Retry, Some(75 | 243)) => {
                return format!("free disk space on the server, then {}", self.hint());
            }
            (ErrorClass::Retry, Some(173 | 241)) => {
                return format!(
                    "lower --batch-bytes, --inserters or --readers, or raise the server's memory limit, then {}",
                    self.hint()
                );
            }
            (ErrorClass::Retry | ErrorClass::Ambiguous, _) => return self.hint(),
        };
        format!("{correct}; {safe}")
    }
}

/// A failure before the first row. After a stop request it is an interruption, unless another
/// process has taken over.
pub(crate) fn before_the_first_row(
    error: LoadError,
    stop: &Stop,
    continuation: &Continuation,
) -> Failure {
    let is_claim_lost = matches!(error, LoadError::Ledger(LedgerError::ClaimLost { .. }));
    let failure = load_failure(error, continuation);
    if is_claim_lost { failure } else { failure.unless_stopped(stop) }
}

/// What helps where a version of a load cannot be continued.
const NEW_VERSION: &str = "--restart starts a new version of the load, with all rows";

/// A load that did not start, or stopped.
pub(crate) fn load_failure(error: LoadError, continuation: &Continuation) -> Failure {
    match error {
        LoadError::Ledger(error) => ledger_failure(&error, continuation),
        error @ LoadError::Changed { .. } => Failure::refusal(&error)
            .hint(NEW_VERSION)
            .hint("undo the changes to continue with the version that was started"),
        error @ LoadError::Superseded { .. } => Failure::stopped(&error)
            .hint(format!("run the same command again: it plans the objects anew; {}", continuation.safe)),
        LoadError::Plan(error @ (PlanError::OtherKey { .. } | PlanError::OtherRange { .. })) => {
            Failure::refusal(&error).hint(NEW_VERSION)
        }
        LoadError::Plan(error) => error.into(),
        LoadError::Repeats(error) => error.into(),
        LoadError::Blocked { checks } => blocked("run", &checks.iter().collect::<Vec<_>>()),
        LoadError::Preflight(error) => tested_insert_failure(&error, continuation),
        // All chunks are done: a run that continues would only count again.
        LoadError::Pipeline(error @ PipelineError::Count { .. }) => {
            Failure::from(&error).hint(format!(
                "--restart reads all chunks again, for example after writes to the source during the run; {}",
                continuation.safe
            ))
        }
        LoadError::Pipeline(error) => pipeline_failure(&error, continuation),
        error @ LoadError::Recording { .. } => {
            let hint =
                format!("{}; chunks that are not recorded are read again", continuation.hint());
            Failure::stopped(&error).hint(hint)
        }
        LoadError::Publish(error) => publish_failure(&error, continuation),
        LoadError::Verify(error) => {
            let message = "what was built could not be compared with what the job makes, and is not published";
            let hint = continuation.after_server_error(&error);
            Failure::stopped_because(message, &error).hint(hint)
        }
        error @ LoadError::RolledBack { .. } => Failure::refusal(&error).hint(NEW_VERSION),
        LoadError::Tables(error) => tables_failure(&error, continuation),
        LoadError::Chunks { ref reason, .. } => {
            let hint = match code_in(reason) {
                Some(code) => {
                    continuation.after(ErrorClass::of_exception(code, reason), Some(code))
                }
                None => continuation.hint(),
            };
            Failure::stopped(&error).hint(hint)
        }
        error @ (LoadError::Stopped | LoadError::Task(_)) => {
            Failure::stopped(&error).hint(continuation.hint())
        }
    }
}

/// The insert of a run, tested without rows, did not succeed.
fn tested_insert_failure(error: &ServerError, continuation: &Continuation) -> Failure {
    if error.code().is_none() {
        let message = "could not test the insert of a run without rows";
        return Failure::stopped_because(message, error).hint(continuation.hint());
    }
    let message = "the server refuses the insert of a run, tested without rows";
    Failure::refused_because(message, error).hint(continuation.after_server_error(error))
}

/// The tables of a load have changed while it was in progress, or cannot be compared with those before.
fn tables_failure(error: &TablesError, continuation: &Continuation) -> Failure {
    let failure = Failure::stopped(error);
    if !matches!(error, TablesError::Changed(_)) {
        return failure.hint(continuation.after_server_error(error));
    }
    failure.hint(format!("{NEW_VERSION}, as the tables are now")).hint(
        "undo the change to continue with the version that was started; chunks that were \
         recorded before the change are complete, the others are read again",
    )
}

/// A partition that was not replaced: the target is as it was.
fn publish_failure(error: &PublishError, continuation: &Continuation) -> Failure {
    const AGAIN: &str = "--restart builds everything again";
    match error {
        PublishError::Unfit { .. } | PublishError::NoSnapshot { .. } => Failure::refusal(error),
        PublishError::Nothing { .. } => Failure::refusal(error).hint(
            "`history` lists the versions; keep_versions under [target] of the job keeps what later ones replace",
        ),
        PublishError::Differs { .. } => Failure::different(error)
            .hint(format!("{AGAIN}, for example after writes to the source during the run"))
            .hint("the target is as it was; the stage stays until the next version of the load"),
        PublishError::Written { .. } => Failure::stopped(error).hint(format!(
            "stop what writes into the partition, then {AGAIN}; the rows that were written stay until then"
        )),
        PublishError::Busy { .. } => Failure::stopped(error)
            .hint(format!("{}, when fewer long inserts are under way", continuation.hint()))
            .hint("SELECT query_id, elapsed, query FROM system.processes WHERE query_kind = 'Insert' lists them"),
        PublishError::Inserting { query_id, .. } => Failure::stopped(error).hint(format!(
            "{}, when it has ended; KILL QUERY WHERE query_id = '{query_id}' ends it", continuation.hint()
        )),
        PublishError::Lost { .. } => Failure::stopped(error)
            .hint("run the same command again: it builds a new version of the load from the source"),
        PublishError::SnapshotGone { .. } => Failure::refusal(error)
            .hint("--restart makes a new copy and fills the partition again; inserted rows stay"),
        PublishError::Stage { .. } => Failure::stopped(error).hint(AGAIN),
        PublishError::Behind { .. } | PublishError::Stopped => {
            Failure::stopped(error).hint(continuation.hint())
        }
        PublishError::Server { .. } => {
            Failure::stopped(error).hint(continuation.after_server_error(error))
        }
    }
}

/// Whether another attempt would meet the same error, by a recorded reason.
pub(super) fn is_permanent(reason: &str) -> bool {
    code_in(reason).is_some_and(|code| {
        matches!(ErrorClass::of_exception(code, reason), ErrorClass::Rows | ErrorClass::Fatal)
    })
}

/// ClickHouse's error code in a recorded reason, `… Code: 6. DB::Exception: …`.
fn code_in(reason: &str) -> Option<u32> {
    let (_, rest) = reason.split_once("Code: ")?;
    let (code, _) = rest.split_once('.')?;
    code.parse().ok()
}

pub(super) fn ledger_failure(error: &LedgerError, continuation: &Continuation) -> Failure {
    match error {
        LedgerError::Held { .. } => Failure::refusal(error)
            .hint("wait for the other process, or stop it")
            .hint("--worker I/N shares a load among several processes"),
        LedgerError::ClaimLost { .. } => Failure::stopped(error).hint(
            "the other process does the rest; this process dropped the rows that it had queued, and \
             chunks that it recorded are kept",
        ),
        LedgerError::Leftovers { .. } => Failure::stopped(error)
            .hint("nothing was written; run the same command again when they have ended")
            .hint("KILL QUERY WHERE query_id = '…' ends an insert, if the user may do so"),
        LedgerError::Damaged { advice, .. } => Failure::refusal(error).hint(*advice),
        LedgerError::Malformed { .. } => Failure::refusal(error)
            .hint("--restart starts a new version of the load, with all rows; inserted rows stay"),
        LedgerError::MayNotCreate { .. } => no_ledger_right(error),
        LedgerError::MayNotUpgrade { statement, .. } => {
            Failure::refusal(error).hint(format!("a user with the right runs `{statement}`"))
        }
        LedgerError::Server { .. } if error.is_access_denied() => no_ledger_right(error),
        LedgerError::File { .. } => Failure::misuse(error)
            .hint("--ledger file:DIR names a directory that this user can write to"),
        error => Failure::stopped(error).hint(continuation.after_server_error(error)),
    }
}

/// The user may not use the ledger's tables.
fn no_ledger_right(error: &LedgerError) -> Failure {
    Failure::refusal(error).hint("--ledger file:DIR keeps the ledger in files of a directory").hint(
        "--ledger-db names a database that has the tables, or in which this user may create them",
    )
}

/// A failure of the pipeline.
pub(crate) fn pipeline_failure(error: &PipelineError, continuation: &Continuation) -> Failure {
    let hint = match error {
        PipelineError::DividedKeys { .. } => {
            "raise --memory; --allow-duplicates divides the keys, if repeated rows do no harm"
                .to_owned()
        }
        error if error.needs_memory() => "raise --memory".to_owned(),
        PipelineError::Chunks { failed, .. } => {
            // Permanent errors are more important: a retry does not help against them.
            let permanent = failed
                .iter()
                .find(|chunk| matches!(chunk.class, ErrorClass::Rows | ErrorClass::Fatal));
            permanent.or(failed.first()).map_or_else(
                || continuation.hint(),
                |chunk| continuation.after(chunk.class, chunk.code),
            )
        }
        error => continuation.after(error.class(), error.code()),
    };
    Failure::from(error).hint(hint)
}

/// Checks that block a command, such as `run`.
pub(crate) fn blocked(command: &str, checks: &[&Check]) -> Failure {
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    let (noun, verb) = if names.len() == 1 { ("check", "blocks") } else { ("checks", "block") };
    let mut failure =
        Failure::refused(format!("the {noun} {} {verb} the {command}", names.join(", ")));
    for check in checks {
        failure = failure.because(format!("{}: {}", check.name, check.detail));
        failure =
            check.lifted_by.iter().fold(failure, |failure, means| failure.hint(means.clone()));
    }
    let skippable: Vec<_> = names.into_iter().filter(|name| SKIPPABLE.contains(name)).collect();
    if skippable.is_empty() {
        failure
    } else {
        let names = skippable.join(",");
        failure.hint(format!("--skip-checks {names} downgrades this to a warning"))
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        if let JobError::Inexact { table, findings } = &error {
            let headline =
                format!("the target table {table} cannot hold the groups of the job exactly");
            let failure = Self::refused(headline);
            return findings.iter().fold(failure, |failure, finding| {
                failure.because(finding.what.clone()).hint(finding.remedy.clone())
            });
        }
        let failure = match &error {
            error if error.is_configuration() => Self::misuse(error),
            JobError::Server { .. } => Self::stopped(&error),
            JobError::UnreadableObjects { source, .. } if source.code().is_none() => {
                Self::stopped(&error)
            }
            _ => Self::refusal(&error),
        };
        match &error {
            JobError::NotFound { suggestion: Some(suggestion), .. } => {
                failure.hint(format!("did you mean {suggestion}?"))
            }
            JobError::Syntax { suggestion: Some(suggestion), .. }
            | JobError::UnknownPredicate { suggestion: Some(suggestion), .. }
            | JobError::MissingColumn { suggestion: Some(suggestion), .. } => {
                failure.hint(format!("did you mean {suggestion}?"))
            }
            JobError::IsSet { jobs, .. } => {
                let such = jobs.iter().take(1).map(|job| format!(", such as {job}"));
                failure.hint(format!("name one of its jobs{}", such.collect::<String>()))
            }
            JobError::NotFound { .. } => {
                failure.hint("`clickhouse-backfill job list` lists the built-in jobs")
            }
            JobError::MissingColumn { table, .. } => {
                failure.hint(format!("DESCRIBE TABLE {} lists its columns", table.quoted()))
            }
            JobError::DeniedColumn { role: "target", table, column } => failure.hint(format!(
                "the user needs INSERT({column}) ON {table}; to compare, SELECT({column}) ON {table}",
                column = quote_identifier(column),
                table = table.quoted()
            )),
            JobError::DeniedColumn { table, column, .. } => failure.hint(format!(
                "the user needs SELECT({}) ON {}",
                quote_identifier(column),
                table.quoted()
            )),
            JobError::MissingTable { role: "target", table } => failure
                .hint("--target-table names another target, --clickhouse-db another database")
                .hint(format!(
                    "the user needs INSERT ON {table}; to compare, SELECT ON {table}"
                )),
            JobError::MissingTable { table, .. } => failure
                .hint("--clickhouse-db names the database of the tables, --source-db that of source and lookup")
                .hint(format!("the user needs SELECT ON {table}")),
            _ => failure,
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let failure = match &error {
            PlanError::Partition(_) | PlanError::PartitionedOtherwise { .. } => {
                Self::misuse(&error)
            }
            PlanError::OtherKey { .. }
            | PlanError::OtherRange { .. }
            | PlanError::OtherObjects { .. }
            | PlanError::LongAttributes { .. } => Self::refusal(&error),
            PlanError::Server { source, .. }
                if source.code().is_some() && source.class() == ErrorClass::Fatal =>
            {
                Self::refusal(&error)
            }
            PlanError::Server { .. } => Self::stopped(&error),
        };
        match &error {
            PlanError::PartitionedOtherwise { table, .. } => failure.hint(format!(
                "--partition id:ID names a partition by its id; SELECT DISTINCT partition, partition_id FROM system.parts \
                 WHERE active AND database = {} AND table = {} lists them",
                quote_literal(&table.database),
                quote_literal(&table.table)
            )),
            PlanError::OtherObjects { .. } => {
                failure.hint("`run` without --plan begins a new version of the load with these objects")
            }
            PlanError::LongAttributes { needed, .. } => {
                failure.hint(format!("--memory {}MiB is enough for them", needed >> 20))
            }
            _ => failure,
        }
    }
}

impl From<DedupError> for Failure {
    fn from(error: DedupError) -> Self {
        if matches!(error, DedupError::Server { .. }) {
            return Self::stopped(&error);
        }
        let failure = Self::refused(error.to_string());
        let failure = if error.is_lifted_by_replacing() {
            failure.hint("publish = \"replace\" under [target] of the job, with --engine server, builds the partition beside the target and replaces it")
        } else {
            failure
        };
        let window = |table: &TableName, setting: &str, blocks: u64| {
            format!(
                "ALTER TABLE {} MODIFY SETTING {setting} = {blocks} lets it recognize repeated blocks",
                table.quoted()
            )
        };
        let failure = match &error {
            DedupError::ServerEngine { .. } => {
                return failure.hint("--engine stream sends blocks that the target recognizes");
            }
            DedupError::Again { target, .. } => {
                return failure
                    .hint("without --restart, `run` continues the version that was started, with the same tokens")
                    .hint(format!(
                        "TRUNCATE TABLE {} removes the rows, then --restart is possible",
                        target.quoted()
                    ))
                    .hint("--allow-duplicates starts a new version; remove the other one's rows first");
            }
            DedupError::View { target, setting, .. } => {
                failure.hint(window(target, setting, 10_000))
            }
            DedupError::NoWindow { target, setting, .. } => setting
                .iter()
                .fold(failure, |failure, setting| failure.hint(window(target, setting, 10_000)))
                .hint("a ReplacingMergeTree needs no window: repeated rows collapse by its sorting key"),
            DedupError::WindowTooSmall { target, needed, setting, .. } => {
                failure.hint(window(target, setting, needed.saturating_mul(2)))
            }
            DedupError::SwitchedOff { setting, .. } => failure.hint(format!(
                "remove {setting} under [settings.insert] of the job, then blocks are recognized"
            )),
            DedupError::Server { .. } => failure,
        };
        failure.hint("--allow-duplicates fills it anyway; repeated rows then stay")
    }
}

/// A failed chunk, and those that failed with the same error of the server.
struct ChunkCause<'a> {
    first: &'a FailedChunk,
    others: Vec<ChunkId>,
}

/// The failed chunks by the server's error, in the order in which the errors came up.
fn causes_of(failed: &[FailedChunk]) -> Vec<ChunkCause<'_>> {
    let mut causes: Vec<ChunkCause<'_>> = Vec::new();
    for chunk in failed {
        let is_same = |cause: &&mut ChunkCause<'_>| {
            chunk.code.is_some()
                && (cause.first.code, cause.first.class) == (chunk.code, chunk.class)
        };
        match causes.iter_mut().find(is_same) {
            Some(cause) => cause.others.push(chunk.chunk),
            None => causes.push(ChunkCause { first: chunk, others: Vec::new() }),
        }
    }
    causes
}

impl ChunkCause<'_> {
    fn text(&self) -> String {
        let text = format!("chunk {}: {}", self.first.chunk, self.first.reason.trim_end());
        let mut others = self.others.clone();
        others.sort_by_key(|chunk| chunk.order());
        let named: Vec<_> = others.iter().take(CHUNKS_NAMED).map(ToString::to_string).collect();
        let more = match others.len().saturating_sub(CHUNKS_NAMED) {
            0 => String::new(),
            more => format!(" and {} more", count(more as u64)),
        };
        match others.len() {
            0 => text,
            1 => format!("{text}\n           the same error in chunk {}", named.concat()),
            _ => format!("{text}\n           the same error in chunks {}{more}", named.join(", ")),
        }
    }
}

impl From<&PipelineError> for Failure {
    fn from(error: &PipelineError) -> Self {
        let mut failure = Self::stopped(error);
        if let PipelineError::Chunks { failed, .. } = error {
            let causes = causes_of(failed);
            for cause in causes.iter().take(CAUSES_NAMED) {
                failure = failure.because(cause.text());
            }
            let rest = causes.iter().skip(CAUSES_NAMED).map(|cause| 1 + cause.others.len());
            let more = rest.sum::<usize>() as u64;
            if more > 0 {
                failure = failure.because(format!("and {} more", counted(more, "chunk")));
            }
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::stream::error::FailedChunk;
    use crate::plan::ChunkId;

    fn continuation() -> Continuation {
        let next = "run the same command again to continue with the missing chunks";
        Continuation { next, safe: "inserted rows stay".to_owned() }
    }

    fn insert_failed(code: u32) -> PipelineError {
        let message = format!("Code: {code}. DB::Exception: no");
        let source = Box::new(ServerError::Server { code: Some(code), message, mid_stream: false });
        let table = TableName { database: "d".to_owned(), table: "t".to_owned() };
        PipelineError::Insert {
            table,
            chunk: ChunkId::planned(0),
            rows: 1,
            bytes: 1,
            attempts: 1,
            source,
        }
    }

    fn last_hint(error: &PipelineError) -> String {
        pipeline_failure(error, &continuation()).hints().last().cloned().unwrap_or_default()
    }

    #[test]
    fn an_error_that_may_pass_says_how_to_run_again() {
        let again =
            "run the same command again to continue with the missing chunks; inserted rows stay";
        assert_eq!(last_hint(&insert_failed(202)), again);
        assert_eq!(
            last_hint(&insert_failed(243)),
            format!("free disk space on the server, then {again}")
        );
    }

    #[test]
    fn a_recorded_reason_has_a_class() {
        let hint = |reason: &str| {
            let (failed, chunks, first, reason) = (1, 4, ChunkId::planned(1), reason.to_owned());
            let error = LoadError::Chunks { failed, chunks, first, reason };
            load_failure(error, &continuation()).hints().join("\n")
        };
        let rows = "inserting a batch failed after 1 attempt: Code: 6. DB::Exception: Cannot parse";
        assert!(hint(rows).starts_with("correct the column's expression"), "{}", hint(rows));
        assert!(hint("it was killed").starts_with("run the same command again"));
    }

    #[test]
    fn a_permanent_error_says_what_to_correct() {
        for (code, begin) in [
            (469, "correct the column's expression in the job, or the rows in the source"),
            (60, "`clickhouse-backfill plan` checks the job against its tables"),
            (497, "grant the right that the server names"),
            (62, "correct the cause first"),
        ] {
            let error = insert_failed(code);
            let chunk = |error| FailedChunk {
                chunk: ChunkId::planned(0),
                reason: String::new(),
                class: PipelineError::class(error),
                code: PipelineError::code(error),
            };
            let failed = vec![chunk(&insert_failed(202)), chunk(&error)];
            let chunks = PipelineError::Chunks { failed, chunks: 2, gave_up: true };
            for error in [error, chunks] {
                let text = pipeline_failure(&error, &continuation()).text();
                let hint = last_hint(&error);
                assert!(
                    hint.starts_with(begin) && hint.ends_with("; inserted rows stay"),
                    "{hint}"
                );
                assert!(!text.contains("run the same command again"), "{text}");
            }
        }
    }
}
