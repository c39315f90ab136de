//! The part of a load that keeps the record: the ledger, this process's claim, and what was
//! recorded before.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::heartbeat::Heartbeat;
use super::request::Recording;
use crate::ledger::{
    ChunkRecord, ChunkStatus, HeldClaim, Ledger, LedgerError, LoadRecord, SILENCE, WorkerPart,
    in_time, persist,
};
use crate::state::LoadState;

/// Keeps the record of a load on which this process holds a claim.
pub(super) struct Record {
    pub ledger: Ledger,
    pub claim: Arc<HeldClaim>,
    pub heartbeat: Heartbeat,
    pub options: Recording,
    /// Whether no row of the load had been inserted when this process came.
    pub was_untouched: bool,
    /// The load as it is, or is to be written.
    pub load: LoadRecord,
    /// Its chunks as this process found them.
    pub chunks: Vec<ChunkRecord>,
    /// The version of the load that this one replaces.
    pub replaces: Option<LoadRecord>,
}

impl Record {
    /// Which part of the chunks this process works on.
    pub(super) fn part(&self) -> WorkerPart {
        self.options.part
    }

    /// For each chunk, whether this process is to do it.
    pub(super) fn pending(&self, chunks: usize) -> Vec<bool> {
        let part = self.part().range_of(chunks);
        let mut pending: Vec<_> = (0..chunks).map(|number| part.contains(&number)).collect();
        for done in self.completed() {
            if let Some(pending) =
                usize::try_from(done.chunk).ok().and_then(|number| pending.get_mut(number))
            {
                *pending = false;
            }
        }
        pending
    }

    /// The chunks that were completed when this process came.
    pub(super) fn completed(&self) -> impl Iterator<Item = &ChunkRecord> {
        self.chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Completed)
    }

    /// Who works, for people.
    pub(super) fn worker(&self) -> String {
        let process = self.claim.process();
        format!("{} {} {}", self.part(), process.host, process.pid)
    }

    /// Writes the load with this status, and the sums of these chunks.
    pub(super) async fn write(
        &mut self,
        status: LoadState,
        error: &str,
        chunks: &[ChunkRecord],
    ) -> Result<(), LedgerError> {
        self.load.status = status;
        error.clone_into(&mut self.load.error);
        self.load.sum(chunks);
        persist(self.options.patience, || self.ledger.write_load(&self.load)).await
    }

    /// The chunks as they are now.
    pub(super) async fn chunks_now(&self) -> Result<Vec<ChunkRecord>, LedgerError> {
        persist(self.options.patience, || self.ledger.chunks(&self.load.run_id)).await
    }
}

/// Writes how many rows there will be as soon as they were counted, so that others see how far a load
/// is. No failure in here disturbs the run.
pub(super) struct Expected {
    pub ledger: Ledger,
    pub claim: Arc<HeldClaim>,
    pub load: LoadRecord,
}

impl Expected {
    /// Waits for the count, and writes it.
    pub(super) async fn note(self, mut counted: UnboundedReceiver<u64>) {
        let Some(rows) = counted.recv().await else { return };
        // What was counted when the load began stays what it was.
        if self.load.rows_expected.is_some() {
            return;
        }
        if let Err(error) = in_time(SILENCE, self.write(rows)).await {
            tracing::debug!(%error, cause = error.cause(), "how many rows there will be is not in the ledger yet");
        }
    }

    async fn write(&self, rows: u64) -> Result<(), LedgerError> {
        // Who has lost the load writes nothing about it.
        self.claim.beat().await?;
        let Some(load) = self.ledger.newest_load(&self.load.key).await? else { return Ok(()) };
        if load.run_id != self.load.run_id || load.rows_expected.is_some() {
            return Ok(());
        }
        self.ledger.write_load(&LoadRecord { rows_expected: Some(rows), ..load }).await
    }
}
