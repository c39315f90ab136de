//! The gate that is asked before something new is begun.

use tokio::sync::watch;

/// Open while there is no reason to wait.
#[derive(Debug)]
pub(super) struct ThrottleGate(watch::Sender<Vec<String>>);

impl Default for ThrottleGate {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl ThrottleGate {
    pub fn reasons(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub fn is_closed(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    /// Says in the log when waiting begins and ends, and not each time that a number in a reason
    /// changes.
    pub fn set(&self, reasons: Vec<String>) {
        let waits = !reasons.is_empty();
        let waited = self.is_closed();
        if waits && !waited {
            tracing::info!("waiting: {}; chunks under way are finished", reasons.join("; "));
        } else if waited && !waits {
            tracing::info!("going on");
        }
        self.0.send_if_modified(|before| {
            let changed = *before != reasons;
            *before = reasons;
            changed
        });
    }

    pub async fn opened(&self) {
        let mut reasons = self.0.subscribe();
        // The sender lives as long as this does.
        let _ = reasons.wait_for(Vec::is_empty).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_waits_until_there_is_no_reason() {
        let gate = ThrottleGate::default();
        gate.opened().await;
        gate.set(vec!["262 parts in 202511, limit 250".to_owned()]);
        assert!(timeout(Duration::from_secs(60), gate.opened()).await.is_err());
        gate.set(vec!["paused with ctl".to_owned()]);
        let opening = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            gate.set(Vec::new());
        };
        let (opened, ()) = tokio::join!(timeout(Duration::from_secs(60), gate.opened()), opening);
        assert!(opened.is_ok());
    }
}
