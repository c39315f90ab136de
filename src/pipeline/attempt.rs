//! One attempt to stream a chunk, and what becomes of its counts.
//!
//! ```text
//! open ──stream ended──► ended ──last batch acknowledged──► done (the chunk is complete)
//!   └─────stream broke──► given up (its counts are taken back; the next attempt streams the chunk again)
//! ```

use std::ops::AddAssign;
use std::sync::{Arc, Mutex};

use super::Counters;

/// An attempt to stream a chunk; shared by its reader and its batches.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The chunk's number in the plan, from 0.
    pub chunk: usize,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    given_up: bool,
    stream_ended: bool,
    batches_open: usize,
    inserted_rows: u64,
    source_rows: u64,
    source_bytes: u64,
    matched: Matched,
}

/// What one network piece contributed, or one look-up of rows that had been put aside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub rows: u64,
    pub bytes: u64,
    pub matched: Matched,
}

/// How many rows found attributes. A row that is looked up once more is in none of these until that was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    /// In the lookup's window.
    pub in_window: u64,
    /// Outside of it.
    pub late: u64,
    /// Not at all.
    pub not: u64,
}

impl AddAssign for Matched {
    fn add_assign(&mut self, other: Self) {
        self.in_window += other.in_window;
        self.late += other.late;
        self.not += other.not;
    }
}

impl Attempt {
    pub fn begin(chunk: usize, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { chunk, counters, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Rows were read, or rows that had been read were looked up.
    pub fn read(&self, tally: Tally) {
        let mut state = self.state();
        state.source_rows += tally.rows;
        state.source_bytes += tally.bytes;
        self.counters.source_rows.add(tally.rows);
        self.counters.source_bytes.add(tally.bytes);
        state.matched += tally.matched;
        self.counters.matched_rows.add(tally.matched.in_window);
        self.counters.matched_late_rows.add(tally.matched.late);
        self.counters.unmatched_rows.add(tally.matched.not);
    }

    /// A batch goes into the queue.
    pub fn batch_queued(&self) {
        self.state().batches_open += 1;
    }

    /// A batch was acknowledged.
    pub fn batch_acknowledged(&self, rows: u64, bytes: u64) {
        let mut state = self.state();
        state.batches_open -= 1;
        self.counters.batches.add(1);
        self.counters.inserted_bytes.add(bytes);
        if state.given_up {
            self.counters.repeated_rows.add(rows);
        } else {
            state.inserted_rows += rows;
            self.counters.inserted_rows.add(rows);
            self.complete_if_done(&state);
        }
    }

    /// The stream ended cleanly, and all its batches are queued.
    pub fn stream_ended(&self) {
        let mut state = self.state();
        state.stream_ended = true;
        self.complete_if_done(&state);
    }

    /// The stream broke: nothing of this attempt counts.
    pub fn give_up(&self) {
        let mut state = self.state();
        state.given_up = true;
        self.counters.source_rows.take(state.source_rows);
        self.counters.source_bytes.take(state.source_bytes);
        self.counters.matched_rows.take(state.matched.in_window);
        self.counters.matched_late_rows.take(state.matched.late);
        self.counters.unmatched_rows.take(state.matched.not);
        self.counters.inserted_rows.take(state.inserted_rows);
        self.counters.repeated_rows.add(state.inserted_rows);
    }

    fn complete_if_done(&self, state: &State) {
        if state.stream_ended && state.batches_open == 0 {
            self.counters.chunks_done.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_does_not_count() {
        let counters = Arc::new(Counters::default());
        let first = Attempt::begin(0, counters.clone());
        first.read(Tally { rows: 10, bytes: 100, matched: Matched { in_window: 6, late: 0, not: 1 } });
        first.read(Tally { matched: Matched { in_window: 0, late: 2, not: 1 }, ..Tally::default() });
        let matched = || (counters.matched_rows.get(), counters.matched_late_rows.get(), counters.unmatched_rows.get());
        assert_eq!(matched(), (6, 2, 2));
        first.batch_queued();
        first.batch_queued();
        first.batch_acknowledged(4, 40);
        first.give_up();
        first.batch_acknowledged(4, 40);
        assert_eq!((counters.source_rows.get(), counters.inserted_rows.get(), counters.repeated_rows.get()), (0, 0, 8));
        assert_eq!((matched(), counters.chunks_done.get()), ((0, 0, 0), 0));

        let second = Attempt::begin(0, counters.clone());
        second.read(Tally { rows: 10, bytes: 100, matched: Matched { in_window: 7, late: 0, not: 3 } });
        second.batch_queued();
        second.stream_ended();
        assert_eq!(counters.chunks_done.get(), 0, "a batch is still open");
        second.batch_acknowledged(10, 100);
        assert_eq!((counters.inserted_rows.get(), counters.chunks_done.get()), (10, 1));
    }
}
