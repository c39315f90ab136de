//! The claim of a process on a load: keeping it alive and noticing that it was lost, taking it over from
//! processes that are dead, giving it back, and the claim of a command that writes rows of a load without
//! being a run of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::request::{CLAIM_TIMEOUT, new_id};
use crate::clickhouse::{QueryPrefix, Servers};
use crate::ledger::{
    ClaimOptions, HeldClaim, Lease, Ledger, LedgerError, LoadRecord, SILENCE, WorkerPart,
    end_leftovers, in_time,
};
use crate::stop::Stop;
use crate::sync::Mutex;
use crate::units::duration;

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

/// The most time between two heartbeats while inserts wait for one.
const SOON: Duration = Duration::from_secs(1);

/// The task that says that this process lives. It ends when this is dropped.
pub(super) struct Heartbeat {
    task: JoinHandle<()>,
    lost: Arc<Mutex<Option<LedgerError>>>,
}

impl Heartbeat {
    /// Starts it. When the claim is lost, or was not confirmed for `patience` beyond its lease, the
    /// pipeline is stopped: what is queued is dropped, and inserts in flight are abandoned.
    pub(super) fn start(claim: Arc<HeldClaim>, patience: Duration, stop: Stop) -> Self {
        let lost = Arc::new(Mutex::new(None));
        let task = tokio::spawn({
            let lost = lost.clone();
            async move {
                let error = beat_until_lost(&claim, patience).await;
                tracing::error!(%error, "stopping");
                *lost.lock() = Some(error);
                claim.lease().lose();
                stop.abandon();
                stop.fail();
            }
        });
        Self { task, lost }
    }

    /// Why the claim was lost, if it was.
    pub(super) fn take_loss(&self) -> Option<LedgerError> {
        self.lost.lock().take()
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat_until_lost(claim: &HeldClaim, patience: Duration) -> LedgerError {
    let lease = claim.lease();
    let (mut failed, mut is_said) = (false, false);
    loop {
        let pause = if failed {
            claim.interval().min(SOON)
        } else {
            claim.interval().saturating_sub(lease.since_confirmed())
        };
        sleep(pause).await;
        match in_time(SILENCE, claim.beat()).await {
            Ok(()) => (failed, is_said) = (false, false),
            Err(error @ LedgerError::ClaimLost { .. }) => return error,
            Err(error) => {
                let silence = lease.since_confirmed();
                // Where the server of both is away, its own outage ends first.
                if silence > patience + 3 * claim.interval() {
                    return LedgerError::LeaseOver { silence, source: Box::new(error) };
                }
                let (cause, silence) = (error.cause(), duration(silence));
                if !failed {
                    tracing::warn!(%error, cause, silence, "a heartbeat cannot be written, the next one may");
                } else if lease.has_lapsed() && !is_said {
                    tracing::warn!(%error, cause, silence, "no heartbeat can be written, inserts wait for one");
                    is_said = true;
                } else {
                    tracing::debug!(%error, cause, silence, "a heartbeat cannot be written");
                }
                failed = true;
            }
        }
    }
}
