//! Going slower, or waiting: what others ask of a run while it is on.
//!
//! A [`Throttle`] holds three things. The *gate*: as long as there are reasons to wait, no new
//! chunk is begun and no further attributes are loaded; chunks under way go on to their end, since
//! the server gives up a reader that does not read, so nothing that was read is lost. The *rate*:
//! how many rows readers take a second. The *levels*: how many chunks are read and how many batches
//! are inserted at once.
//!
//! Why a run waits is decided by `control`, or by whoever uses the library; here it is only obeyed.

mod bucket;
mod gate;
mod levels;

use std::sync::Arc;

use serde::Serialize;

use super::concurrency::{Concurrency, Limiter, Turn};
use bucket::Bucket;
use gate::ThrottleGate;

pub use levels::{LevelOutOfRange, Levels};

/// More inserts at once than this are never made, whatever is asked for.
pub const MOST_INSERTERS: usize = 64;

/// How a run is held back.
#[derive(Debug)]
pub struct Throttle {
    pub(super) reading: Arc<Limiter>,
    pub(super) inserting: Arc<Limiter>,
    gate: ThrottleGate,
    bucket: Bucket,
    levels: Levels,
}

/// How much a run does at once, and how much it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Chunks that may be read at once now.
    pub readers: usize,
    /// The most that they may become: what the memory was divided for.
    pub readers_most: usize,
    /// Whether their number is being found, and not fixed.
    pub readers_auto: bool,
    /// Batches that may be inserted at once now.
    pub inserters: usize,
    /// The most that they may become.
    pub inserters_most: usize,
    /// Whether their number is being found, and not fixed.
    pub inserters_auto: bool,
    /// Rows that are read a second at most; `None` for no such limit.
    pub max_rows_per_second: Option<u64>,
}

impl Throttle {
    /// Nothing is held back but by these numbers.
    pub fn new(readers: Concurrency, inserters: Concurrency) -> Arc<Self> {
        Self::within(readers, inserters, Levels::of(readers, inserters))
    }

    /// The same, with what the run may come to.
    pub fn within(readers: Concurrency, inserters: Concurrency, levels: Levels) -> Arc<Self> {
        let (reading, inserting) = (Limiter::new(readers), Limiter::new(inserters));
        Arc::new(Self {
            reading,
            inserting,
            gate: ThrottleGate::default(),
            bucket: Bucket::default(),
            levels,
        })
    }

    /// Why the run waits; empty while it does not. Each is a few words for people, such as `262
    /// parts in 202511, limit 250`.
    pub fn reasons(&self) -> Vec<String> {
        self.gate.reasons()
    }

    /// Lets the run wait as long as there are reasons to.
    pub fn wait_because(&self, reasons: Vec<String>) {
        self.gate.set(reasons);
    }

    /// How much is done at once, and how much may be.
    pub fn limits(&self) -> Limits {
        Limits {
            readers: self.reading.level(),
            readers_most: self.levels.readers_most,
            readers_auto: self.reading.is_found(),
            inserters: self.inserting.level(),
            inserters_most: self.levels.inserters_most,
            inserters_auto: self.inserting.is_found(),
            max_rows_per_second: self.bucket.rate(),
        }
    }

    /// Reads so many rows a second at most, all readers together; `None` and 0 for as many as come.
    pub fn set_max_rows_per_second(&self, rows: Option<u64>) {
        self.bucket.set_rate(rows.filter(|&rows| rows > 0));
        self.reading.hold(if self.bucket.rate().is_some() { 1 } else { usize::MAX });
    }

    /// From now on, so many chunks are read at once.
    ///
    /// # Errors
    /// The run cannot do so many.
    pub fn set_readers(&self, readers: usize) -> Result<(), LevelOutOfRange> {
        Levels::check("readers", readers, self.levels.readers_most)?;
        self.reading.fix(readers);
        Ok(())
    }

    /// From now on, so many batches are inserted at once.
    ///
    /// # Errors
    /// The run cannot do so many.
    pub fn set_inserters(&self, inserters: usize) -> Result<(), LevelOutOfRange> {
        Levels::check("inserters", inserters, self.levels.inserters_most)?;
        self.inserting.fix(inserters);
        Ok(())
    }

    /// From now on, the run finds out by itself how many chunks are worth reading at once.
    pub fn find_readers(&self) {
        self.reading.find(self.levels.readers_found.min(self.levels.readers_most));
    }

    /// From now on, the run finds out by itself how many batches are worth inserting at once.
    pub fn find_inserters(&self) {
        self.inserting.find(self.levels.inserters_found.min(self.levels.inserters_most));
    }

    /// As long as the server is near its limits, at most so many batches are inserted at once,
    /// whatever else is set.
    pub fn hold_inserters(&self, most: usize) {
        self.inserting.hold(most);
    }

    /// Whether there is a reason to wait.
    pub fn waits(&self) -> bool {
        self.gate.is_closed()
    }

    /// Waits until there is no reason to wait.
    pub(super) async fn opened(&self) {
        self.gate.opened().await;
    }

    /// Waits until there is no reason to, and then for the right to read a chunk. Meanwhile there
    /// may be a reason again.
    pub(super) async fn turn(&self) -> Turn {
        self.opened().await;
        self.reading.turn().await
    }

    /// So many rows of so many bytes were read: waits until that many may have been.
    pub(super) async fn read(&self, rows: u64, bytes: u64) {
        if let Some(readers) = self.bucket.worthwhile_readers(rows, bytes) {
            self.reading.hold(readers);
        }
        self.bucket.take(rows).await;
    }
}
