//! The accounts of chunks: what each attempt to stream a chunk contributed, and what becomes of the
//! chunk.
//!
//! ```text
//! attempt: open ──stream ended──► ended ──last batch acknowledged──► done: its part of the keys is complete
//!            └─────stream broke──► given up: its counts are subtracted, the next attempt streams the chunk again
//!
//! chunk:   pending ──all parts of its keys done──► Completed
//!            ├──────reading or an insert failed──► Failed
//!            └───────────────────────too slow──► Divided: its parts are chunks in its place
//! ```
//!
//! A chunk that is neither when the run stops is not reported.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OnceCell, oneshot};
use tracing::Span;

use super::chunk_states::ChunkState;
use super::counters::Counters;
use super::error::{FailedChunk, PipelineError};
use crate::job::statements::Bucket;
use crate::plan::{Bound, Chunk, ChunkId};
use crate::spans;
use crate::sync::{Mutex, MutexGuard};

/// What is to be recorded of a chunk.
#[derive(Debug)]
pub(crate) enum ChunkEvent {
    /// It is begun.
    Begun(BegunChunk),
    /// It was completed, failed or divided.
    Ended(ChunkReport),
}

/// A chunk whose batches must be the same rows each time, before its first batch is sent.
#[derive(Debug)]
pub(crate) struct BegunChunk {
    /// Which chunk.
    pub chunk: ChunkId,
    /// The rows of its batches.
    pub batch_rows: u64,
    /// Answered when this is recorded.
    pub recorded: oneshot::Sender<()>,
}

/// A chunk that was completed or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkReport {
    /// Which chunk.
    pub chunk: ChunkId,
    /// How it ended.
    pub outcome: ChunkOutcome,
    /// How many attempts it took, over all parts of its keys: 1 where no attempt failed.
    pub attempts: u32,
    /// What its attempts contributed.
    pub figures: ChunkFigures,
    /// When its first attempt began.
    pub started_at: SystemTime,
    /// When its last batch was acknowledged, or when it failed.
    pub finished_at: SystemTime,
}

/// How a chunk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChunkOutcome {
    /// All of its rows are in the target.
    Completed,
    /// It failed for this reason. Some of its rows may be in the target.
    Failed(String),
    /// Its parts are read in its place. Some of its rows may be in the target.
    Divided {
        /// The bounds between the parts.
        cuts: Vec<Bound>,
        /// The parts.
        parts: Vec<Chunk>,
    },
}

/// What an attempt contributed, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkFigures {
    /// Rows that the source query returned.
    pub rows_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// How many of them found attributes.
    pub matched: Matched,
    /// Rows of acknowledged batches. In a completed chunk, as many as were read.
    pub rows_inserted: u64,
    /// Bytes of acknowledged batches, in the format that was sent.
    pub bytes_inserted: u64,
    /// Acknowledged batches.
    pub batches: u64,
    /// The wrapping sum of the hashes of the inserted rows. It depends neither on their order nor on
    /// their batches. Blocks that are passed on have one hash each.
    pub hash: u128,
    /// The attempt whose rows in the stage count; 0 without a stage.
    pub stage_attempt: u32,
}

impl AddAssign for ChunkFigures {
    fn add_assign(&mut self, other: Self) {
        self.rows_read += other.rows_read;
        self.bytes_read += other.bytes_read;
        self.matched += other.matched;
        self.rows_inserted += other.rows_inserted;
        self.bytes_inserted += other.bytes_inserted;
        self.batches += other.batches;
        self.hash = self.hash.wrapping_add(other.hash);
        // A chunk that is staged has one attempt that counts.
        self.stage_attempt = self.stage_attempt.max(other.stage_attempt);
    }
}

/// A part of a chunk's keys as a share of all of them. The parts are disjoint, and their number is a
/// power of two, so that shares add up exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct KeyShare(u64);

impl KeyShare {
    const WHOLE: u64 = 1 << 32;

    /// The share of this part; `None` is all keys.
    pub(in crate::engine) fn of(bucket: Option<Bucket>) -> Self {
        Self(bucket.map_or(Self::WHOLE, |bucket| Self::WHOLE / u64::from(bucket.count.max(1))))
    }
}

