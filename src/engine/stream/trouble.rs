//! What stands in a pipeline's way: the last failure that is tried again, and servers that are
//! waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by all tasks; read by whoever shows it.
#[derive(Debug, Default)]
pub struct Trouble {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_retry: Option<Retry>,
    outages: Vec<Outage>,
}

/// A statement that is tried again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// When it failed.
    pub at: Instant,
    /// When it is sent again.
    pub again_at: Instant,
    /// Why it failed.
    pub reason: String,
}

/// A server that cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Its URL.
    pub url: String,
    /// Since when.
    pub since: Instant,
    /// It is waited for so long.
    pub longest: Duration,
}

/// The server is waited for until this is dropped.
pub(super) struct Away<'a> {
    trouble: &'a Trouble,
    outage: Outage,
}

impl Trouble {
    /// The last statement that failed and is tried again.
    pub fn last_retry(&self) -> Option<Retry> {
        self.state().last_retry.clone()
    }

    /// The servers that are waited for.
    pub fn outages(&self) -> Vec<Outage> {
        self.state().outages.clone()
    }

    pub(super) fn retry(&self, reason: String, pause: Duration) {
        let at = Instant::now();
        self.state().last_retry = Some(Retry { at, again_at: at + pause, reason });
    }

    pub(super) fn away(&self, url: String, longest: Duration) -> Away<'_> {
        let outage = Outage { url, since: Instant::now(), longest };
        self.state().outages.push(outage.clone());
        Away { trouble: self, outage }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        let mut state = self.trouble.state();
        if let Some(position) = state.outages.iter().position(|outage| *outage == self.outage) {
            state.outages.remove(position);
        }
    }
}
