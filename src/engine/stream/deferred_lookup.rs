//! Deferred lookup: the keys of rows that found nothing in the lookup's window are looked up once
//! more without it, before the rows count as unmatched.
//!
//! ```text
//! enrich ─ miss ─► deferred rows ─ buffer full, or end of chunk ─► keys, each once ─► query ─► batches ─► queue
//!                                                                     └─► answers that are remembered
//! ```
//!
//! A query scans the lookup's key columns however few keys it names, so the rows are gathered first.
//! The reader goes on while a query runs, and waits only when the next buffer is full as well: each
//! reader has at most one deferred query in flight.
//!
//! The batch of a row depends on the rows alone, not on how the network divides them. Rows that
//! matched in the window are one sequence. Deferred rows are another, or follow the first in its own
//! batches where they never filled a buffer.
//!
//! Answers are remembered by the wave within a limit, also those of keys that do not exist.

use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::batch::{BatchBuilder, BatchLimits, LargeRowPermit, QueueSender};
use super::deferred_rows::{DeferredRows, RowBuffer};
use super::enrich::Enricher;
use super::error::ReadError;
use super::report::{ChunkAttempt, Matched, ReadTally};
use super::shared::Shared;
use crate::clickhouse::Settings;
use crate::formats::rowbinary::RowFramer;
use crate::job::BoundLookup;
use crate::job::statements::{self, KeyBytes, LookupTimes};
use crate::retry::{FailedAttempt, FailureKind, RetryError, Retryable, milliseconds};
use crate::sync::{Mutex, MutexGuard};

/// The most keys of one query. Up to about this number, it hardly changes the cost of a query.
const KEYS_PER_QUERY: usize = 50_000;

/// The attributes of a key; `None` where the key does not exist.
type KeyAnswer = Option<Arc<[u8]>>;

/// The attributes of the keys that a query found.
type FoundKeys = HashMap<Box<[u8]>, Arc<[u8]>, RandomState>;

/// The deferred lookup of one wave, shared by its chunks.
pub(super) struct DeferredLookup {
    shared: Arc<Shared>,
    window: LookupTimes,
    answers: Mutex<AnswerCache>,
}

/// Where rows go after their lookup.
struct Sink<'a> {
    attempt: &'a Arc<ChunkAttempt>,
    batches: &'a mut BatchBuilder,
    queue: &'a QueueSender,
}

/// The keys of some rows, and what is known of them.
struct KeyQuestion<'a> {
    /// The answers by key. Unknown keys count as missing until they were asked for.
    answers: HashMap<&'a [u8], KeyAnswer, RandomState>,
    unknown: Vec<KeyBytes<'a>>,
    /// The row after the last one.
    end: usize,
}

impl DeferredLookup {
    /// A lookup without any answers yet.
    pub(super) fn new(shared: Arc<Shared>, window: LookupTimes) -> Self {
        let room = size(shared.options.deferred.answers);
        Self { shared, window, answers: Mutex::new(AnswerCache::new(room)) }
    }

    /// The size of a buffer of deferred rows. A reader has two: one that grows, and one whose rows
    /// are being looked up.
    fn buffer_bytes(&self) -> usize {
        size(self.shared.options.deferred.reader / 4)
    }

    /// The most bytes of an answer.
    fn answer_bytes(&self) -> usize {
        size(self.shared.options.deferred.reader / 4)
    }

    /// When a batch of deferred rows is full, of a chunk whose batches have these limits.
    fn batch_limits(&self, of_chunk: &BatchLimits) -> BatchLimits {
        let bytes = (self.shared.options.deferred.reader / 4).max(1);
        BatchLimits { rows: of_chunk.rows.clone(), bytes }
    }

