//! Keeping a claim alive, and noticing that it was lost.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ledger::{HeldClaim, LedgerError, SILENCE, in_time};
use crate::stop::Stop;
use crate::sync::Mutex;

/// The task that says that this process lives. It ends when this is dropped.
pub(super) struct Heartbeat {
    task: JoinHandle<()>,
    lost: Arc<Mutex<Option<LedgerError>>>,
}

impl Heartbeat {
    /// Starts it. When the claim is lost, the pipeline is asked to stop.
    pub(super) fn start(claim: Arc<HeldClaim>, stop: Stop) -> Self {
        let lost = Arc::new(Mutex::new(None));
        let task = tokio::spawn({
            let lost = lost.clone();
            async move {
                let error = beat_until_lost(&claim).await;
                tracing::error!(%error, "stopping");
                *lost.lock() = Some(error);
                stop.request();
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

async fn beat_until_lost(claim: &HeldClaim) -> LedgerError {
    let mut ticks = interval_at(Instant::now() + claim.interval(), claim.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match in_time(SILENCE, claim.beat()).await {
            Ok(()) => {}
            Err(error @ LedgerError::ClaimLost { .. }) => return error,
            Err(error) => {
                tracing::warn!(%error, cause = error.cause(), "a heartbeat cannot be written, the next one may");
            }
        }
    }
}