/// The chunks of a run. Adds up the parts of each chunk, and reports it when it is complete.
#[derive(Debug)]
pub(in crate::engine) struct ChunkBook {
    chunks: Mutex<HashMap<ChunkId, ChunkAccount>>,
    failed: Mutex<Vec<FailedChunk>>,
    /// The rows of the batches of chunks that were begun, where repeated batches are recognized.
    begun: Mutex<BTreeMap<ChunkId, u64>>,
    reports: Option<UnboundedSender<ChunkEvent>>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct ChunkAccount {
    started_at: SystemTime,
    attempts: u32,
    done: u64,
    figures: ChunkFigures,
    /// The digests of batches that were acknowledged, where repeated batches are recognized.
    acknowledged: HashSet<u128>,
    failed: bool,
    reported: bool,
}

impl ChunkAccount {
    fn new() -> Self {
        Self {
            started_at: SystemTime::now(),
            attempts: 0,
            done: 0,
            figures: ChunkFigures::default(),
            acknowledged: HashSet::new(),
            failed: false,
            reported: false,
        }
    }
}

impl ChunkBook {
    /// `reports` receives a report of each chunk; `begun` are the rows of the batches of chunks that
    /// were begun before; `counters` show where each chunk stands.
    pub(super) fn new(
        reports: Option<UnboundedSender<ChunkEvent>>,
        begun: BTreeMap<ChunkId, u64>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            chunks: Mutex::default(),
            failed: Mutex::default(),
            begun: Mutex::new(begun),
            reports,
            counters,
        }
    }

    /// The rows of the batches of a chunk whose batches must be the same each time; `None` while none
    /// was sent.
    pub(super) fn batch_rows(&self, chunk: ChunkId) -> Option<u64> {
        self.begun.lock().get(&chunk).copied()
    }

    /// Records that the chunk is cut into batches of this many rows, before the first is sent. Returns
    /// whether that is recorded.
    async fn begin_batches(&self, chunk: ChunkId, batch_rows: u64) -> bool {
        if self.batch_rows(chunk).is_some() {
            return true;
        }
        if let Some(reports) = &self.reports {
            let (recorded, answer) = oneshot::channel();
            let begun = BegunChunk { chunk, batch_rows, recorded };
            if reports.send(ChunkEvent::Begun(begun)).is_err() || answer.await.is_err() {
                return false;
            }
        }
        self.begun.lock().insert(chunk, batch_rows);
        true
    }

    fn chunks(&self) -> MutexGuard<'_, HashMap<ChunkId, ChunkAccount>> {
        self.chunks.lock()
    }

    /// Notes that an attempt begins.
    pub(super) fn begin(&self, chunk: ChunkId) {
        self.chunks().entry(chunk).or_insert_with(ChunkAccount::new).attempts += 1;
        self.counters.chunk_states.set(chunk, ChunkState::Started);
    }

    /// Notes that the parts of a chunk, between these cuts, are read in its place. What its attempts
    /// inserted does not count.
    pub(super) fn divide(&self, chunk: ChunkId, cuts: Vec<Bound>, parts: Vec<Chunk>) {
        let mut chunks = self.chunks();
        let account = chunks.entry(chunk).or_insert_with(ChunkAccount::new);
        account.figures = ChunkFigures::default();
        self.counters.chunk_states.divide(chunk, &parts);
        self.report(chunk, account, ChunkOutcome::Divided { cuts, parts });
    }

    /// Marks the chunk as failed; returns how many chunks failed, and whether this one had not failed before.
    pub(super) fn fail(&self, failed_chunk: FailedChunk) -> (usize, bool) {
        let chunk = failed_chunk.chunk;
        let mut is_new = false;
        let mut chunks = self.chunks();
        if let Some(account) = chunks.get_mut(&chunk)
            && !account.reported
        {
            account.failed = true;
            self.counters.chunk_states.set(chunk, ChunkState::Failed);
            let mut failed = self.failed.lock();
            self.report(chunk, account, ChunkOutcome::Failed(failed_chunk.reason.clone()));
            failed.push(failed_chunk);
            is_new = true;
        }
        drop(chunks);
        (self.failed().len(), is_new)
    }

    /// Whether the chunk failed.
    pub(in crate::engine) fn is_failed(&self, chunk: ChunkId) -> bool {
        self.chunks().get(&chunk).is_some_and(|account| account.failed)
    }

    /// The chunks that failed, in order of their failure.
    pub(super) fn failed(&self) -> Vec<FailedChunk> {
        self.failed.lock().clone()
    }

    /// Adds a part of the chunk's keys that is done.
    pub(super) fn complete(&self, chunk: ChunkId, share: KeyShare, figures: ChunkFigures) {
        let mut chunks = self.chunks();
        let Entry::Occupied(mut account) = chunks.entry(chunk) else { return };
        let account = account.get_mut();
        account.done += share.0;
        account.figures += figures;
        if account.done >= KeyShare::WHOLE {
            self.counters.chunk_states.set(chunk, ChunkState::Completed);
            self.report(chunk, account, ChunkOutcome::Completed);
        }
    }

    fn report(&self, chunk: ChunkId, account: &mut ChunkAccount, outcome: ChunkOutcome) {
        if std::mem::replace(&mut account.reported, true) {
            return;
        }
        let Some(reports) = &self.reports else { return };
        let report = ChunkReport {
            chunk,
            outcome,
            attempts: account.attempts,
            figures: account.figures,
            started_at: account.started_at,
            finished_at: SystemTime::now(),
        };
        // The receiver may be gone.
        let _ = reports.send(ChunkEvent::Ended(report));
    }
}

