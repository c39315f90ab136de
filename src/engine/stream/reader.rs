//! Reading chunks: one task reads one chunk after the other, enriches and batches its rows.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::sleep;

use super::attempt::{Attempt, Tally};
use super::batch::BatchBuilder;
use super::concurrency::Turn;
use super::enrich::Enricher;
use super::error::{PipelineError, ReadError};
use super::give_up::give_up_chunk;
use super::late::LateRows;
use super::queue::QueueSender;
use super::report::{ChunkBook, Share};
use super::retry::{Attempts, Verdict, milliseconds};
use super::shared::Shared;
use super::stall::Stall;
use crate::formats::rowbinary::RowFramer;
use crate::job::statements;
use crate::job::statements::Scope;
use crate::plan::Chunk;

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
    mut turn: Turn,
) -> Result<End, PipelineError> {
    let Reading { scope, enricher, book, queue } = reading;
    let share = Share::of(scope.bucket);
    let statement =
        if shared.options.ordered { statements::source_in_order } else { statements::source };
    let sql = statement(&shared.job, &scope.within(chunk.range.as_deref()));
    let mut attempts = Attempts::at_source(shared);
    loop {
        let attempt = Attempt::begin(chunk.number, share, book.clone(), shared.counters.clone());
        let mut stall = Stall::default();
        let error = match read(shared, &sql, &attempt, enricher, queue, &mut stall).await {
            Ok(End::Clean(bytes)) => {
                attempt.stream_ended();
                return Ok(End::Clean(bytes));
            }
            Ok(end) => return Ok(end),
            Err(ReadError::Lost(lost)) => return Err(shared.lost(lost)),
            Err(error) => error,
        };
        attempt.give_up();
        let number = attempts.number();
        let judging = async {
            if stall.explains(shared, &error).await
                && let Some(pause) = attempts
                    .excuse("the server gave the stream up, since the reader waited for inserts")
            {
                return Verdict::Again(pause);
            }
            attempts.after(&error).await
        };
        let verdict = tokio::select! {
            verdict = judging => verdict,
            () = shared.stop.reading_ends() => return Ok(End::Stopped),
        };
        match verdict {
            Verdict::Again(pause) => {
                shared.throttle.reading.refused();
                // Reading the chunk again is beginning it again: others may be asked to come first,
                // or all to wait.
                drop(turn);
                tracing::warn!(chunk = chunk.number + 1, attempt = number, pause_ms = milliseconds(pause), error = %error, "reading broke off, the chunk is read again");
                let paused = async {
                    sleep(pause).await;
                    shared.throttle.turn().await
                };
                turn = tokio::select! {
                    turn = paused => turn,
                    () = shared.stop.reading_ends() => return Ok(End::Stopped),
                };
            }
            Verdict::GiveUp => {
                let (table, chunk) = (shared.job.source.name.clone(), chunk.number + 1);
                give_up_chunk(
                    shared,
                    &attempt,
                    PipelineError::Read { table, chunk, attempts: number, source: error.into() },
                )?;
                return Ok(End::Failed);
            }
            Verdict::Lost(lost) => return Err(shared.lost(lost)),
            Verdict::Stopped => return Ok(End::Stopped),
        }
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
