//! Taking a claim over from processes that are dead, giving it back, and the claim of a command that
//! writes rows of a load without being a run of it.

use std::sync::Arc;
use std::time::Duration;

use super::heartbeat::Heartbeat;
use super::request::{CLAIM_TIMEOUT, new_id};
use crate::clickhouse::{QueryPrefix, Servers};
use crate::ledger::{
    ClaimOptions, HeldClaim, Lease, Ledger, LedgerError, LoadRecord, SILENCE, WorkerPart,
    end_leftovers, in_time,
};
use crate::stop::Stop;

/// Sees to it that processes that were taken for dead write nothing any more.
pub(super) async fn take_over(
    servers: &Servers,
    claim: &HeldClaim,
    patience: Duration,
) -> Result<(), LedgerError> {
    for connection in servers.each() {
        end_leftovers(connection, &claim.dead_claims(), patience).await?;
    }
    claim.end_dead_claims(patience).await
}

/// A claim that is not given back would be in the way of the next run until it expires.
pub(super) async fn give_back(claim: &HeldClaim) {
    if let Err(error) = in_time(SILENCE, claim.release()).await {
        tracing::warn!(%error, "the claim on the load cannot be given back; another run may have to wait for it to expire");
    }
}

/// The claim on a whole load. While it is held, no run and no other such command works on the load.
pub(crate) struct ExclusiveClaim {
    claim: Arc<HeldClaim>,
    heartbeat: Heartbeat,
}

impl ExclusiveClaim {
    /// Claims the load, and ends what dead processes left at the servers. Stops through `stop` where
    /// the claim is lost later. A ledger that cannot be reached is asked again for `patience`.
    ///
    /// # Errors
    /// [`LedgerError::Held`] while another process works on the load, and those of the ledger.
    pub(crate) async fn take(
        ledger: &Ledger,
        load: &LoadRecord,
        servers: &Servers,
        patience: Duration,
        stop: &Stop,
    ) -> Result<Self, LedgerError> {
        let options = ClaimOptions { part: WorkerPart::WHOLE, timeout: CLAIM_TIMEOUT, patience };
        let claim = Arc::new(ledger.claim(&load.key, &new_id(), options).await?);
        claim.set_run(&load.run_id);
        let heartbeat = Heartbeat::start(claim.clone(), patience, stop.clone());
        if let Err(error) = take_over(servers, &claim, patience).await {
            give_back(&claim).await;
            return Err(error);
        }
        Ok(Self { claim, heartbeat })
    }

    /// The queries of its process, so that whoever takes over finds those that it left behind.
    pub(crate) fn queries(&self, run_id: &str) -> QueryPrefix {
        QueryPrefix::of_process(run_id, self.claim.id())
    }

    /// Until when this process may send inserts.
    pub(crate) fn lease(&self) -> &Lease {
        self.claim.lease()
    }

    /// Gives it back.
    ///
    /// # Errors
    /// Why the claim was lost before, if it was.
    pub(crate) async fn end(self) -> Result<(), LedgerError> {
        if let Some(loss) = self.heartbeat.take_loss() {
            return Err(loss);
        }
        give_back(&self.claim).await;
        Ok(())
    }
}
