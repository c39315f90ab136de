//! Holding a run back: pauses, a limit of rows per second, and the number of readers and inserters.
//!
//! While there are reasons to wait, no new chunk is begun and no further attributes are loaded.
//! Chunks that are being read are read to their end, since the server closes the stream of a reader
//! that reads nothing.
//!
//! Why a run waits is decided by `control`, or by whoever uses the library. This file only obeys.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use super::concurrency::{Concurrency, ConcurrencyLimiter, Permit};
use super::rate_limit::RateLimit;

/// The most inserts in flight, whatever is asked for.
pub(super) const MOST_INSERTERS: usize = 64;

/// What holds a run back.
#[derive(Debug)]
pub(crate) struct Throttle {
    pub(in crate::engine) reading: Arc<ConcurrencyLimiter>,
    pub(in crate::engine) inserting: Arc<ConcurrencyLimiter>,
    gate: ThrottleGate,
    rate: RateLimit,
    bounds: ConcurrencyBounds,
}

/// The concurrency and the rate of a run, and their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ThrottleLimits {
    /// The most chunks that are read at once now.
    pub readers: usize,
    /// The most that this may become: the memory was divided for it.
    pub readers_most: usize,
    /// Whether the run finds the number itself.
    pub readers_auto: bool,
    /// The most batches that are inserted at once now.
    pub inserters: usize,
    /// The most that this may become.
    pub inserters_most: usize,
    /// Whether the run finds the number itself.
    pub inserters_auto: bool,
    /// The most rows that are read per second; `None` is no limit.
    pub max_rows_per_second: Option<u64>,
}

impl Throttle {
    /// A throttle with these numbers of readers and inserters, and no other limit.
    pub(crate) fn new(readers: Concurrency, inserters: Concurrency) -> Arc<Self> {
        Self::within(readers, inserters, ConcurrencyBounds::of(readers, inserters))
    }

    /// The same with other bounds.
    pub(crate) fn within(
        readers: Concurrency,
        inserters: Concurrency,
        bounds: ConcurrencyBounds,
    ) -> Arc<Self> {
        let (reading, inserting) =
            (ConcurrencyLimiter::new(readers), ConcurrencyLimiter::new(inserters));
        Arc::new(Self {
            reading,
            inserting,
            gate: ThrottleGate::default(),
            rate: RateLimit::default(),
            bounds,
        })
    }

    /// Why the run waits, in a few words each, such as `262 parts in 202511, limit 250`. Empty while
    /// it does not wait.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.gate.reasons()
    }

    /// Sets the reasons to wait. The run goes on when there are none.
    pub(crate) fn wait_because(&self, reasons: Vec<String>) {
        self.gate.set(reasons);
    }

    /// The concurrency and the rate now.
    pub(crate) fn limits(&self) -> ThrottleLimits {
        ThrottleLimits {
            readers: self.reading.level(),
            readers_most: self.bounds.readers_most,
            readers_auto: self.reading.is_adaptive(),
            inserters: self.inserting.level(),
            inserters_most: self.bounds.inserters_most,
            inserters_auto: self.inserting.is_adaptive(),
            max_rows_per_second: self.rate.rate(),
        }
    }

    /// Limits the rows per second of all readers together; `None` and 0 remove the limit.
    pub(crate) fn set_max_rows_per_second(&self, rows: Option<u64>) {
        self.rate.set_rate(rows.filter(|&rows| rows > 0));
        self.reading.cap(if self.rate.rate().is_some() { 1 } else { usize::MAX });
    }

    /// Fixes the number of readers.
    ///
    /// # Errors
    /// The number is outside of the run's bounds.
    pub(crate) fn set_readers(&self, readers: usize) -> Result<(), ConcurrencyOutOfRange> {
        ConcurrencyBounds::check("readers", readers, self.bounds.readers_most)?;
        self.reading.fix(readers);
        Ok(())
    }

    /// Fixes the number of inserters.
    ///
    /// # Errors
    /// The number is outside of the run's bounds.
    pub(crate) fn set_inserters(&self, inserters: usize) -> Result<(), ConcurrencyOutOfRange> {
        ConcurrencyBounds::check("inserters", inserters, self.bounds.inserters_most)?;
        self.inserting.fix(inserters);
        Ok(())
    }

    /// Lets the run find the best number of readers.
    pub(crate) fn find_readers(&self) {
        self.reading.adapt(self.bounds.readers_found.min(self.bounds.readers_most));
    }

    /// Lets the run find the best number of inserters.
    pub(crate) fn find_inserters(&self) {
        self.inserting.adapt(self.bounds.inserters_found.min(self.bounds.inserters_most));
    }

    /// Limits the number of inserters whatever else is set, while the server is near its limits;
    /// `usize::MAX` removes the limit.
    pub(crate) fn cap_inserters(&self, most: usize) {
        self.inserting.cap(most);
    }

    /// Whether there is a reason to wait.
    pub(crate) fn waits(&self) -> bool {
        self.gate.is_closed()
    }

    /// Waits until there is no reason to wait.
    pub(in crate::engine) async fn opened(&self) {
        self.gate.opened().await;
    }

    /// Waits until there is no reason to wait, and then for the permit to read a chunk. By then there
    /// may be a reason again.
    pub(super) async fn read_permit(&self) -> Permit {
        self.opened().await;
        self.reading.permit().await
    }

    /// Notes that rows were read, and waits until the limit of rows per second allows more.
    pub(in crate::engine) async fn rows_read(&self, rows: u64, bytes: u64) {
        if let Some(readers) = self.rate.worthwhile_readers(rows, bytes) {
            self.reading.cap(readers);
        }
        self.rate.take(rows).await;
    }
}

/// A number of readers or inserters that a run cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be 1 to {most}, and {asked} was asked for")]
pub(crate) struct ConcurrencyOutOfRange {
    /// `readers` or `inserters`.
    pub name: &'static str,
    /// The number that was asked for.
    pub asked: usize,
    /// The most that is possible.
    pub most: usize,
}

/// Bounds of the numbers of readers and inserters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConcurrencyBounds {
    /// The most readers. The memory was divided for the batches that they fill.
    pub readers_most: usize,
    /// The most inserters. More of them take no more memory, since batches hold permits of the queue
    /// until they are acknowledged.
    pub inserters_most: usize,
    /// The most readers that the run chooses itself.
    pub readers_found: usize,
    /// The most inserters that the run chooses itself.
    pub inserters_found: usize,
}

impl ConcurrencyBounds {
    /// The bounds of a run that begins with these numbers, and does not choose larger ones itself.
    pub(crate) fn of(readers: Concurrency, inserters: Concurrency) -> Self {
        let (readers, inserters) = (readers.most(), inserters.most());
        Self {
            readers_most: readers,
            inserters_most: inserters.max(MOST_INSERTERS),
            readers_found: readers,
            inserters_found: inserters,
        }
    }

    fn check(name: &'static str, asked: usize, most: usize) -> Result<(), ConcurrencyOutOfRange> {
        if (1..=most).contains(&asked) {
            Ok(())
        } else {
            Err(ConcurrencyOutOfRange { name, asked, most })
        }
    }
}

/// The reasons to wait.
#[derive(Debug)]
struct ThrottleGate(watch::Sender<Vec<String>>);

impl Default for ThrottleGate {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl ThrottleGate {
    fn reasons(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    fn is_closed(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    /// Logs when a wait begins and ends, and not each time that a number in a reason changes.
    fn set(&self, reasons: Vec<String>) {
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

    async fn opened(&self) {
        let mut reasons = self.0.subscribe();
        // The sender is not dropped before this.
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