    fn answers(&self) -> MutexGuard<'_, AnswerCache> {
        self.answers.lock()
    }

    /// Looks up the keys of the rows and puts the rows into batches, in their order. Returns whether
    /// to go on.
    ///
    /// # Errors
    /// [`ReadError::Late`], [`ReadError::Lost`] and [`ReadError::Row`].
    async fn resolve(
        &self,
        enricher: &Enricher,
        rows: &RowBuffer,
        sink: &mut Sink<'_>,
    ) -> Result<bool, ReadError> {
        let Some(lookup) = &self.shared.job.lookup else { return Ok(true) };
        let (mut begin, mut most_keys) = (0, KEYS_PER_QUERY);
        while begin < rows.len() {
            let mut question = self.question(rows, begin, most_keys);
            // Held until the rows of the question are in batches.
            let mut _long = None;
            if !question.unknown.is_empty() {
                let mut end = self.ask(lookup, &question.unknown, self.answer_bytes()).await?;
                if let (QueryEnd::TooLarge { .. }, [key]) = (&end, &*question.unknown) {
                    _long = Some(self.permit(&self.shared.long_answers.0).await?);
                    end = self.ask_for_long(lookup, *key).await?;
                }
                match end {
                    QueryEnd::Found { found, bytes } => {
                        self.learn(&mut question, &found);
                        if bytes < self.answer_bytes() / 4 {
                            most_keys = (most_keys * 2).min(KEYS_PER_QUERY);
                        }
                    }
                    QueryEnd::TooLarge { .. } => {
                        most_keys = (question.unknown.len() / 2).max(1);
                        continue;
                    }
                    QueryEnd::Stopped => return Ok(false),
                }
            }
            let mut matched = Matched::default();
            for number in begin..question.end {
                let Some((key, columns)) = rows.row(number) else { continue };
                let answer = question.answers.get(key.bytes).and_then(Option::as_deref);
                *if answer.is_some() { &mut matched.late } else { &mut matched.not } += 1;
                let row_bytes = columns.len() + answer.map_or(0, <[u8]>::len);
                if sink.batches.needs_permit(row_bytes as u64) {
                    // A batch that is such a row goes alone.
                    let permit = self.permit(&self.shared.long_answers.1).await?;
                    sink.batches.set_permit(Some(permit));
                }
                enricher.append_deferred(columns, answer, sink.batches)?;
                if !sink.send_full().await {
                    return Ok(false);
                }
            }
            sink.attempt.read(ReadTally { matched, ..ReadTally::default() });
            self.shared.window_advice.consider(&self.shared.counters, lookup);
            begin = question.end;
            tokio::task::consume_budget().await;
        }
        Ok(true)
    }

    /// The keys of the rows from `begin` on, with at most `most_keys` unknown ones.
    fn question<'a>(&self, rows: &'a RowBuffer, begin: usize, most_keys: usize) -> KeyQuestion<'a> {
        let mut known = self.answers();
        let mut question =
            KeyQuestion { answers: HashMap::default(), unknown: Vec::new(), end: begin };
        // Keys are usually a small part of a row. Where they are not, the statement must not become
        // much larger than the rows.
        let (mut key_bytes, most_bytes) = (0, self.answer_bytes() / 4);
        while let Some((key, _)) = rows.row(question.end) {
            if !question.answers.contains_key(key.bytes) {
                let answer = known.recall(key.bytes);
                if answer.is_none() {
                    let full = question.unknown.len() >= most_keys
                        || key_bytes + key.bytes.len() > most_bytes;
                    if full && !question.unknown.is_empty() {
                        break;
                    }
                    key_bytes += key.bytes.len();
                    question.unknown.push(key);
                }
                question.answers.insert(key.bytes, answer.flatten());
            }
            question.end += 1;
        }
        question
    }

    /// Takes over and remembers what was found, and what was not.
    fn learn(&self, question: &mut KeyQuestion<'_>, found: &FoundKeys) {
        let mut known = self.answers();
        for key in &question.unknown {
            let answer = found.get(key.bytes).cloned();
            known.remember(key.bytes, answer.clone());
            question.answers.insert(key.bytes, answer);
        }
    }

    /// Waits for the only permit.
    async fn permit(&self, permit: &Arc<Semaphore>) -> Result<LargeRowPermit, ReadError> {
        let permit = permit.clone().acquire_owned().await;
        permit.map_err(|error| ReadError::Task(error.to_string()))
    }

    /// Asks for a key whose attributes are long.
    ///
    /// # Errors
    /// [`ReadError::LongAnswer`] where they do not fit the memory, and those of [`Self::ask`].
    async fn ask_for_long(
        &self,
        lookup: &BoundLookup,
        key: KeyBytes<'_>,
    ) -> Result<QueryEnd, ReadError> {
        let limit = self.shared.options.deferred.longest;
        match self.ask(lookup, &[key], size(limit)).await? {
            QueryEnd::TooLarge { bytes } => Err(ReadError::LongAnswer {
                table: lookup.table.name.clone(),
                key: statements::named_key(lookup, key),
                bytes: bytes as u64,
                limit,
            }),
            end => Ok(end),
        }
    }

    /// Asks the server for keys.
    ///
    /// # Errors
    /// [`ReadError::Late`] after the last retry, [`ReadError::Lost`] where the server stays away.
    async fn ask(
        &self,
        lookup: &BoundLookup,
        keys: &[KeyBytes<'_>],
        limit_bytes: usize,
    ) -> Result<QueryEnd, ReadError> {
        let shared = &*self.shared;
        let sql = statements::deferred_lookup(lookup, self.window, keys);
        let settings = statements::deferred_lookup_settings(&shared.job, sql.len());
        let mut query = KeyQuery { shared, lookup, keys: keys.len(), sql, settings, limit_bytes };
        match shared.at_source().run(&mut query).await {
            Ok(end) => Ok(end),
            Err(RetryError::GaveUp { attempts, error }) => Err(ReadError::Late {
                table: lookup.table.name.clone(),
                attempts,
                source: Box::new(error),
            }),
            Err(RetryError::Lost { outage, .. }) => Err(ReadError::Lost(outage)),
            Err(RetryError::Interrupted { .. }) => Ok(QueryEnd::Stopped),
        }
    }
}

