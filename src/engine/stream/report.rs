//! What becomes of each chunk, told to whoever keeps a record of it.
//!
//! ```text
//! pending ──every part of its keys read to a clean end, every batch acknowledged──► Completed
//!    └──────reading or an insert failed for good──────────────────────────────────► Failed
//! ```
//!
//! A chunk that is neither, because the run was stopped, is reported not at all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::AddAssign;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;

use super::attempt::Matched;
use super::error::FailedChunk;
use crate::job::statements::Bucket;

/// A chunk that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkReport {
    /// The chunk's number in the plan, from 0.
    pub chunk: usize,
    /// How it ended.
    pub outcome: ChunkOutcome,
    /// How often a stream of it was begun, over all parts of its keys; 1 where nothing was in the
    /// way.
    pub attempts: u32,
    /// Rows that the source query gave.
    pub rows_read: u64,
    /// Rows of acknowledged batches. Of a chunk that is completed, as many as were read.
    pub rows_inserted: u64,
    /// Rows that found attributes inside the lookup's window.
    pub matched: u64,
    /// Rows that found attributes outside of it.
    pub matched_late: u64,
    /// Rows that found none.
    pub unmatched: u64,
    /// Bytes of acknowledged batches, in the format in which they were sent.
    pub bytes_inserted: u64,
    /// Acknowledged batches.
    pub batches: u64,
    /// The wrapping sum of the hashes of its inserted rows: the same for the same rows in any order
    /// and any batches.
    pub hash: u128,
    /// When its first stream began.
    pub started_at: SystemTime,
    /// When its last batch was acknowledged, or when it failed.
    pub finished_at: SystemTime,
}

/// How a chunk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// Every row of it is in the target.
    Completed,
    /// It could not be done, for this reason. Some of its rows may be in the target.
    Failed(String),
}

/// What a stream of a chunk gave, or several together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub rows_read: u64,
    pub bytes_read: u64,
    pub matched: Matched,
    pub rows_inserted: u64,
    pub bytes_inserted: u64,
    pub batches: u64,
    pub hash: u128,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.rows_read += other.rows_read;
        self.bytes_read += other.bytes_read;
        self.matched += other.matched;
        self.rows_inserted += other.rows_inserted;
        self.bytes_inserted += other.bytes_inserted;
        self.batches += other.batches;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// A part of a chunk's keys, as a share of the whole. The parts of a chunk are disjoint, and their
/// counts are powers of two, so that shares add up exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u64);

impl Share {
    const WHOLE: u64 = 1 << 32;

    /// The share of this part; all where the keys are not divided.
    pub fn of(bucket: Option<Bucket>) -> Self {
        Self(bucket.map_or(Self::WHOLE, |bucket| Self::WHOLE / u64::from(bucket.count.max(1))))
    }
}

/// Adds up the parts of each chunk of a run, and reports a chunk that is whole.
#[derive(Debug)]
pub(super) struct ChunkBook {
    chunks: Mutex<HashMap<usize, Account>>,
    failed: Mutex<Vec<FailedChunk>>,
    reports: Option<UnboundedSender<ChunkReport>>,
}

#[derive(Debug)]
struct Account {
    started_at: SystemTime,
    attempts: u32,
    done: u64,
    figures: Figures,
    failed: bool,
    reported: bool,
}

impl ChunkBook {
    /// Reports go there; nobody needs to listen.
    pub fn new(reports: Option<UnboundedSender<ChunkReport>>) -> Self {
        Self { chunks: Mutex::default(), failed: Mutex::default(), reports }
    }

    fn chunks(&self) -> MutexGuard<'_, HashMap<usize, Account>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of the chunk begins.
    pub fn begin(&self, chunk: usize) {
        let account = || Account {
            started_at: SystemTime::now(),
            attempts: 0,
            done: 0,
            figures: Figures::default(),
            failed: false,
            reported: false,
        };
        self.chunks().entry(chunk).or_insert_with(account).attempts += 1;
    }

