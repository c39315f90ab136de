//! The live counters of a pipeline. They may be read at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::chunk_states::ChunkStates;
use super::timings::{Activities, InFlight, Latency, RecentTimes};
use crate::retry::{Outage, RetryCause, RetryObserver, RetryStatus};
use crate::sync::Mutex;

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Questions to the server, and making the plan.
    Plan,
    /// Attributes are loaded.
    Lookup,
    /// Rows are read, enriched and inserted.
    Stream,
    /// Everything is done.
    Done,
}

impl Phase {
    /// All phases in their order.
    pub(crate) const ALL: [Self; 4] = [Self::Plan, Self::Lookup, Self::Stream, Self::Done];

    /// Its name in the ledger, in metrics and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Lookup => "lookup",
            Self::Stream => "stream",
            Self::Done => "done",
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Live counters. What an attempt counted is subtracted again when the attempt is given up.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// Inserts of which it is not known whether their rows arrived.
            pub uncertain_inserts: Counter,
            /// How long acknowledged inserts took.
            pub insert_latency: Latency,
            /// The same since it was last taken.
            pub recent_inserts: RecentTimes,
            /// What tasks do.
            pub activities: Activities,
            /// The inserts in flight.
            pub in_flight: InFlight,
            /// What blocks the run.
            pub retry_status: RetryStatus,
            /// Where each chunk stands.
            pub chunk_states: ChunkStates,
            phase: AtomicU8,
            times: Mutex<PhaseTimes>,
        }

        /// The counters at one moment.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Reads all counters.
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Rows read from the lookup table, all versions.
    lookup_rows,
    /// Their bytes.
    lookup_bytes,
    /// Keys of all maps so far.
    lookup_keys,
    /// Bytes of the maps in memory.
    lookup_memory_bytes,
    /// Their maximum so far.
    lookup_memory_peak_bytes,
    /// Lookup rows read by attempts that were given up. They are not in the counters above.
    lookup_rows_given_up,
    /// Their bytes.
    lookup_bytes_given_up,
    /// Source rows read.
    source_rows,
    /// Their bytes.
    source_bytes,
    /// Source rows read by attempts that were given up. They are not in the counters above.
    source_rows_given_up,
    /// Their bytes.
    source_bytes_given_up,
    /// How many there are, versions collapsed; 0 while that is unknown.
    source_rows_expected,
    /// Rows that found attributes in the window.
    matched_rows,
    /// Rows that found attributes outside of it.
    matched_late_rows,
    /// Rows that found none.
    unmatched_rows,
    /// Rows whose insert was acknowledged (in a dry run: parsed and evaluated).
    inserted_rows,
    /// Of these, rows of chunks whose rows are all acknowledged.
    rows_done,
    /// Bytes of acknowledged inserts.
    inserted_bytes,
    /// Rows inserted by an attempt that was given up. The next one inserts them again where they
    /// collapse in the target.
    repeated_rows,
    /// Acknowledged batches.
    batches,
    /// Inserts in flight.
    inserts_in_flight,
    /// Rows that the inserts of chunks in flight have read, of all tables.
    chunk_rows_read,
    /// Rows that they have written, to all tables.
    chunk_rows_written,
    /// Bytes of the server's memory that they take.
    chunk_memory_bytes,
    /// Bytes of batches in the queue and in flight.
    queued_bytes,
    /// Retries of statements.
    retries,
    /// Of these: because the server refused for now, or its answer broke off.
    retries_refused,
    /// Because it is unknown whether the statement took effect.
    retries_ambiguous,
    /// Because the server could not be reached.
    retries_outage,
    /// Because the server gave up a reader that waited for inserts.
    retries_stalled,
    /// Outages of a server.
    outages,
    /// Their duration.
    outage_milliseconds,
    /// Statements that failed after all retries.
    errors,
    /// Chunks whose rows are all acknowledged.
    chunks_done,
    /// Chunks that failed.
    chunks_failed,
    /// Chunks that were pending when the run began.
    chunks_pending,
    /// Chunks to read. A chunk that is read once for each part of its keys counts as often.
    chunks,
    /// Waves begun.
    waves,
}

