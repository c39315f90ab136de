//! What a person sees when a load does not begin, or stops.

use super::plan::forbidden;
use crate::cli::failure::Failure;
use crate::engine::stream::PipelineError;
use crate::ledger::LedgerError;
use crate::load::LoadError;
use crate::plan::PlanError;
use crate::stop::Stop;

/// The same before a row has moved: what fails after the first signal is no failure, unless others
/// have taken over.
pub(crate) fn before_the_first_row(error: LoadError, stop: &Stop, again: &str) -> Failure {
    let taken_over = matches!(error, LoadError::Ledger(LedgerError::Superseded { .. }));
    let failure = failure(error, again);
    if taken_over { failure } else { failure.unless_stopped(stop) }
}

/// With `again`, what is safe after a run that did not finish, and how to go on.
pub(crate) fn failure(error: LoadError, again: &str) -> Failure {
    match error {
        LoadError::Ledger(error @ LedgerError::Held { .. }) => {
            Failure::refusal(&error).hint("wait for it, or stop it; --worker I/N shares a load among several processes")
        }
        LoadError::Ledger(error @ LedgerError::Superseded { .. }) => {
            Failure::stopped(&error).hint("nothing is lost: what this process recorded counts, and the rest is done by the other")
        }
        LoadError::Ledger(error @ LedgerError::MayNotCreate { .. }) => no_right(&error),
        LoadError::Ledger(error @ LedgerError::Server { .. }) if error.is_denied() => no_right(&error),
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
        LoadError::Forbidden { checks } => forbidden(&checks.iter().collect::<Vec<_>>()),
        LoadError::Preflight(error) if error.is_silence() => {
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
