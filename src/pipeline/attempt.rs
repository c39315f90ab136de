//! One attempt to stream a chunk, and what becomes of its counts.
//!
//! ```text
//! open ──stream ended──► ended ──last batch acknowledged──► done (the chunk is complete)
//!   └─────stream broke──► given up (its counts are taken back; the next attempt streams the chunk again)
//! ```

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
    matched_rows: u64,
}

/// What one network piece contributed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub rows: u64,
    pub bytes: u64,
    pub matched: u64,
}

impl Attempt {
    pub fn begin(chunk: usize, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { chunk, counters, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Rows were read and enriched.
    pub fn read(&self, tally: Tally) {
        let mut state = self.state();
        state.source_rows += tally.rows;
        state.source_bytes += tally.bytes;
        state.matched_rows += tally.matched;
        self.counters.source_rows.add(tally.rows);
        self.counters.source_bytes.add(tally.bytes);
        self.counters.matched_rows.add(tally.matched);
        self.counters.unmatched_rows.add(tally.rows - tally.matched);
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
        self.counters.matched_rows.take(state.matched_rows);
        self.counters.unmatched_rows.take(state.source_rows - state.matched_rows);
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
        first.read(Tally { rows: 10, bytes: 100, matched: 7 });
        first.batch_queued();
        first.batch_queued();
        first.batch_acknowledged(4, 40);
        first.give_up();
        first.batch_acknowledged(4, 40);
        assert_eq!((counters.source_rows.get(), counters.inserted_rows.get(), counters.repeated_rows.get()), (0, 0, 8));
        assert_eq!((counters.unmatched_rows.get(), counters.chunks_done.get()), (0, 0));

        let second = Attempt::begin(0, counters.clone());
        second.read(Tally { rows: 10, bytes: 100, matched: 7 });
        second.batch_queued();
        second.stream_ended();
        assert_eq!(counters.chunks_done.get(), 0, "a batch is still open");
        second.batch_acknowledged(10, 100);
        assert_eq!((counters.inserted_rows.get(), counters.chunks_done.get()), (10, 1));
    }
}
