//! Keeping a claim alive, and noticing that it was lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::ledger::{HeldClaim, LedgerError, SILENCE, in_time};
use crate::stop::Stop;
use crate::sync::Mutex;
use crate::units::duration;

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
