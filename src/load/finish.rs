//! The end of a run: what its outcome means for the load, and the record of it.

use super::LoadError;
use super::claim::give_back;
use super::publishing::Published;
use super::record::Record;
use super::run::{Done, Load};
use crate::causes::error_chain;
use crate::engine::stream::{Ran, SourceCount};
use crate::ledger::{
    ChunkRecord, ChunkStatus, LedgerError, LoadRecord, SILENCE, WorkerPart, in_time, persist,
};
use crate::state::{LoadState, RunOutcome};

impl Load {
    /// Judges what was done, completes the load if that was the last of it, and gives the claim
    /// back.
    pub(super) async fn finish(&mut self, done: Done) -> Result<RunOutcome, LoadError> {
        let ended = self.judge(done).await;
        let Some(record) = &mut self.record else { return ended };
        // What failed may have failed because another process has taken over.
        let ended = match ended {
            Err(lost @ LoadError::Ledger(LedgerError::ClaimLost { .. })) => Err(lost),
            ended => match in_time(SILENCE, record.claim.ensure()).await {
                Err(lost @ LedgerError::ClaimLost { .. }) => Err(lost.into()),
                _ => ended,
            },
        };
        if let Err(LoadError::Ledger(LedgerError::ClaimLost { .. })) = &ended {
            // The record and the claim are another's now.
            return ended;
        }
        let counters = &self.request.counters;
        let sent = [&counters.batches, &counters.uncertain_inserts, &counters.inserted_rows];
        // Others may have inserted rows that this process does not know of.
        let is_untouched = record.part() == WorkerPart::WHOLE
            && record.was_untouched
            && sent.iter().all(|counter| counter.get() == 0);
        record.load.is_untouched = is_untouched;
        let noted = match &ended {
            // Of a load that goes on, its chunks say how far it is.
            Ok(RunOutcome::Interrupted) => note(record, LoadState::Interrupted, "").await,
            Ok(_) => Ok(()),
            Err(error) => note(record, LoadState::Failed, &error_chain(error)).await,
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "how the run ended is not in the ledger");
        }
        give_back(&record.claim).await;
        ended
    }

    async fn judge(&mut self, done: Done) -> Result<RunOutcome, LoadError> {
        let Some(record) = &mut self.record else { return Ok(RunOutcome::Interrupted) };
        if let Some(loss) = record.heartbeat.take_loss() {
            return Err(loss.into());
        }
        self.require_same_source(&done).await?;
        let Done { ran, tally, recording } = done;
        let Some(record) = &mut self.record else { return Ok(RunOutcome::Interrupted) };
        if let Err(source) = recording {
            // Where only failures are not in the ledger, nothing is lost by that.
            if tally.lost > 0 || ran.is_ok() {
                return Err(LoadError::Recording { chunks: tally.lost, source });
            }
            tracing::warn!(error = %source, cause = source.cause(), "the failed chunks are not in the ledger");
        }
        let ran = ran?;
        if let Some(counted) = ran.and_then(|ran| ran.counted) {
            record.note_count(counted);
        }
        if ran.is_some_and(|ran| !ran.is_complete) {
            return Ok(RunOutcome::Interrupted);
        }
        let chunks = record.chunks_now().await?;
        let planned = self.plan.chunks.len();
        let part = record.own(planned);
        let total = planned.max(chunks.len()) as u64;
        self.counts.total = total;
        let left = total
            - chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Completed).count() as u64;
        let own = |chunk: &&ChunkRecord| part.contains(&chunk.id().planned_number());
        let own_left: Vec<_> = chunks
            .iter()
            .filter(own)
            .filter(|chunk| chunk.status != ChunkStatus::Completed)
            .collect();
        if let Some(first) = own_left.first() {
            let reason = if first.error.is_empty() {
                "it is not known to be completed".to_owned()
            } else {
                first.error.clone()
            };
            let failed = own_left.len() as u64;
            return Err(LoadError::Chunks { failed, chunks: total, first: first.id(), reason });
        }
        if left > 0 {
            return Ok(RunOutcome::PartCompleted { chunks_left: left });
        }
        match self.complete(&chunks).await {
            Err(error @ (LoadError::Pipeline(_) | LoadError::Verify(_))) => {
                self.require_same_objects().await.and(Err(error))
            }
            completed => completed,
        }
    }

    /// A run that failed may have done so because a table or an object was changed.
    async fn require_same_source(&self, done: &Done) -> Result<(), LoadError> {
        let Done { ran, recording, .. } = done;
        if recording.is_ok() && matches!(ran, Ok(None | Some(Ran { is_complete: true, .. }))) {
            return Ok(());
        }
        if let Err(changed) = self.tables().check_briefly().await {
            if let Err(error) = ran {
                let reason = error_chain(error);
                tracing::warn!(reason, "the run failed, and a table has changed");
            }
            return Err(changed.into());
        }
        if ran.is_err() { self.require_same_objects().await } else { Ok(()) }
    }

    /// Counts the source and completes the load. Two workers that finish at the same moment may
    /// both do so.
    async fn complete(&mut self, chunks: &[ChunkRecord]) -> Result<RunOutcome, LoadError> {
        let deletions = self.pipeline().sweep(&self.plan).await;
        let streamed = chunks.iter().map(|chunk| chunk.rows_read).sum();
        let expected = self.record.as_ref().and_then(|record| record.load.counted());
        let expected = match expected {
            Some((rows, keys)) => SourceCount { rows, keys },
            // Its chunks were read before.
            None => SourceCount { rows: self.pipeline().count(&self.plan).await?, keys: None },
        };
        self.pipeline().check_count(&self.plan, expected, streamed, deletions).await?;
        self.tables().check().await?;
        self.require_same_objects().await?;
        if Box::pin(self.publish(chunks)).await? == Published::Stopped {
            return Ok(RunOutcome::Interrupted);
        }
        let Some(record) = &mut self.record else { return Ok(RunOutcome::Completed) };
        record.note_count(expected);
        // Confirms that this process still holds the claim.
        persist(record.options.patience, || record.claim.beat()).await?;
        record.write(LoadState::Completed, "", chunks).await?;
        self.drop_built().await;
        self.drop_snapshot().await;
        Ok(RunOutcome::Completed)
    }
}

/// Writes how the run ended, unless other workers go on with it, or one of them has just completed
/// it.
async fn note(record: &mut Record, status: LoadState, error: &str) -> Result<(), LedgerError> {
    let writing = async {
        if status == LoadState::Interrupted
            && record.part().workers > 1
            && record.claim.others_at_work().await?
        {
            return Ok(());
        }
        let newest = record.ledger.newest_load(&record.load.key).await?;
        let own = |newest: &LoadRecord| {
            newest.run_id == record.load.run_id && newest.status != LoadState::Completed
        };
        let Some(newest) = newest.filter(own) else { return Ok(()) };
        // It was counted, though what came of it was a failure.
        if let Some((rows, keys)) = newest.counted() {
            record.note_count(SourceCount { rows, keys });
        }
        let chunks = record.ledger.chunks(&record.load.run_id).await?;
        record.load.status = status;
        error.clone_into(&mut record.load.error);
        record.load.sum(&chunks);
        record.ledger.write_load(&record.load).await
    };
    in_time(SILENCE, writing).await
}
