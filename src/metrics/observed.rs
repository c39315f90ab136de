//! What is observed: a run by its handle, and what is known of it besides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::control::Control;

/// What does not change while a run goes on, and its handle does not say.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// Which part of the load, such as `1/1`.
    pub worker: String,
    /// The ceiling that was set for the process's memory, in bytes.
    pub memory_limit_bytes: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It goes on.
    Running,
    /// Everything was done.
    Completed,
    /// Something failed for good.
    Failed,
    /// It was stopped.
    Interrupted,
}

/// A run that is observed.
pub struct Observed {
    info: RunInfo,
    control: Arc<Control>,
    pub(super) began: SystemTime,
    pub(super) greatest: Greatest,
    state: Mutex<RunState>,
}

impl Observed {
    /// A run that begins now.
    pub fn new(info: RunInfo, control: Arc<Control>) -> Self {
        Self {
            info,
            control,
            began: SystemTime::now(),
            greatest: Greatest::default(),
            state: Mutex::new(RunState::Running),
        }
    }

    /// The handle on it.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What does not change while it goes on.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Says how it ended.
    pub fn ended(&self, state: RunState) {
        *self.locked_state() = state;
    }

    pub(super) fn state(&self) -> RunState {
        *self.locked_state()
    }

    fn locked_state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sums that only grow, made of counters that are read one after the other: of an attempt that is
/// given up at that moment, rows may be missing on both sides, and a counter that goes back looks
/// like a process that was started again.
#[derive(Debug, Default)]
pub(super) struct Greatest {
    pub inserted_rows: Peak,
    pub source_rows: Peak,
    pub source_bytes: Peak,
    pub lookup_rows: Peak,
    pub lookup_bytes: Peak,
}

/// The greatest value so far.
#[derive(Debug, Default)]
pub(super) struct Peak(AtomicU64);

impl Peak {
    /// Notes the sum of these, and gives the greatest so far.
    pub fn of(&self, one: u64, other: u64) -> u64 {
        let sum = one.saturating_add(other);
        self.0.fetch_max(sum, Ordering::Relaxed).max(sum)
    }
}
