//! Looking up the keys of rows that were put aside, and enriching the rows.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::answers::{Answer, Answers};
use super::aside::Aside;
use super::ask::{Asked, Found, ask};
use crate::engine::stream::attempt::{Attempt, Matched, Tally};
use crate::engine::stream::batch::{BatchBuilder, BatchLimits};
use crate::engine::stream::enrich::Enricher;
use crate::engine::stream::error::ReadError;
use crate::engine::stream::queue::QueueSender;
use crate::engine::stream::shared::Shared;
use crate::job::statements::{KeyBytes, LookupTimes};

/// Keys of one query at most. Their number hardly changes what a query costs the server until
/// parsing them does.
const KEYS_A_QUERY: usize = 50_000;

/// What all chunks of a wave share to look up late.
pub(in crate::engine::stream) struct LateLookup {
    pub(super) shared: Arc<Shared>,
    window: LookupTimes,
    answers: Mutex<Answers>,
}

/// Where rows go that have been looked up.
pub(super) struct Sink<'a> {
    pub attempt: &'a Arc<Attempt>,
    pub batches: &'a mut BatchBuilder,
    pub queue: &'a QueueSender,
}

/// What a run of rows needs to know.
struct Question<'a> {
    /// The rows' keys; those that are asked for count as not found until they are.
    answers: HashMap<&'a [u8], Answer, RandomState>,
    unknown: Vec<KeyBytes<'a>>,
    /// The row behind the last.
    end: usize,
}

impl LateLookup {
    /// Nothing is known yet.
    pub fn new(shared: Arc<Shared>, window: LookupTimes) -> Self {
        let room = size(shared.options.late.answers);
        Self { shared, window, answers: Mutex::new(Answers::new(room)) }
    }

    /// Bytes that are put aside before they are looked up. A reader has two such heaps: one that
    /// grows and one that is being looked up.
    pub(super) fn aside_bytes(&self) -> usize {
        size(self.shared.options.late.reader / 4)
    }

    /// Bytes of an answer.
    fn answer_bytes(&self) -> usize {
        size(self.shared.options.late.reader / 4)
    }

    /// When a late batch is full.
    pub(super) fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            bytes: (self.shared.options.late.reader / 4).max(1),
            ..self.shared.options.batch_limits()
        }
    }

    /// Looks up the rows' keys and puts the rows into batches, in their order. Gives whether to go
    /// on.
    ///
    /// # Errors
    /// [`ReadError::Late`], [`ReadError::Lost`] and [`ReadError::Row`].
    pub(super) async fn resolve(
        &self,
        enricher: &Enricher,
        aside: &Aside,
        sink: &mut Sink<'_>,
    ) -> Result<bool, ReadError> {
        let Some(lookup) = &self.shared.job.lookup else { return Ok(true) };
        let (mut begin, mut most_keys) = (0, KEYS_A_QUERY);
        while begin < aside.len() {
            let mut question = self.question(aside, begin, most_keys);
            if !question.unknown.is_empty() {
                match ask(&self.shared, lookup, self.window, &question.unknown, self.answer_bytes())
                    .await?
                {
                    Asked::Found { found, bytes } => {
                        self.learn(&mut question, &found);
                        if bytes < self.answer_bytes() / 4 {
                            most_keys = (most_keys * 2).min(KEYS_A_QUERY);
                        }
                    }
                    Asked::TooLarge => {
                        most_keys = (question.unknown.len() / 2).max(1);
                        continue;
                    }
                    Asked::Stopped => return Ok(false),
                }
            }
            let mut matched = Matched::default();
            for number in begin..question.end {
                let Some((key, columns)) = aside.row(number) else { continue };
                let answer = question.answers.get(key.bytes).and_then(Option::as_deref);
                *if answer.is_some() { &mut matched.late } else { &mut matched.not } += 1;
                enricher.append_late(columns, answer, sink.batches)?;
                if !send_full(sink).await {
                    return Ok(false);
                }
            }
            sink.attempt.read(Tally { matched, ..Tally::default() });
            self.shared.advice.consider(&self.shared.counters, lookup);
            begin = question.end;
            tokio::task::consume_budget().await;
        }
        Ok(true)
    }

    /// What is known of the keys from this row on, and what must be asked, up to so many keys.
    fn question<'a>(&self, aside: &'a Aside, begin: usize, most_keys: usize) -> Question<'a> {
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut question =
            Question { answers: HashMap::default(), unknown: Vec::new(), end: begin };
        // Of a row's bytes few are its key. Where they are many, the statement must not become much
        // larger than the rows.
        let (mut key_bytes, most_bytes) = (0, self.answer_bytes() / 4);
        while let Some((key, _)) = aside.row(question.end) {
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

    /// Takes over what was found, and remembers it, and what was not.
    fn learn(&self, question: &mut Question<'_>, found: &Found) {
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &question.unknown {
            let answer = found.get(key.bytes).cloned();
            known.remember(key.bytes, answer.clone());
            question.answers.insert(key.bytes, answer);
        }
    }
}

/// Puts full batches into the queue; gives whether anybody is there to take them.
pub(super) async fn send_full(sink: &mut Sink<'_>) -> bool {
    for batch in sink.batches.take_full() {
        if !sink.queue.send(batch).await {
            return false;
        }
    }
    true
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
