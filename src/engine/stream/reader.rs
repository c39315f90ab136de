//! Reading chunks: one task reads one chunk after the other, enriches and batches its rows.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::attempt::{Attempt, Tally};
use super::batch::BatchBuilder;
use super::concurrency::Turn;
use super::enrich::Enricher;
use super::error::{PipelineError, ReadError};
use super::give_up::give_up_chunk;
use super::late::LateRows;
use super::queue::QueueSender;
use super::report::{ChunkBook, Share};
use super::shared::Shared;
use super::stall::Stall;
use crate::formats::rowbinary::RowFramer;
use crate::job::statements;
use crate::job::statements::Scope;
use crate::plan::Chunk;
use crate::retry::{FailedAttempt, Failure, RetryError, Retryable, milliseconds};

/// The chunks of a wave, handed out one by one.
pub(super) struct ChunkList {
    chunks: Vec<Chunk>,
    next: AtomicUsize,
}

impl ChunkList {
    pub fn new(chunks: Vec<Chunk>) -> Arc<Self> {
        Arc::new(Self { chunks, next: AtomicUsize::new(0) })
    }

    fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.chunks.len()
    }

    fn take(&self) -> Option<&Chunk> {
        self.chunks.get(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// How a chunk ended.
enum End {
    /// Every row is in the queue; so many bytes were read.
    Clean(u64),
    /// Stopping was asked for; the rest of the chunk was not read.
    Stopped,
    /// The chunk was given up.
    Failed,
}

/// What the readers of a wave share, and their end of the queue.
#[derive(Clone)]
pub(super) struct Reading {
    /// The partition, or the part of its keys that the wave is about.
    pub scope: Scope,
    pub enricher: Arc<Enricher>,
    pub book: Arc<ChunkBook>,
    pub queue: QueueSender,
}

/// Reads chunks until none is left or stopping is asked for; gives whether every chunk that it took
/// is in the queue.
pub(super) async fn read_chunks(
    shared: Arc<Shared>,
    chunks: Arc<ChunkList>,
    reading: Reading,
) -> Result<bool, PipelineError> {
    loop {
        // Who waits must not keep a run from ending in which nothing is left to wait for.
        if chunks.is_empty() {
            return Ok(true);
        }
        let turn = tokio::select! {
            turn = shared.throttle.turn() => turn,
            () = shared.stop.reading_ends() => return Ok(chunks.is_empty()),
        };
        if shared.throttle.waits() {
            continue;
        }
        let Some(chunk) = chunks.take() else { return Ok(true) };
        if shared.stop.is_requested() {
            return Ok(false);
        }
        if reading.book.is_failed(chunk.number) {
            continue;
        }
        let bytes = match read_with_retries(&shared, chunk, &reading, turn)
            .await
            .inspect_err(|_| shared.stop.fail())?
        {
            End::Clean(bytes) => bytes,
            End::Stopped => return Ok(false),
            End::Failed => continue,
        };
        // More readers help only where inserters wait for batches.
        let starving = shared.counters.queued_bytes.get() < shared.options.queue_bytes / 4;
        shared.throttle.reading.finished(bytes, starving);
    }
}

async fn read_with_retries(
    shared: &Shared,
    chunk: &Chunk,
    reading: &Reading,
    turn: Turn,
) -> Result<End, PipelineError> {
    let statement =
        if shared.options.ordered { statements::source_in_order } else { statements::source };
    let sql = statement(&shared.job, &reading.scope.within(chunk.range.as_deref()));
    let attempt = None;
    let stall = Stall::default();
    let mut task = ChunkRead { shared, chunk, reading, sql, turn: Some(turn), attempt, stall };
    match shared.at_source().until(shared.stop.requested()).run(&mut task).await {
        Ok(end) => Ok(end),
        Err(
            RetryError::GaveUp { error: ReadError::Lost(outage), .. }
            | RetryError::Lost { outage, .. },
        ) => Err(shared.lost(outage)),
        Err(RetryError::GaveUp { attempts, error }) => {
            let (table, number) = (shared.job.source.name.clone(), chunk.number + 1);
            let source = error.into();
            let error = PipelineError::Read { table, chunk: number, attempts, source };
            let Some(attempt) = &task.attempt else { return Err(error) };
            give_up_chunk(shared, attempt, error)?;
            Ok(End::Failed)
        }
        Err(RetryError::Interrupted { .. }) => Ok(End::Stopped),
    }
}

/// Reading one chunk.
struct ChunkRead<'a> {
    shared: &'a Shared,
    chunk: &'a Chunk,
    reading: &'a Reading,
    sql: String,
    /// The right to read; `None` between attempts.
    turn: Option<Turn>,
    /// The last attempt.
    attempt: Option<Arc<Attempt>>,
    stall: Stall,
}

impl Retryable for ChunkRead<'_> {
    type Output = End;
    type Error = ReadError;

    async fn attempt(&mut self) -> Result<End, ReadError> {
        let Self { shared, chunk, reading, .. } = *self;
        if self.turn.is_none() {
            self.turn = tokio::select! {
                turn = shared.throttle.turn() => Some(turn),
                () = shared.stop.reading_ends() => return Ok(End::Stopped),
            };
        }
        let Reading { scope, enricher, book, queue } = reading;
        let (share, counters) = (Share::of(scope.bucket), shared.counters.clone());
        let attempt = Attempt::begin(chunk.number, share, book.clone(), counters);
        self.attempt = Some(attempt.clone());
        self.stall = Stall::default();
        match read(shared, &self.sql, &attempt, enricher, queue, &mut self.stall).await {
            Ok(End::Clean(bytes)) => {
                attempt.stream_ended();
                Ok(End::Clean(bytes))
            }
            Ok(end) => Ok(end),
            Err(error) => {
                attempt.give_up();
                Err(error)
            }
        }
    }

    async fn diagnose(&mut self, error: &ReadError) -> Failure {
        const STALLED: &str = "the server gave the stream up, since the reader waited for inserts";
        let excuse = self.stall.explains(self.shared, error).await.then_some(STALLED);
        Failure { excuse, ..error.into() }
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ReadError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        self.shared.throttle.reading.refused();
        // Reading the chunk again is beginning it again: others may be asked to come first, or all
        // to wait.
        self.turn = None;
        tracing::warn!(chunk = self.chunk.number + 1, attempt = number, pause_ms = milliseconds(pause), %error, "reading broke off, the chunk is read again");
    }
}

