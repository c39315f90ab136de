//! What the pipeline is doing, as numbers that anyone may read at any time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::activity::Activities;
use super::latency::Latency;
use super::recent::RecentTimes;
use crate::retry::{Outage, RetryCause, RetryObserver, RetryStatus};

/// What the pipeline is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asking the server and making the plan.
    Plan,
    /// Loading attributes.
    Lookup,
    /// Reading, enriching and inserting.
    Stream,
    /// Nothing is left to do.
    Done,
}

impl Phase {
    /// All of them, in the order in which a run comes to them.
    pub const ALL: [Self; 4] = [Self::Plan, Self::Lookup, Self::Stream, Self::Done];

    /// Its name in the ledger, in metrics and in logs for machines.
    pub fn name(self) -> &'static str {
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
        /// Live counters. Rows of an attempt that was given up are taken out again.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// How long inserts took.
            pub insert_latency: Latency,
            /// How long the acknowledged inserts of the last moments took; whoever keeps samples
            /// takes them.
            pub recent_inserts: RecentTimes,
            /// What tasks are at.
            pub activities: Activities,
            /// What blocks the run.
            pub retry_status: RetryStatus,
            phase: AtomicU8,
            times: Mutex<Times>,
        }

        /// The counters at one moment.
        #[derive(Clone, Debug, Default)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Reads all counters.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Rows of the lookup table that were read, all versions.
    lookup_rows,
    /// Their bytes.
    lookup_bytes,
    /// About how many there are.
    lookup_rows_expected,
    /// Keys of all maps so far.
    lookup_keys,
    /// Bytes that the maps in memory take.
    lookup_memory_bytes,
    /// The most that they took.
    lookup_memory_peak_bytes,
    /// Rows of the lookup that were read by attempts that were given up, which the counters above
    /// do not have.
    lookup_rows_given_up,
    /// Their bytes.
    lookup_bytes_given_up,
    /// Source rows read.
    source_rows,
    /// Their bytes.
    source_bytes,
    /// Source rows that were read by attempts that were given up, which the counters above do not
    /// have.
    source_rows_given_up,
    /// Their bytes.
    source_bytes_given_up,
    /// How many there are, versions collapsed; 0 as long as that is not known.
    source_rows_expected,
    /// Rows that found attributes in the window.
    matched_rows,
    /// Rows that found attributes outside of it.
    matched_late_rows,
    /// Rows that found none.
    unmatched_rows,
    /// Rows whose insert was acknowledged (in a dry run: parsed and evaluated).
    inserted_rows,
    /// Bytes of acknowledged inserts.
    inserted_bytes,
    /// Rows that were inserted by an attempt that was given up, and again by the next; they
    /// collapse in the target.
    repeated_rows,
    /// Acknowledged batches.
    batches,
    /// Inserts under way.
    inserts_in_flight,
    /// Bytes of batches in the queue and in flight.
    queued_bytes,
    /// Statements that were tried again.
    retries,
    /// Of these: because the server refused for now, or its answer broke off.
    retries_refused,
    /// Because it is not known whether the server did what it was asked.
    retries_ambiguous,
    /// Because the server could not be reached.
    retries_outage,
    /// Because the server gave up a reader that waited for inserts.
    retries_stalled,
    /// Times that a server could not be reached.
    outages,
    /// How long it was waited for then.
    outage_milliseconds,
    /// Statements that failed for good.
    errors,
    /// Chunks of which every row was acknowledged.
    chunks_done,
    /// Chunks that failed for good.
    chunks_failed,
    /// Chunks that were to be done when the run began.
    chunks_pending,
    /// Chunks of the plan; one that is read for several parts of its keys counts for each.
    chunks,
    /// Waves begun.
    waves,
}

/// One number.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Takes away what was added before.
    pub fn take(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    /// Sets, unless it is greater already.
    pub fn raise(&self, to: u64) {
        self.0.fetch_max(to, Ordering::Relaxed);
    }

    /// Sets.
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Times {
    began: Option<Instant>,
    lookup: Duration,
    stream: Duration,
}

impl Snapshot {
    /// Rows that are to be inserted; `None` while they are being counted.
    pub fn rows_expected(&self) -> Option<u64> {
        Some(self.source_rows_expected).filter(|&rows| rows > 0)
    }
}

impl Counters {
    /// The phase.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Plan,
            1 => Phase::Lookup,
            2 => Phase::Stream,
            _ => Phase::Done,
        }
    }

    /// Enters a phase, and closes the account of the one before.
    pub fn enter(&self, phase: Phase) {
        let mut times = self.times.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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

    /// How long attributes were loaded and how long rows were streamed, over all waves, up to the
    /// last change of the phase.
    pub fn times(&self) -> (Duration, Duration) {
        let times = self.times.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (times.lookup, times.stream)
    }
}

impl RetryObserver for Counters {
    fn retrying(&self, cause: RetryCause, reason: String, pause: Duration) {
        self.retries.add(1);
        let of_cause = match cause {
            RetryCause::Refused => &self.retries_refused,
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
