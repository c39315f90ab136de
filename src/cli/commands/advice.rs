//! Errors of the rooms as failures of a command, each with hints about what to do next.

use crate::cli::failure::Failure;
use crate::clickhouse::{TableName, quote_literal};
use crate::engine::stream::{PipelineError, RepeatsError};
use crate::job::JobError;
use crate::ledger::LedgerError;
use crate::load::LoadError;
use crate::plan::PlanError;
use crate::preflight::Check;
use crate::stop::Stop;

/// The same before a row has moved: what fails after the first signal is no failure, unless others
/// have taken over.
pub(crate) fn before_the_first_row(error: LoadError, stop: &Stop, again: &str) -> Failure {
    let taken_over = matches!(error, LoadError::Ledger(LedgerError::Superseded { .. }));
    let failure = load_failure(error, again);
    if taken_over { failure } else { failure.unless_stopped(stop) }
}

/// With `again`, what is safe after a run that did not finish, and how to go on.
pub(crate) fn load_failure(error: LoadError, again: &str) -> Failure {
    match error {
        LoadError::Ledger(error @ LedgerError::Held { .. }) => {
            Failure::refusal(&error).hint("wait for it, or stop it; --worker I/N shares a load among several processes")
        }
        LoadError::Ledger(error @ LedgerError::Superseded { .. }) => {
            Failure::stopped(&error).hint("nothing is lost: what this process recorded counts, and the rest is done by the other")
        }
        LoadError::Ledger(error @ LedgerError::MayNotCreate { .. }) => no_right(&error),
        LoadError::Ledger(error @ LedgerError::Server { .. }) if error.is_access_denied() => no_right(&error),
        LoadError::Ledger(error @ LedgerError::File { .. }) => {
            Failure::misuse(&error).hint("--ledger names the folder; this user must be able to write to it")
        }
        LoadError::Ledger(error) => Failure::stopped(&error).hint(again),
        error @ LoadError::Changed { .. } => Failure::refusal(&error)
            .hint("--restart begins a new version of the load, with all rows")
            .hint("to go on with the one that was begun, put back what has changed"),
        LoadError::Plan(error @ PlanError::OtherKey { .. }) => {
            Failure::refusal(&error).hint("--restart begins a new version of the load, with all rows")
        }
        LoadError::Plan(error) => error.into(),
        LoadError::Repeats(error) => error.into(),
        LoadError::Forbidden { checks } => blocked("run", &checks.iter().collect::<Vec<_>>()),
        LoadError::Preflight(error) if error.is_no_response() => {
            Failure::stopped_because("the insert that a run would send could not be tried without rows", &*error).hint(again)
        }
        LoadError::Preflight(error) => {
            Failure::refused_because("the server refuses the insert that a run would send, tried without rows", &*error)
        }
        LoadError::Pipeline(error @ PipelineError::Count { .. }) => Failure::from(error)
            .hint(again)
            .hint("every chunk was read once: where the source was written to meanwhile, --restart reads all of them again"),
        LoadError::Pipeline(error) => Failure::from(error).hint(again),
        error @ LoadError::Recording { .. } => {
            Failure::stopped(&error).hint(format!("{again}; the chunks that are not recorded are read once more"))
        }
        error @ (LoadError::Chunks { .. } | LoadError::Stopped | LoadError::Task(_)) => Failure::stopped(&error).hint(again),
    }
}

/// The tables of the ledger are not for this user.
fn no_right(error: &LedgerError) -> Failure {
    Failure::refusal(error)
        .hint("--ledger file:DIR keeps the same record in files of a folder")
        .hint("--ledger-db names a database in which tables may be created, or in which somebody else has created them")
}