async fn read(
    shared: &Shared,
    sql: &str,
    attempt: &Arc<Attempt>,
    enricher: &Arc<Enricher>,
    queue: &QueueSender,
    stall: &mut Stall,
) -> Result<End, ReadError> {
    let mut stream = shared.servers.source.stream("source", sql, &shared.source_settings)?;
    let mut framer = RowFramer::new(shared.job.source_layout.clone(), shared.options.max_row_bytes);
    let mut builder =
        BatchBuilder::new(attempt.clone(), shared.options.batch_limits(), &shared.options.format);
    let mut late = LateRows::begin(enricher, attempt, queue);
    let mut attributes = Vec::new();
    let at = &shared.counters.activities;
    loop {
        let piece = tokio::select! {
            piece = at.reading.during(stream.next()) => piece?,
            () = shared.stop.reading_ends() => return Ok(End::Stopped),
        };
        let Some(piece) = piece else { break };
        if attempt.chunk_failed() {
            return Ok(End::Failed);
        }
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let mut tally = Tally::default();
            let enriching = at.enriching.begin();
            // A piece of short rows with long attributes makes many batches: each is handed over
            // before the next is begun.
            rest = framer.push_until(rest, &mut |group| {
                let part = enricher.enrich(group, &mut attributes, &mut builder, &mut late)?;
                tally.rows += part.rows;
                tally.bytes += part.bytes;
                tally.matched += part.matched;
                Ok::<_, ReadError>(if builder.has_full() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
            drop(enriching);
            attempt.read(tally);
            let due = async {
                shared.throttle.read(tally.rows, tally.bytes).await;
                Ok(true)
            };
            if !stall.during(at.throttling.during(unless_stopped(shared, due))).await? {
                return Ok(End::Stopped);
            }
            for batch in builder.take_full() {
                if !stall.during(at.queueing.during(queue.send(batch))).await {
                    return Ok(End::Stopped);
                }
            }
        }
        if let Some(late) = &mut late {
            let _waiting = at.looking_up.begin();
            if !stall.during(unless_stopped(shared, late.advance())).await? {
                return Ok(End::Stopped);
            }
        }
        // Many pieces may lie ready at once; others want to run as well.
        tokio::task::consume_budget().await;
    }
    framer.finish()?;
    if let Some(late) = late {
        let _waiting = at.looking_up.begin();
        if !unless_stopped(shared, late.finish(&mut builder)).await? {
            return Ok(End::Stopped);
        }
    }
    for batch in builder.finish()? {
        if !at.queueing.during(queue.send(batch)).await {
            return Ok(End::Stopped);
        }
    }
    Ok(End::Clean(framer.bytes()))
}

/// Waits for this, and gives whether to go on: not if reading is to end.
async fn unless_stopped(
    shared: &Shared,
    waiting: impl Future<Output = Result<bool, ReadError>>,
) -> Result<bool, ReadError> {
    tokio::select! {
        on = waiting => on,
        () = shared.stop.reading_ends() => Ok(false),
    }
}