impl Sink<'_> {
    /// Queues the full batches. Returns whether an inserter is left.
    async fn send_full(&mut self) -> bool {
        for batch in self.batches.take_full() {
            if !self.queue.send(batch).await {
                return false;
            }
        }
        true
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// How a query ended.
enum QueryEnd {
    /// With an answer of this many bytes.
    Found { found: FoundKeys, bytes: usize },
    /// With a larger answer than allowed, of this many bytes so far: it must ask for fewer keys.
    TooLarge { bytes: usize },
    /// The run stops.
    Stopped,
}

/// The query for some keys.
struct KeyQuery<'a> {
    shared: &'a Shared,
    lookup: &'a BoundLookup,
    keys: usize,
    sql: String,
    settings: Settings,
    limit_bytes: usize,
}

impl Retryable for KeyQuery<'_> {
    type Output = QueryEnd;
    type Error = ReadError;

    async fn attempt(&mut self) -> Result<QueryEnd, ReadError> {
        let Self { shared, lookup, .. } = *self;
        let mut stream = shared.servers.source.stream("late", &self.sql, &self.settings)?;
        let mut framer =
            RowFramer::new(lookup.deferred_layout.clone(), shared.options.max_row_bytes);
        let mut found = FoundKeys::default();
        let mut bytes = 0;
        while let Some(piece) = stream.next().await? {
            framer.push(&piece, &mut |group| {
                for row in group {
                    // The last byte ends the row.
                    let attributes =
                        row.payload().split_last().map_or(&[][..], |(_, attributes)| attributes);
                    found.insert(Box::from(row.marked_columns()), Arc::from(attributes));
                }
                Ok::<(), ReadError>(())
            })?;
            bytes += piece.len();
            // A row that does not fit is not received first.
            let bytes = bytes.max(framer.buffered_row_bytes());
            if bytes > self.limit_bytes {
                return Ok(QueryEnd::TooLarge { bytes });
            }
            tokio::task::consume_budget().await;
        }
        framer.finish()?;
        tracing::debug!(found = found.len(), bytes, "keys were looked up outside of the window");
        Ok(QueryEnd::Found { found, bytes })
    }

    async fn diagnose(&mut self, error: &ReadError) -> FailureKind {
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ReadError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        tracing::warn!(table = %self.lookup.table.name, keys = self.keys, attempt = number, pause_ms = milliseconds(pause), %error, "looking up keys outside of the window broke off, trying again");
    }
}

/// The deferred lookups of one attempt to read a chunk. The one in progress ends when this is
/// dropped.
pub(super) struct ChunkDeferral {
    lookup: Arc<DeferredLookup>,
    enricher: Arc<Enricher>,
    attempt: Arc<ChunkAttempt>,
    limits: BatchLimits,
    queue: QueueSender,
    /// The rows that the enricher defers.
    pub rows: DeferredRows,
    /// The lookup in progress, if there is one.
    task: JoinSet<Result<Option<BatchBuilder>, ReadError>>,
    /// The batches of deferred rows, while no lookup fills them.
    batches: Option<BatchBuilder>,
}

impl ChunkDeferral {
    pub(super) fn new(
        lookup: &Arc<DeferredLookup>,
        enricher: &Arc<Enricher>,
        attempt: &Arc<ChunkAttempt>,
        limits: &BatchLimits,
        queue: &QueueSender,
    ) -> Self {
        Self {
            limits: lookup.batch_limits(limits),
            lookup: lookup.clone(),
            enricher: enricher.clone(),
            attempt: attempt.clone(),
            queue: queue.clone(),
            rows: DeferredRows::new(lookup.buffer_bytes()),
            task: JoinSet::new(),
            batches: None,
        }
    }