/// An attempt to stream a chunk, or a part of its keys. Shared by its reader and its batches.
#[derive(Debug)]
pub(in crate::engine) struct ChunkAttempt {
    /// Which chunk.
    pub chunk: ChunkId,
    share: KeyShare,
    book: Arc<ChunkBook>,
    counters: Arc<Counters>,
    /// The rows of its batches, where they are the same in each attempt.
    batch_rows: Option<u64>,
    /// Whether that is recorded.
    begun: OnceCell<bool>,
    progress: Mutex<AttemptProgress>,
    /// The span of the chunk, which lasts as long as its batches.
    span: Span,
}

#[derive(Debug, Default)]
struct AttemptProgress {
    given_up: bool,
    stream_ended: bool,
    batches_open: usize,
    figures: ChunkFigures,
}

/// What one piece of a stream contributed, or one lookup of deferred rows.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct ReadTally {
    pub rows: u64,
    pub bytes: u64,
    pub matched: Matched,
}

/// How many rows found attributes. A deferred row is in none of these until it was looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched {
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

impl ChunkAttempt {
    pub(in crate::engine) fn begin(
        chunk: ChunkId,
        share: KeyShare,
        book: Arc<ChunkBook>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Self::begin_as(chunk, share, book, counters, None)
    }

    /// The same of a chunk whose batches have this many rows each time, because the target recognizes
    /// those that it has.
    pub(super) fn begin_repeatable(
        chunk: ChunkId,
        share: KeyShare,
        book: Arc<ChunkBook>,
        counters: Arc<Counters>,
        batch_rows: u64,
    ) -> Arc<Self> {
        Self::begin_as(chunk, share, book, counters, Some(batch_rows))
    }

    fn begin_as(
        chunk: ChunkId,
        share: KeyShare,
        book: Arc<ChunkBook>,
        counters: Arc<Counters>,
        batch_rows: Option<u64>,
    ) -> Arc<Self> {
        book.begin(chunk);
        let (begun, progress, span) = (OnceCell::new(), Mutex::default(), Span::current());
        Arc::new(Self { chunk, share, book, counters, batch_rows, begun, progress, span })
    }

    /// The span of the insert of one of its batches.
    pub(super) fn insert_span(&self, rows: u64, bytes: u64) -> Span {
        spans::insert(&self.span, &self.chunk, rows, bytes)
    }

    /// The rows of its batches, where they are the same in each attempt.
    pub(super) fn batch_rows(&self) -> Option<u64> {
        self.batch_rows
    }

    /// Waits until it is recorded how the chunk is cut into batches, where that matters. Returns whether
    /// batches may be sent.
    pub(super) async fn may_send(&self) -> bool {
        let Some(rows) = self.batch_rows else { return true };
        *self.begun.get_or_init(|| self.book.begin_batches(self.chunk, rows)).await
    }