/// Checks that block a command, such as `run`.
pub(crate) fn blocked(command: &str, checks: &[&Check]) -> Failure {
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    let (noun, verb) = if names.len() == 1 { ("check", "forbids") } else { ("checks", "forbid") };
    let mut failure =
        Failure::refused(format!("the {noun} {} {verb} the {command}", names.join(", ")));
    for check in checks {
        failure = failure.because(format!("{}: {}", check.name, check.detail));
        failure =
            check.lifted_by.iter().fold(failure, |failure, means| failure.hint(means.clone()));
    }
    let skipped: Vec<_> =
        names.into_iter().filter(|name| crate::preflight::SKIPPABLE.contains(name)).collect();
    if skipped.is_empty() {
        failure
    } else {
        failure.hint(format!("--skip-checks {} {command}s all the same", skipped.join(",")))
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let failure = match &error {
            error if error.is_configuration() => Self::misuse(error),
            JobError::Server { .. } => Self::stopped(&error),
            _ => Self::refusal(&error),
        };
        match &error {
            JobError::NotFound { suggestion: Some(suggestion), .. } => failure.hint(format!("did you mean {suggestion}?")),
            JobError::NotFound { .. } => failure.hint("`clickhouse-backfill job list` shows the built-in jobs"),
            JobError::Syntax { suggestion: Some(suggestion), .. } | JobError::MissingColumn { suggestion: Some(suggestion), .. } => {
                failure.hint(format!("did you mean {suggestion}?"))
            }
            JobError::MissingColumn { table, .. } => failure.hint(format!("DESCRIBE TABLE {} shows its columns", table.quoted())),
            JobError::MissingTable { role: "target", table } => failure
                .hint("--target-table names another target; --clickhouse-db another database")
                .hint(format!("the user needs INSERT ON {table}; to compare, SELECT ON {table}")),
            JobError::MissingTable { table, .. } => failure
                .hint("--clickhouse-db names the database in which the tables are, --source-db that of source and lookup")
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
            PlanError::OtherKey { .. } => Self::refusal(&error),
            PlanError::Server { .. } => Self::stopped(&error),
        };
        match &error {
            PlanError::PartitionedOtherwise { table, .. } => failure.hint(format!(
                "--partition id:ID names a partition by its id; SELECT DISTINCT partition, partition_id FROM system.parts WHERE active AND \
                 database = {} AND table = {} lists them",
                quote_literal(&table.database),
                quote_literal(&table.table)
            )),
            _ => failure,
        }
    }
}

impl From<RepeatsError> for Failure {
    fn from(error: RepeatsError) -> Self {
        let failure = if matches!(error, RepeatsError::Server { .. }) {
            Self::stopped(&error)
        } else {
            Self::refused(error.to_string())
        };
        let window = |table: &TableName, setting: &str, blocks: u64| {
            format!(
                "ALTER TABLE {} MODIFY SETTING {setting} = {blocks} makes it recognize what comes again",
                table.quoted()
            )
        };
        let failure = match &error {
            RepeatsError::NoWindow { target, setting: Some(setting), .. }
            | RepeatsError::View { target, setting, .. } => {
                failure.hint(window(target, setting, 10_000))
            }
            RepeatsError::WindowTooSmall { target, needed, setting, .. } => {
                failure.hint(window(target, setting, needed.saturating_mul(2)))
            }
            RepeatsError::NoWindow { .. } => failure,
            RepeatsError::SwitchedOff { setting, .. } => failure.hint(format!(
                "without {setting} under [settings.insert] of the job, blocks are recognized"
            )),
            RepeatsError::Again { target, .. } => {
                return failure
                    .hint("without --restart, `run` goes on with the version that was begun, under the same tokens")
                    .hint(format!("TRUNCATE TABLE {} makes room for a new one", target.quoted()))
                    .hint(
                        "--allow-duplicates begins it all the same: once ALTER TABLE … DROP PARTITION has removed what the other inserted",
                    );
            }
            RepeatsError::Server { .. } => return failure,
        };
        let failure = match &error {
            RepeatsError::NoWindow { .. } => failure.hint(
                "a ReplacingMergeTree needs none: its repeated rows collapse by its sorting key",
            ),
            _ => failure,
        };
        failure.hint("--allow-duplicates fills it all the same")
    }
}

/// So many failed chunks are named; the log has all.
const CHUNKS_NAMED: usize = 10;

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        Self::from(&error)
    }
}

impl From<&PipelineError> for Failure {
    fn from(error: &PipelineError) -> Self {
        let mut failure = Self::stopped(error);
        if let PipelineError::Chunks { failed, .. } = error {
            for chunk in failed.iter().take(CHUNKS_NAMED) {
                failure = failure.because(format!("chunk {}: {}", chunk.chunk + 1, chunk.reason));
            }
            if failed.len() > CHUNKS_NAMED {
                failure = failure.because(format!("and {} more", failed.len() - CHUNKS_NAMED));
            }
        }
        failure
    }
}
