//! A run's metrics for Prometheus: as a page that is scraped and as a file for the [textfile
//! collector](https://github.com/prometheus/node_exporter#textfile-collector) (`exporter`), both
//! with the same text (`families`, `exposition`); and a page for people (`live`).
//!
//! The values are the stream's counters, read on request; nothing here changes a run or makes it
//! wait. The text is written by hand: the format is a few lines, every value exists elsewhere, and
//! the crates for it keep a registry of their own.

mod exporter;
mod exposition;
mod families;
mod live;
#[cfg(feature = "otlp")]
pub(crate) mod otlp;

/// Without the feature, nothing is sent.
#[cfg(not(feature = "otlp"))]
#[expect(clippy::unused_async, reason = "with the feature, a collector is waited for")]
pub(crate) mod otlp {
    use std::sync::Arc;

    use tracing_subscriber::{Layer, Registry};

    use super::ObservedRun;

    pub(crate) fn start() -> (Option<Box<dyn Layer<Registry> + Send + Sync>>, Vec<String>) {
        (None, Vec::new())
    }

    pub(super) fn observe(_: &Arc<ObservedRun>) {}

    pub(super) async fn flush() {}

    pub(super) async fn stop() {}
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::control::Control;
use crate::progress::{FigureSampler, Figures, Shown};
use crate::state::LoadState;
use crate::sync::{Mutex, MutexGuard};

pub(crate) use exporter::{Exporter, MetricsError};

/// Constants of a run that its handle does not know.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunInfo {
    /// The share of the load that this process works on, such as `1/1`.
    pub worker: String,
    /// The process's memory limit in bytes.
    pub memory_limit_bytes: u64,
}

/// A run whose metrics are exported.
pub(crate) struct ObservedRun {
    info: RunInfo,
    control: Arc<Control>,
    pub(super) began: SystemTime,
    pub(super) sums: MonotonicSums,
    state: Mutex<LoadState>,
    sampler: Mutex<FigureSampler>,
}

impl ObservedRun {
    /// Observes a run that begins now.
    pub(crate) fn new(info: RunInfo, control: Arc<Control>, shown: Shown) -> Self {
        Self {
            info,
            control,
            began: SystemTime::now(),
            sums: MonotonicSums::default(),
            state: Mutex::new(LoadState::Started),
            sampler: Mutex::new(FigureSampler::new(shown)),
        }
    }

    /// The handle of the run.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The constants of the run.
    pub(crate) fn info(&self) -> &RunInfo {
        &self.info
    }

    /// The figures of now. Rates need a sample a few times per second.
    pub(super) fn figures(&self) -> Figures {
        self.sampler.lock().sample()
    }

    /// Records how the run ended.
    pub(crate) fn ended(&self, state: LoadState) {
        *self.locked_state() = state;
    }

    pub(super) fn state(&self) -> LoadState {
        *self.locked_state()
    }

    fn locked_state(&self) -> MutexGuard<'_, LoadState> {
        self.state.lock()
    }
}

/// Sums that never decrease.
///
/// Each is the sum of two counters that are read one after the other. When an attempt is discarded
/// between the two reads, its rows are in neither; to Prometheus, a counter that decreases means
/// that the process was restarted.
#[derive(Debug, Default)]
pub(super) struct MonotonicSums {
    pub inserted_rows: MonotonicSum,
    pub source_rows: MonotonicSum,
    pub source_bytes: MonotonicSum,
    pub lookup_rows: MonotonicSum,
    pub lookup_bytes: MonotonicSum,
}

/// The greatest value so far of one sum.
#[derive(Debug, Default)]
pub(super) struct MonotonicSum(AtomicU64);

impl MonotonicSum {
    /// Records the sum of the two counters and returns the greatest sum so far.
    pub(super) fn of(&self, one: u64, other: u64) -> u64 {
        let sum = one.saturating_add(other);
        self.0.fetch_max(sum, Ordering::Relaxed).max(sum)
    }
}