    fn progress(&self) -> MutexGuard<'_, AttemptProgress> {
        self.progress.lock()
    }

    /// Adds rows that were read, or deferred rows that were looked up.
    pub(in crate::engine) fn read(&self, tally: ReadTally) {
        let mut progress = self.progress();
        if progress.given_up {
            return;
        }
        progress.figures += ChunkFigures {
            rows_read: tally.rows,
            bytes_read: tally.bytes,
            matched: tally.matched,
            ..ChunkFigures::default()
        };
        self.counters.source_rows.add(tally.rows);
        self.counters.source_bytes.add(tally.bytes);
        self.counters.matched_rows.add(tally.matched.in_window);
        self.counters.matched_late_rows.add(tally.matched.late);
        self.counters.unmatched_rows.add(tally.matched.not);
    }

    /// Notes that its rows lie in the stage as this attempt.
    pub(in crate::engine) fn staged(&self, stage_attempt: u32) {
        self.progress().figures.stage_attempt = stage_attempt;
    }

    /// Notes that a batch is queued.
    pub(in crate::engine) fn batch_queued(&self) {
        self.progress().batches_open += 1;
    }

    /// Notes that a batch was acknowledged; `hash` is the sum of its rows' hashes.
    pub(in crate::engine) fn batch_acknowledged(&self, rows: u64, bytes: u64, hash: u128) {
        self.counters.batches.add(1);
        self.counters.inserted_bytes.add(bytes);
        self.batch_arrived(rows, bytes, hash);
    }

    /// Notes that the rows of a batch are in the target: it was acknowledged now, or in an attempt
    /// before.
    pub(super) fn batch_arrived(&self, rows: u64, bytes: u64, hash: u128) {
        let mut progress = self.progress();
        progress.batches_open -= 1;
        if progress.given_up {
            self.counters.repeated_rows.add(rows);
        } else {
            progress.figures += ChunkFigures {
                rows_inserted: rows,
                bytes_inserted: bytes,
                batches: 1,
                hash,
                ..ChunkFigures::default()
            };
            self.counters.inserted_rows.add(rows);
            self.complete_if_done(&progress);
        }
    }

    /// Remembers a batch that was acknowledged, so that another attempt need not send it.
    pub(super) fn remember(&self, digest: u128) {
        if self.batch_rows.is_some()
            && let Some(account) = self.book.chunks().get_mut(&self.chunk)
        {
            account.acknowledged.insert(digest);
        }
    }

    /// Whether a batch with the same rows was acknowledged.
    pub(super) fn is_acknowledged(&self, digest: u128) -> bool {
        let chunks = self.book.chunks();
        self.batch_rows.is_some()
            && chunks.get(&self.chunk).is_some_and(|account| account.acknowledged.contains(&digest))
    }

    /// Notes that a batch is dropped, since its chunk failed.
    pub(super) fn batch_dropped(&self) {
        self.progress().batches_open -= 1;
    }

    /// Whether the chunk failed, in this attempt or in another part of its keys.
    pub(super) fn chunk_failed(&self) -> bool {
        self.book.is_failed(self.chunk)
    }

    /// Gives the attempt up and marks the chunk as failed; returns how many chunks failed, and whether this
    /// one had not failed before.
    pub(super) fn fail_chunk(&self, error: &PipelineError) -> (usize, bool) {
        self.give_up();
        let failed = FailedChunk::of(self.chunk, error);
        spans::fail(&self.span, &failed.reason);
        self.book.fail(failed)
    }

    /// Whether the attempt was given up: the next one reads its rows again.
    pub(super) fn is_given_up(&self) -> bool {
        self.progress().given_up
    }

    /// Rows that it has read.
    pub(super) fn rows_read(&self) -> u64 {
        self.progress().figures.rows_read
    }

    /// The chunks that failed.
    pub(super) fn failed_chunks(&self) -> Vec<FailedChunk> {
        self.book.failed()
    }

    /// Notes that the stream ended cleanly and all of its batches are queued.
    pub(in crate::engine) fn stream_ended(&self) {
        let mut progress = self.progress();
        progress.stream_ended = true;
        self.complete_if_done(&progress);
    }

    /// Gives the attempt up: its counts are subtracted.
    pub(in crate::engine) fn give_up(&self) {
        let mut progress = self.progress();
        if std::mem::replace(&mut progress.given_up, true) {
            return;
        }
        let ChunkFigures { rows_read, bytes_read, matched, rows_inserted, .. } = progress.figures;
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

    fn complete_if_done(&self, progress: &AttemptProgress) {
        if progress.stream_ended && progress.batches_open == 0 && !progress.given_up {
            self.counters.chunks_done.add(1);
            self.counters.rows_done.add(progress.figures.rows_inserted);
            let ChunkFigures { rows_inserted, rows_read, batches, .. } = progress.figures;
            self.span.record("backfill.rows", rows_inserted);
            self.span.record("backfill.rows_read", rows_read);
            self.span.record("backfill.batches", batches);
            self.book.complete(self.chunk, self.share, progress.figures);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;

    fn ended(events: &mut UnboundedReceiver<ChunkEvent>) -> ChunkReport {
        match events.try_recv().unwrap() {
            ChunkEvent::Ended(report) => report,
            ChunkEvent::Begun(begun) => panic!("{begun:?}"),
        }
    }

    fn figures(rows: u64) -> ChunkFigures {
        let matched = Matched { in_window: rows - 1, late: 0, not: 1 };
        ChunkFigures {
            rows_read: rows,
            matched,
            rows_inserted: rows,
            batches: 1,
            hash: u128::MAX,
            ..ChunkFigures::default()
        }
    }

    #[test]
    fn a_chunk_is_completed_when_all_parts_of_its_keys_are() {
        let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let book = ChunkBook::new(Some(sender), BTreeMap::new(), Arc::default());
        // A half, and two quarters, of which one took two attempts.
        let parts = [(0, 2, 10), (1, 4, 20), (3, 4, 30)];
        for (index, count, rows) in parts {
            assert!(reports.try_recv().is_err(), "the chunk is not whole yet");
            book.begin(ChunkId::planned(7));
            if index == 1 {
                book.begin(ChunkId::planned(7));
            }
            book.complete(
                ChunkId::planned(7),
                KeyShare::of(Some(Bucket { index, count })),
                figures(rows),
            );
        }
        let report = ended(&mut reports);
        assert_eq!(
            (report.chunk, report.outcome, report.attempts),
            (ChunkId::planned(7), ChunkOutcome::Completed, 4)
        );
        assert_eq!(
            (
                report.figures.rows_read,
                report.figures.rows_inserted,
                report.figures.matched.in_window,
                report.figures.matched.not,
                report.figures.batches
            ),
            (60, 60, 57, 3, 3)
        );
        assert_eq!(report.figures.hash, u128::MAX - 2, "sums wrap");
        assert!(report.finished_at >= report.started_at);

        book.begin(ChunkId::planned(9));
        let failed = |reason| {
            FailedChunk::of(ChunkId::planned(9), &PipelineError::Task(String::from(reason)))
        };
        assert_eq!(book.fail(failed("for a reason")), (1, true));
        assert!(book.is_failed(ChunkId::planned(9)) && !book.is_failed(ChunkId::planned(7)));
        assert_eq!(book.fail(failed("for another reason")), (1, false), "a chunk fails once");
        book.complete(ChunkId::planned(9), KeyShare::of(None), figures(1));
        let report = ended(&mut reports);
        assert_eq!(
            (report.chunk, report.outcome),
            (ChunkId::planned(9), ChunkOutcome::Failed(failed("for a reason").reason))
        );
        book.begin(ChunkId::planned(8));
        book.complete(ChunkId::planned(8), KeyShare::of(None), figures(1));
        assert_eq!(ended(&mut reports).chunk, ChunkId::planned(8));
        assert!(reports.try_recv().is_err(), "each chunk is reported once");
    }

    #[test]
    fn what_is_given_up_does_not_count() {
        let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let (counters, book) = (
            Arc::new(Counters::default()),
            Arc::new(ChunkBook::new(Some(sender), BTreeMap::new(), Arc::default())),
        );
        let first = ChunkAttempt::begin(
            ChunkId::planned(0),
            KeyShare::of(None),
            book.clone(),
            counters.clone(),
        );
        let found = |in_window, late, not| Matched { in_window, late, not };
        let read = |matched| ReadTally { rows: 10, bytes: 100, matched };
        let looked_up = |matched| ReadTally { matched, ..ReadTally::default() };
        first.read(read(found(6, 0, 1)));
        first.read(looked_up(found(0, 2, 1)));
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
        first.read(looked_up(found(0, 1, 0)));
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

        let second =
            ChunkAttempt::begin(ChunkId::planned(0), KeyShare::of(None), book, counters.clone());
        second.read(read(found(6, 1, 3)));
        second.batch_queued();
        second.batch_queued();
        second.batch_acknowledged(4, 40, 4);
        second.stream_ended();
        assert_eq!(counters.chunks_done.get(), 0, "a batch is still open");
        assert!(reports.try_recv().is_err());
        second.batch_acknowledged(6, 60, 8);
        assert_eq!((counters.inserted_rows.get(), counters.chunks_done.get()), (10, 1));
        assert_eq!(counters.rows_done.get(), 10);
        let report = ended(&mut reports);
        assert_eq!(
            (report.attempts, report.figures),
            (
                2,
                ChunkFigures {
                    rows_read: 10,
                    bytes_read: 100,
                    matched: found(6, 1, 3),
                    rows_inserted: 10,
                    bytes_inserted: 100,
                    batches: 2,
                    hash: 12,
                    stage_attempt: 0,
                }
            )
        );
    }
}