/// A number that tasks change concurrently.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds.
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Subtracts what was added before.
    pub(crate) fn take(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    /// Sets the value, unless the current one is greater.
    pub(crate) fn raise(&self, to: u64) {
        self.0.fetch_max(to, Ordering::Relaxed);
    }

    /// Sets the value.
    pub(crate) fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct PhaseTimes {
    began: Option<Instant>,
    lookup: Duration,
    stream: Duration,
}

impl Snapshot {
    /// The number of rows to insert; `None` until it is counted.
    pub(crate) fn rows_expected(&self) -> Option<u64> {
        Some(self.source_rows_expected).filter(|&rows| rows > 0)
    }
}

impl Counters {
    /// The current phase.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Plan,
            1 => Phase::Lookup,
            2 => Phase::Stream,
            _ => Phase::Done,
        }
    }

    /// Enters a phase, and adds up the time of the one before.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut times = self.times.lock();
        let spent = times.began.map(|began| began.elapsed()).unwrap_or_default();
        match self.phase() {
            Phase::Lookup => times.lookup += spent,
            Phase::Stream => times.stream += spent,
            Phase::Plan | Phase::Done => {}
        }
        times.began = Some(Instant::now());
        let number = match phase {
            Phase::Plan => 0,
            Phase::Lookup => 1,
            Phase::Stream => 2,
            Phase::Done => 3,
        };
        self.phase.store(number, Ordering::Relaxed);
    }

    /// The time spent loading attributes, and the time spent streaming rows, up to the last change
    /// of the phase.
    pub(crate) fn times(&self) -> (Duration, Duration) {
        let times = self.times.lock();
        (times.lookup, times.stream)
    }
}

impl RetryObserver for Counters {
    fn retrying(&self, cause: RetryCause, reason: String, pause: Duration) {
        self.retries.add(1);
        let of_cause = match cause {
            RetryCause::Refused | RetryCause::OutOfSpace => &self.retries_refused,
            RetryCause::Ambiguous => &self.retries_ambiguous,
            RetryCause::Outage => &self.retries_outage,
            RetryCause::Excused => &self.retries_stalled,
        };
        of_cause.add(1);
        self.retry_status.retrying(reason, pause);
    }

    fn outage_began(&self, outage: &Outage) {
        self.outages.add(1);
        self.retry_status.outage_began(outage);
    }

    fn outage_ended(&self, outage: &Outage) {
        let milliseconds = u64::try_from(outage.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.outage_milliseconds.add(milliseconds);
        self.retry_status.outage_ended(outage);
    }
}

/// The memory of one map: counted until this is dropped.
#[derive(Debug)]
pub(super) struct MapMemory {
    counters: Arc<Counters>,
    bytes: u64,
}

impl MapMemory {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters, bytes: 0 }
    }

    /// Sets what the map takes now.
    pub(super) fn set(&mut self, bytes: u64) {
        self.counters.lookup_memory_bytes.add(bytes);
        self.counters.lookup_memory_bytes.take(self.bytes);
        self.bytes = bytes;
        self.counters.lookup_memory_peak_bytes.raise(self.counters.lookup_memory_bytes.get());
    }
}

impl Drop for MapMemory {
    fn drop(&mut self) {
        self.counters.lookup_memory_bytes.take(self.bytes);
    }
}

/// What the current attempt to load a wave has counted.
#[derive(Debug)]
pub(super) struct LoadTally {
    counters: Arc<Counters>,
    rows: u64,
    bytes: u64,
    keys: u64,
}

impl LoadTally {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters, rows: 0, bytes: 0, keys: 0 }
    }

    /// Adds rows; `keys` is the number of keys in the map now.
    pub(super) fn add(&mut self, rows: u64, bytes: u64, keys: u64) {
        self.rows += rows;
        self.bytes += bytes;
        self.counters.lookup_rows.add(rows);
        self.counters.lookup_bytes.add(bytes);
        self.set_keys(keys);
    }

    /// Sets the number of keys in the map.
    pub(super) fn set_keys(&mut self, keys: u64) {
        self.counters.lookup_keys.add(keys);
        self.counters.lookup_keys.take(self.keys);
        self.keys = keys;
    }

    /// Subtracts what the attempt counted: it is given up.
    pub(super) fn take_back(&mut self) {
        self.counters.lookup_rows.take(self.rows);
        self.counters.lookup_bytes.take(self.bytes);
        self.counters.lookup_rows_given_up.add(self.rows);
        self.counters.lookup_bytes_given_up.add(self.bytes);
        self.set_keys(0);
        (self.rows, self.bytes) = (0, 0);
    }
}
