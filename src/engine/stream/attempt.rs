//! One attempt to stream a chunk, and what becomes of its counts.
//!
//! ```text
//! open ──stream ended──► ended ──last batch acknowledged──► done (this part of the chunk is complete)
//!   └─────stream broke──► given up (its counts are taken back; the next attempt streams the chunk again)
//! ```

use std::ops::AddAssign;
use std::sync::{Arc, Mutex};

use super::Counters;
use super::error::{FailedChunk, PipelineError};
use super::report::{ChunkBook, Figures, Share};

/// An attempt to stream a chunk, or a part of its keys; shared by its reader and its batches.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The chunk's number in the plan, from 0.
    pub chunk: usize,
    share: Share,
    book: Arc<ChunkBook>,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    given_up: bool,
    stream_ended: bool,
    batches_open: usize,
    figures: Figures,
}

/// What one network piece contributed, or one look-up of rows that had been put aside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub rows: u64,
    pub bytes: u64,
    pub matched: Matched,
}

/// How many rows found attributes. A row that is looked up once more is in none of these until that
/// was done.
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
    pub fn begin(
        chunk: usize,
        share: Share,
        book: Arc<ChunkBook>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        book.begin(chunk);
        Arc::new(Self { chunk, share, book, counters, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Rows were read, or rows that had been read were looked up.
    pub fn read(&self, tally: Tally) {
        let mut state = self.state();
        if state.given_up {
            return;
        }
        state.figures += Figures {
            rows_read: tally.rows,
            bytes_read: tally.bytes,
            matched: tally.matched,
            ..Figures::default()
        };
        self.counters.source_rows.add(tally.rows);
        self.counters.source_bytes.add(tally.bytes);
        self.counters.matched_rows.add(tally.matched.in_window);
        self.counters.matched_late_rows.add(tally.matched.late);
        self.counters.unmatched_rows.add(tally.matched.not);
    }

    /// A batch goes into the queue.
    pub fn batch_queued(&self) {
        self.state().batches_open += 1;
    }

    /// A batch was acknowledged; `hash` is the sum of its rows' hashes.
    pub fn batch_acknowledged(&self, rows: u64, bytes: u64, hash: u128) {
        let mut state = self.state();
        state.batches_open -= 1;
        self.counters.batches.add(1);
        self.counters.inserted_bytes.add(bytes);
        if state.given_up {
            self.counters.repeated_rows.add(rows);
        } else {
            state.figures += Figures {
                rows_inserted: rows,
                bytes_inserted: bytes,
                batches: 1,
                hash,
                ..Figures::default()
            };
            self.counters.inserted_rows.add(rows);
            self.complete_if_done(&state);
        }
    }

    /// A batch is not inserted, because its chunk was given up.
    pub fn batch_dropped(&self) {
        self.state().batches_open -= 1;
    }

    /// Whether the chunk was given up, because of this attempt or of another part of its keys.
    pub fn chunk_failed(&self) -> bool {
        self.book.is_failed(self.chunk)
    }

    /// Gives the chunk up, and with it the attempt; gives how many chunks were.
    pub fn fail_chunk(&self, error: &PipelineError) -> usize {
        self.give_up();
        self.book.fail(FailedChunk::of(self.chunk, error))
    }

    /// The chunks that were given up.
    pub fn failed_chunks(&self) -> Vec<FailedChunk> {
        self.book.failed()
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
        if std::mem::replace(&mut state.given_up, true) {
            return;
        }
        let Figures { rows_read, bytes_read, matched, rows_inserted, .. } = state.figures;
        self.counters.source_rows.take(rows_read);
        self.counters.source_bytes.take(bytes_read);
        self.counters.source_rows_given_up.add(rows_read);
        self.counters.source_bytes_given_up.add(bytes_read);
        self.counters.matched_rows.take(matched.in_window);
        self.counters.matched_late_rows.take(matched.late);
        self.counters.unmatched_rows.take(matched.not);
        self.counters.inserted_rows.take(rows_inserted);
        self.counters.repeated_rows.add(rows_inserted);
    }

    fn complete_if_done(&self, state: &State) {
        if state.stream_ended && state.batches_open == 0 && !state.given_up {
            self.counters.chunks_done.add(1);
            self.book.complete(self.chunk, self.share, state.figures);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_does_not_count() {
        let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let (counters, book) =
            (Arc::new(Counters::default()), Arc::new(ChunkBook::new(Some(sender))));
        let first = Attempt::begin(0, Share::of(None), book.clone(), counters.clone());
        first.read(Tally {
            rows: 10,
            bytes: 100,
            matched: Matched { in_window: 6, late: 0, not: 1 },
        });
        first
            .read(Tally { matched: Matched { in_window: 0, late: 2, not: 1 }, ..Tally::default() });
        let matched = || {
            (
                counters.matched_rows.get(),
                counters.matched_late_rows.get(),
                counters.unmatched_rows.get(),
            )
        };
        assert_eq!(matched(), (6, 2, 2));
        first.batch_queued();
        first.batch_queued();
        first.batch_acknowledged(4, 40, 1);
        first.give_up();
        first
            .read(Tally { matched: Matched { in_window: 0, late: 1, not: 0 }, ..Tally::default() });
        first.batch_acknowledged(4, 40, 2);
        assert_eq!(
            (
                counters.source_rows.get(),
                counters.inserted_rows.get(),
                counters.repeated_rows.get()
            ),
            (0, 0, 8)
        );
        assert_eq!((matched(), counters.chunks_done.get()), ((0, 0, 0), 0));

        let second = Attempt::begin(0, Share::of(None), book, counters.clone());
        second.read(Tally {
            rows: 10,
            bytes: 100,
            matched: Matched { in_window: 6, late: 1, not: 3 },
        });
        second.batch_queued();
        second.batch_queued();
        second.batch_acknowledged(4, 40, 4);
        second.stream_ended();
        assert_eq!(counters.chunks_done.get(), 0, "a batch is still open");
        assert!(reports.try_recv().is_err());
        second.batch_acknowledged(6, 60, 8);
        assert_eq!((counters.inserted_rows.get(), counters.chunks_done.get()), (10, 1));
        let report = reports.try_recv().unwrap();
        assert_eq!(
            (report.attempts, report.rows_read, report.rows_inserted, report.hash),
            (2, 10, 10, 12)
        );
        assert_eq!((report.matched, report.matched_late, report.unmatched), (6, 1, 3));
    }
}
