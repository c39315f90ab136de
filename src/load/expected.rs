//! Writing down how many rows there will be as soon as they were counted, so that others see how
//! far a load is. No failure in here disturbs the run.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::ledger::{HeldClaim, Ledger, LedgerError, LoadRecord, SILENCE, in_time};

/// What is written when the count comes.
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