    /// Starts the lookup of full buffers. Waits only while the lookup before is in progress. Returns
    /// whether to go on.
    ///
    /// # Errors
    /// Those of the lookup.
    pub(super) async fn advance(&mut self) -> Result<bool, ReadError> {
        while self.rows.has_full() {
            if !self.wait().await? {
                return Ok(false);
            }
            let Some(rows) = self.rows.take_full() else { return Ok(true) };
            let (lookup, enricher) = (self.lookup.clone(), self.enricher.clone());
            let (attempt, queue) = (self.attempt.clone(), self.queue.clone());
            let mut batches = self.batches.take().unwrap_or_else(|| {
                let format = &lookup.shared.options.format;
                BatchBuilder::new(attempt.clone(), self.limits.clone(), format)
            });
            self.task.spawn(async move {
                let mut sink = Sink { attempt: &attempt, batches: &mut batches, queue: &queue };
                let goes_on = lookup.resolve(&enricher, &rows, &mut sink).await?;
                Ok(goes_on.then_some(batches))
            });
        }
        Ok(true)
    }

    /// Waits for the lookup in progress. Returns whether to go on.
    async fn wait(&mut self) -> Result<bool, ReadError> {
        let Some(ended) = self.task.join_next().await else { return Ok(true) };
        self.batches = ended.map_err(|error| ReadError::Task(error.to_string()))??;
        Ok(self.batches.is_some())
    }

    /// Looks up the remaining rows at the end of the chunk. Where no buffer was filled before, the
    /// rows follow those of `batches`. If not, they end the batches of deferred rows, which are all
    /// queued then. Returns whether to go on.
    ///
    /// # Errors
    /// Those of the lookup.
    pub(super) async fn finish(mut self, batches: &mut BatchBuilder) -> Result<bool, ReadError> {
        if !self.advance().await? || !self.wait().await? {
            return Ok(false);
        }
        let (lookup, rows) = (&self.lookup, self.rows.take_rest());
        let (attempt, queue) = (&self.attempt, &self.queue);
        let Some(mut own) = self.batches.take() else {
            let mut sink = Sink { attempt, batches, queue };
            return lookup.resolve(&self.enricher, &rows, &mut sink).await;
        };
        let mut sink = Sink { attempt, batches: &mut own, queue };
        if !lookup.resolve(&self.enricher, &rows, &mut sink).await? || !sink.send_full().await {
            return Ok(false);
        }
        for batch in own.take_all()? {
            if !queue.send(batch).await {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What an answer takes beside its bytes: its entry in the table, and the allocator's overhead.
const ANSWER_OVERHEAD: usize = 112;

/// Remembered answers in two generations. When the young one is full, the old one is forgotten. An
/// answer that is recalled becomes young, so that keys of many rows stay.
#[derive(Debug)]
struct AnswerCache {
    young: Generation,
    old: Generation,
    /// Of one generation.
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct Generation {
    answers: HashMap<Arc<[u8]>, KeyAnswer, RandomState>,
    bytes: usize,
}

impl AnswerCache {
    /// A cache of this size.
    fn new(limit_bytes: usize) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            limit_bytes: limit_bytes / 2,
        }
    }

    /// The answer for this key; `None` where it is unknown.
    fn recall(&mut self, key: &[u8]) -> Option<KeyAnswer> {
        if let Some(answer) = self.young.answers.get(key) {
            return Some(answer.clone());
        }
        let (key, answer) = self.old.answers.remove_entry(key)?;
        self.keep(key, answer.clone());
        Some(answer)
    }

    /// Remembers an answer, unless it is larger than a generation.
    fn remember(&mut self, key: &[u8], answer: KeyAnswer) {
        self.keep(Arc::from(key), answer);
    }

    fn keep(&mut self, key: Arc<[u8]>, answer: KeyAnswer) {
        let attributes = answer.as_ref().map_or(0, |attributes| attributes.len());
        let bytes = ANSWER_OVERHEAD + key.len() + attributes;
        if bytes > self.limit_bytes {
            return;
        }
        if self.young.bytes + bytes > self.limit_bytes {
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.answers.insert(key, answer).is_none() {
            self.young.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_again_stays_and_the_rest_is_forgotten_within_the_bound() {
        let mut answers = AnswerCache::new(20 * (ANSWER_OVERHEAD + 8));
        assert_eq!(answers.recall(b"popular "), None);
        answers.remember(b"popular ", None);
        for number in 0..1000_u64 {
            answers.remember(&number.to_le_bytes(), None);
            assert_eq!(answers.recall(b"popular "), Some(None), "{number}");
            assert_eq!(answers.recall(&number.to_le_bytes()), Some(None));
            assert!(answers.young.answers.len() + answers.old.answers.len() <= 20);
        }
        assert_eq!(answers.recall(&5_u64.to_le_bytes()), None);
        let attributes: Arc<[u8]> = Arc::from(&b"attributes"[..]);
        answers.remember(b"found", Some(attributes.clone()));
        assert_eq!(answers.recall(b"found"), Some(Some(attributes)));
        answers.remember(b"huge", Some(Arc::from(vec![0; 1 << 20])));
        assert_eq!(answers.recall(b"huge"), None);
        assert!(answers.recall(b"found").is_some());
    }
}
