//! Giving up a chunk: the others go on, as long as not too many have failed.

use super::attempt::Attempt;
use super::error::PipelineError;
use super::shared::Shared;

/// Marks the chunk as failed.
///
/// # Errors
/// The run cannot go on: with `error` itself where other chunks would meet the same, with
/// [`PipelineError::Chunks`] where more have failed than are allowed.
pub(super) fn give_up_chunk(
    shared: &Shared,
    attempt: &Attempt,
    error: PipelineError,
) -> Result<(), PipelineError> {
    shared.counters.errors.add(1);
    let reason = error.reason();
    let failed = attempt.fail_chunk(&error);
    shared.counters.chunks_failed.set(failed as u64);
    if error.is_fatal() {
        return Err(error);
    }
    let chunk = attempt.chunk + 1;
    let chunks = usize::try_from(shared.counters.chunks_pending.get()).unwrap_or(usize::MAX);
    if failed <= shared.options.max_failed_chunks {
        let others = if failed < chunks { ", the others go on" } else { "" };
        tracing::error!(chunk, reason, failed, "a chunk failed{others}");
        return Ok(());
    }
    tracing::error!(
        chunk,
        reason,
        failed,
        allowed = shared.options.max_failed_chunks,
        "a chunk failed, and no more may"
    );
    Err(PipelineError::Chunks { failed: attempt.failed_chunks(), chunks, gave_up: true })
}