    /// The chunk cannot be done; gives how many chunks cannot.
    pub fn fail(&self, failed_chunk: FailedChunk) -> usize {
        let chunk = failed_chunk.chunk;
        let mut chunks = self.chunks();
        if let Some(account) = chunks.get_mut(&chunk)
            && !account.reported
        {
            account.failed = true;
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            self.report(chunk, account, ChunkOutcome::Failed(failed_chunk.reason.clone()));
            failed.push(failed_chunk);
        }
        drop(chunks);
        self.failed().len()
    }

    /// Whether the chunk was given up.
    pub fn is_failed(&self, chunk: usize) -> bool {
        self.chunks().get(&chunk).is_some_and(|account| account.failed)
    }

    /// The chunks that were given up, in the order in which they were.
    pub fn failed(&self) -> Vec<FailedChunk> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A part of the chunk's keys is done.
    pub fn complete(&self, chunk: usize, share: Share, figures: Figures) {
        let mut chunks = self.chunks();
        let Entry::Occupied(mut account) = chunks.entry(chunk) else { return };
        let account = account.get_mut();
        account.done += share.0;
        account.figures += figures;
        if account.done >= Share::WHOLE {
            self.report(chunk, account, ChunkOutcome::Completed);
        }
    }

    fn report(&self, chunk: usize, account: &mut Account, outcome: ChunkOutcome) {
        if std::mem::replace(&mut account.reported, true) {
            return;
        }
        let Some(reports) = &self.reports else { return };
        let Figures { rows_read, matched, rows_inserted, bytes_inserted, batches, hash, .. } =
            account.figures;
        let report = ChunkReport {
            chunk,
            outcome,
            attempts: account.attempts,
            rows_read,
            rows_inserted,
            matched: matched.in_window,
            matched_late: matched.late,
            unmatched: matched.not,
            bytes_inserted,
            batches,
            hash,
            started_at: account.started_at,
            finished_at: SystemTime::now(),
        };
        // The one who listens may have given up.
        let _ = reports.send(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::stream::PipelineError;

    fn figures(rows: u64) -> Figures {
        let matched = Matched { in_window: rows - 1, late: 0, not: 1 };
        Figures {
            rows_read: rows,
            matched,
            rows_inserted: rows,
            batches: 1,
            hash: u128::MAX,
            ..Figures::default()
        }
    }

    #[test]
    fn a_chunk_is_completed_when_all_parts_of_its_keys_are() {
        let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let book = ChunkBook::new(Some(sender));
        // A half, and two quarters, of which one took two attempts.
        let parts = [(0, 2, 10), (1, 4, 20), (3, 4, 30)];
        for (index, count, rows) in parts {
            assert!(reports.try_recv().is_err(), "the chunk is not whole yet");
            book.begin(7);
            if index == 1 {
                book.begin(7);
            }
            book.complete(7, Share::of(Some(Bucket { index, count })), figures(rows));
        }
        let report = reports.try_recv().unwrap();
        assert_eq!(
            (report.chunk, report.outcome, report.attempts),
            (7, ChunkOutcome::Completed, 4)
        );
        assert_eq!(
            (
                report.rows_read,
                report.rows_inserted,
                report.matched,
                report.unmatched,
                report.batches
            ),
            (60, 60, 57, 3, 3)
        );
        assert_eq!(report.hash, u128::MAX - 2, "sums wrap");
        assert!(report.finished_at >= report.started_at);

        book.begin(9);
        let failed = |reason| FailedChunk::of(9, &PipelineError::Task(String::from(reason)));
        assert_eq!(book.fail(failed("for a reason")), 1);
        assert!(book.is_failed(9) && !book.is_failed(7));
        assert_eq!(book.fail(failed("for another reason")), 1, "a chunk fails once");
        book.complete(9, Share::of(None), figures(1));
        let report = reports.try_recv().unwrap();
        assert_eq!(
            (report.chunk, report.outcome),
            (9, ChunkOutcome::Failed(failed("for a reason").reason))
        );
        book.begin(8);
        book.complete(8, Share::of(None), figures(1));
        assert_eq!(reports.try_recv().unwrap().chunk, 8);
        assert!(reports.try_recv().is_err(), "each chunk is reported once");
    }
}
