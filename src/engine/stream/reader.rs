//! Readers: each task reads one chunk after another, enriches its rows and fills batches.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tracing::Instrument as _;

use super::batch::{Batch, BatchBuilder, QueueSender};
use super::blocks::BlockReading;
use super::concurrency::Permit;
use super::deferred_lookup::{ChunkDeferral, DeferredLookup};
use super::division::{Division, LONG, PARTS};
use super::enrich::Enricher;
use super::error::{PipelineError, ReadError};
use super::intake::{Intake, Stall};
use super::report::{ChunkAttempt, ChunkBook, KeyShare, ReadTally};
use super::shared::Shared;
use crate::formats::native::{BlockError, BlockExtender, SourceBlock, SourceRows};
use crate::formats::rowbinary::RowFramer;
use crate::job::statements::{self, Scope};
use crate::plan::Chunk;
use crate::retry::{FailedAttempt, FailureKind, RetryError, Retryable, milliseconds};
use crate::spans;
use crate::sync::Mutex;

/// The chunks of a wave, taken one by one.
pub(in crate::engine) struct ChunkList(Mutex<VecDeque<Chunk>>);

impl ChunkList {
    pub(in crate::engine) fn new(chunks: Vec<Chunk>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(chunks.into())))
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(in crate::engine) fn take(&self) -> Option<Chunk> {
        self.0.lock().pop_front()
    }

    /// Puts the parts of a chunk where it was.
    pub(in crate::engine) fn put_back(&self, parts: Vec<Chunk>) {
        let mut chunks = self.0.lock();
        for part in parts.into_iter().rev() {
            chunks.push_front(part);
        }
    }
}

/// The size of the pieces in which rows of a block are taken one by one.
const ROW_PIECE_BYTES: usize = 256 << 10;

/// How the reading of a chunk ended.
enum ReadEnd {
    /// All rows are queued. This many bytes were read.
    Clean(u64),
    /// The run stops. The rest of the chunk was not read.
    Stopped,
    /// The chunk failed.
    Failed,
    /// The chunk was divided into these parts.
    Divided(Vec<Chunk>),
}

/// What the readers of a wave share, and their end of the queue.
#[derive(Clone)]
pub(super) struct Reading {
    /// The partition, or the part of its keys that belongs to the wave.
    pub scope: Scope,
    pub enricher: Arc<Enricher>,
    /// `None` where misses are not looked up once more.
    pub deferred_lookup: Option<Arc<DeferredLookup>>,
    pub division: Arc<Division>,
    /// `None` where rows are read.
    pub blocks: Option<Arc<BlockReading>>,
    pub book: Arc<ChunkBook>,
    pub queue: QueueSender,
}

/// Reads chunks until none is left or the run stops. Returns whether all rows of the chunks that it
/// took are queued.
pub(super) async fn read_chunks(
    shared: Arc<Shared>,
    chunks: Arc<ChunkList>,
    reading: Reading,
) -> Result<bool, PipelineError> {
    loop {
        // A reader that waits must not keep a run from ending that has no chunk left.
        if chunks.is_empty() {
            return Ok(true);
        }
        let permit = tokio::select! {
            permit = shared.throttle.read_permit() => permit,
            () = shared.stop.reading_ends() => return Ok(chunks.is_empty()),
        };
        if shared.throttle.waits() {
            continue;
        }
        let Some(chunk) = chunks.take() else { return Ok(true) };
        if shared.stop.is_requested() {
            return Ok(false);
        }
        if reading.book.is_failed(chunk.id) {
            continue;
        }
        let read = read_with_retries(&shared, &chunk, &reading, permit)
            .instrument(spans::chunk(&chunk.id))
            .await;
        let bytes = match read.inspect_err(|_| shared.stop.fail())? {
            ReadEnd::Clean(bytes) => bytes,
            ReadEnd::Stopped => return Ok(false),
            ReadEnd::Failed => continue,
            ReadEnd::Divided(parts) => {
                chunks.put_back(parts);
                continue;
            }
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
    permit: Permit,
) -> Result<ReadEnd, PipelineError> {
    let statement =
        if shared.options.ordered { statements::source_in_order } else { statements::source };
    let sql = statement(&shared.job, &reading.scope.within(chunk.range.as_deref()));
    let mut task = ChunkRead {
        shared,
        chunk,
        reading,
        sql,
        permit: Some(permit),
        attempt: None,
        stall: Stall::default(),
        began: Instant::now(),
        parts: reading.division.wanted(chunk, shared.throttle.limits().readers),
    };
    match shared.at_source().until(shared.stop.requested()).run(&mut task).await {
        Ok(end) => Ok(end),
        Err(
            RetryError::GaveUp { error: ReadError::Lost(outage), .. }
            | RetryError::Lost { outage, .. },
        ) => Err(shared.lost(outage)),
        Err(RetryError::GaveUp { attempts, error }) => {
            let (table, chunk) = (shared.job.source.name.clone(), chunk.id);
            let source = error.into();
            let error = PipelineError::Read { table, chunk, attempts, source };
            let Some(attempt) = &task.attempt else { return Err(error) };
            shared.fail_chunk(attempt, error)?;
            Ok(ReadEnd::Failed)
        }
        Err(RetryError::Interrupted { .. }) => Ok(ReadEnd::Stopped),
    }
}

/// The reading of one chunk.
struct ChunkRead<'a> {
    shared: &'a Shared,
    chunk: &'a Chunk,
    reading: &'a Reading,
    sql: String,
    /// `None` between attempts.
    permit: Option<Permit>,
    /// The last attempt.
    attempt: Option<Arc<ChunkAttempt>>,
    stall: Stall,
    /// When that began.
    began: Instant,
    /// Into how many parts the chunk is to be divided before the next attempt.
    parts: Option<usize>,
}

impl ChunkRead<'_> {
    /// Reads the chunk once, in blocks where that is wanted.
    async fn read(&mut self) -> Result<ReadEnd, ReadError> {
        let Self { shared, chunk, reading, .. } = *self;
        let Reading { scope, book, .. } = reading;
        let (share, counters) = (KeyShare::of(scope.bucket), shared.counters.clone());
        let attempt = if shared.options.ordered {
            let rows = book.batch_rows(chunk.id).unwrap_or_else(|| shared.batch_size.rows());
            ChunkAttempt::begin_repeatable(chunk.id, share, book.clone(), counters, rows)
        } else {
            ChunkAttempt::begin(chunk.id, share, book.clone(), counters)
        };
        self.attempt = Some(attempt.clone());
        (self.stall, self.began) = (Stall::default(), Instant::now());
        let blocks = reading.blocks.as_deref().filter(|_| shared.reads_blocks());
        let mut stream = ChunkStream::new(shared, reading, &attempt);
        let read = match blocks {
            Some(blocks) => stream.read_blocks(&self.sql, blocks, &mut self.stall).await,
            None => stream.read(&self.sql, &mut self.stall).await,
        };
        match &read {
            Ok(ReadEnd::Clean(_)) => {
                shared.pace.read(attempt.rows_read(), self.began.elapsed());
                attempt.stream_ended();
            }
            Ok(_) => {}
            Err(_) => attempt.give_up(),
        }
        read
    }
}

impl Retryable for ChunkRead<'_> {
    type Output = ReadEnd;
    type Error = ReadError;

    async fn attempt(&mut self) -> Result<ReadEnd, ReadError> {
        let Self { shared, chunk, reading, .. } = *self;
        if self.permit.is_none() {
            self.permit = tokio::select! {
                permit = shared.throttle.read_permit() => Some(permit),
                () = shared.stop.reading_ends() => return Ok(ReadEnd::Stopped),
            };
        }
        if let Some(parts) = self.parts.take()
            && let Some(parts) = reading.division.divide(chunk, parts, &reading.book).await
        {
            return Ok(ReadEnd::Divided(parts));
        }
        match self.read().await {
            Err(ReadError::Blocks(error @ BlockError::TooLarge { .. })) => {
                shared.read_rows_instead(chunk.id, &error);
                self.read().await
            }
            read => read,
        }
    }

    async fn diagnose(&mut self, error: &ReadError) -> FailureKind {
        const STALLED: &str = "the server gave the stream up, since the reader waited for inserts";
        let excuse = self.stall.explains(self.shared, error).await.then_some(STALLED);
        if excuse.is_some() || is_out_of_memory(error) || self.began.elapsed() >= LONG {
            self.parts = Some(PARTS);
        }
        FailureKind { excuse, ..error.into() }
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ReadError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        self.shared.throttle.reading.refused(is_out_of_memory(error));
        // The next attempt begins the chunk anew, so it needs a new permit: the run may have to
        // wait, or have fewer readers.
        self.permit = None;
        tracing::warn!(chunk = %self.chunk.id, attempt = number, pause_ms = milliseconds(pause), %error, "reading broke off, the chunk is read again");
    }
}

/// The stream of one attempt, from the server to the queue.
struct ChunkStream<'a> {
    shared: &'a Shared,
    enricher: &'a Enricher,
    attempt: &'a Arc<ChunkAttempt>,
    queue: &'a QueueSender,
    builder: BatchBuilder,
    deferral: Option<ChunkDeferral>,
    /// A buffer for the attributes of one row.
    attributes: Vec<u8>,
}

impl<'a> ChunkStream<'a> {
    fn new(shared: &'a Shared, reading: &'a Reading, attempt: &'a Arc<ChunkAttempt>) -> Self {
        let Reading { enricher, deferred_lookup, queue, .. } = reading;
        let limits = shared.batch_limits(attempt.batch_rows());
        let format = &shared.options.format;
        let deferral = deferred_lookup
            .as_ref()
            .map(|lookup| ChunkDeferral::new(lookup, enricher, attempt, &limits, queue));
        Self {
            shared,
            enricher,
            attempt,
            queue,
            builder: BatchBuilder::new(attempt.clone(), limits, format),
            deferral,
            attributes: Vec::new(),
        }
    }

    async fn read(&mut self, sql: &str, stall: &mut Stall) -> Result<ReadEnd, ReadError> {
        let shared = self.shared;
        let stream = shared.servers.source.stream("source", sql, &shared.source_settings)?;
        let mut intake = Intake::new(shared, stream, stall);
        let mut framer = shared.source_framer();
        loop {
            let piece = match self.next_piece(&mut intake).await? {
                ControlFlow::Continue(Some(piece)) => piece,
                ControlFlow::Continue(None) => break,
                ControlFlow::Break(end) => return Ok(end),
            };
            if !self.piece(&mut framer, &piece, &mut intake).await?
                || !self.advance_deferred(&mut intake).await?
            {
                return Ok(ReadEnd::Stopped);
            }
            // Many pieces may be ready at once: other tasks must run as well.
            tokio::task::consume_budget().await;
        }
        framer.finish()?;
        self.finish(framer.bytes()).await
    }

    /// The next piece of the stream, `None` at its end; or how the reading ends before it.
    async fn next_piece(
        &self,
        intake: &mut Intake<'_>,
    ) -> Result<ControlFlow<ReadEnd, Option<Bytes>>, ReadError> {
        let shared = self.shared;
        let piece = tokio::select! {
            piece = shared.counters.activities.reading.during(intake.next()) => piece?,
            () = shared.stop.reading_ends() => return Ok(ControlFlow::Break(ReadEnd::Stopped)),
        };
        if piece.is_some() && self.attempt.chunk_failed() {
            return Ok(ControlFlow::Break(ReadEnd::Failed));
        }
        Ok(ControlFlow::Continue(piece))
    }

    async fn read_blocks(
        &mut self,
        sql: &str,
        blocks: &BlockReading,
        stall: &mut Stall,
    ) -> Result<ReadEnd, ReadError> {
        let shared = self.shared;
        let stream = shared.servers.source.stream_native("source", sql, blocks.settings())?;
        let mut intake = Intake::new(shared, stream, stall);
        let mut reader = blocks.reader(&shared.block_buffers);
        let mut extender = blocks.extender();
        // For rows that are taken one by one.
        let mut framer = shared.source_framer();
        loop {
            let piece = match self.next_piece(&mut intake).await? {
                ControlFlow::Continue(Some(piece)) => piece,
                ControlFlow::Continue(None) => break,
                ControlFlow::Break(end) => return Ok(end),
            };
            reader.push(&piece);
            drop(piece);
            while let Some(block) = reader.next_block()? {
                if !self.block(block, &mut extender, &mut framer, &mut intake).await?
                    || !self.advance_deferred(&mut intake).await?
                {
                    return Ok(ReadEnd::Stopped);
                }
            }
            // Many pieces may be ready at once: other tasks must run as well.
            tokio::task::consume_budget().await;
        }
        reader.finish()?;
        self.finish(reader.bytes()).await
    }

    /// Passes on the columns of a block with the attributes of its rows. Rows that are deferred, or all
    /// rows where the block must be taken row by row, go the way of rows. Returns whether to go on.
    async fn block(
        &mut self,
        block: SourceBlock,
        extender: &mut BlockExtender,
        framer: &mut RowFramer,
        intake: &mut Intake<'_>,
    ) -> Result<bool, ReadError> {
        let rows = block.rows();
        let enriching = self.shared.counters.activities.enriching.begin();
        let (defers, most_bytes) = (self.deferral.is_some(), self.shared.options.batch_bytes / 4);
        // Batches of a few large blocks would differ much in size.
        let fits = 2 * rows as u64 <= self.shared.batch_size.rows();
        let enriched = if fits {
            let Self { enricher, attributes, .. } = self;
            enricher.enrich_block(&block, extender, attributes, defers, most_bytes)?
        } else {
            None
        };
        let Some(enriched) = enriched else {
            let pieces = row_pieces(&block.all_columns()?, 0..rows)?;
            drop((enriching, block));
            return self.pieces(pieces, framer, intake).await;
        };
        let deferred = &enriched.deferred;
        let all = if deferred.is_empty() { None } else { Some(block.all_columns()?) };
        let kept_rows = (rows - deferred.len()) as u64;
        if kept_rows > 0 {
            let attribute_bytes = extender.bytes();
            let kept = enriched.kept(rows);
            let kept = all.as_ref().map(|all| (all, &kept[..]));
            let pieces = extender.finish(&block, kept)?;
            let held = match kept {
                None => block.bytes() as u64 + attribute_bytes,
                Some(_) => pieces.iter().map(|piece| piece.len() as u64).sum(),
            };
            self.builder.push_block(pieces, kept_rows, held)?;
        }
        let pieces = match &all {
            Some(all) => row_pieces(all, deferred.iter().copied())?,
            None => Vec::new(),
        };
        drop((enriching, all));
        let bytes = block.bytes() as u64 / rows.max(1) as u64 * kept_rows;
        self.attempt.read(ReadTally { rows: kept_rows, bytes, matched: enriched.matched });
        drop(block);
        Ok(self.settle(kept_rows, bytes, intake).await?
            && self.pieces(pieces, framer, intake).await?)
    }

    /// Takes the rows of these pieces. Returns whether to go on.
    async fn pieces(
        &mut self,
        pieces: Vec<Vec<u8>>,
        framer: &mut RowFramer,
        intake: &mut Intake<'_>,
    ) -> Result<bool, ReadError> {
        for piece in pieces {
            if !self.piece(framer, &piece, intake).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Enriches the rows of a piece and queues the batches that they fill. Returns whether to go on.
    async fn piece(
        &mut self,
        framer: &mut RowFramer,
        piece: &[u8],
        intake: &mut Intake<'_>,
    ) -> Result<bool, ReadError> {
        let shared = self.shared;
        let at = &shared.counters.activities;
        let mut rest = piece;
        let mut needs_permit = self.builder.needs_permit(framer.buffered_row_bytes() as u64);
        while !rest.is_empty() || framer.holds_row() {
            if needs_permit && !self.permit_large_row(intake).await? {
                return Ok(false);
            }
            needs_permit = false;
            let Self { enricher, builder, deferral, attributes, .. } = self;
            let mut tally = ReadTally::default();
            let enriching = at.enriching.begin();
            // A piece of short rows with long attributes fills many batches. Each is queued before
            // the next is begun.
            rest = framer.push_until(rest, &mut |group| {
                let deferred = deferral.as_mut().map(|deferral| &mut deferral.rows);
                let part = enricher.enrich(group, attributes, builder, deferred)?;
                tally.rows += part.tally.rows;
                tally.bytes += part.tally.bytes;
                tally.matched += part.tally.matched;
                needs_permit |= part.needs_permit;
                Ok::<_, ReadError>(part.flow(group.len()))
            })?;
            drop(enriching);
            self.attempt.read(tally);
            if !self.settle(tally.rows, tally.bytes, intake).await? {
                return Ok(false);
            }
        }
        if !self.builder.is_large(framer.buffered_row_bytes() as u64) {
            self.builder.set_permit(None);
        }
        Ok(true)
    }

    /// Waits for these rows' share of the rate, and queues full batches. Returns whether to go on.
    async fn settle(
        &mut self,
        rows: u64,
        bytes: u64,
        intake: &mut Intake<'_>,
    ) -> Result<bool, ReadError> {
        let shared = self.shared;
        let due = async {
            shared.throttle.rows_read(rows, bytes).await;
            Ok(true)
        };
        let due = shared.counters.activities.throttling.during(unless_stopped(shared, due));
        if !intake.during(due).await? {
            return Ok(false);
        }
        for batch in self.builder.take_full() {
            if !intake.during(queued(shared, self.queue, batch)).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until no other large row is in memory. Returns whether to go on.
    async fn permit_large_row(&mut self, intake: &mut Intake<'_>) -> Result<bool, ReadError> {
        let permit = self.shared.large_rows.clone().acquire_owned();
        let permit = async {
            let permit = permit.await.map_err(|error| ReadError::Task(error.to_string()))?;
            self.builder.set_permit(Some(permit));
            Ok(true)
        };
        intake.during(unless_stopped(self.shared, permit)).await
    }

    /// Starts the lookup of deferred rows that fill a buffer. Returns whether to go on.
    async fn advance_deferred(&mut self, intake: &mut Intake<'_>) -> Result<bool, ReadError> {
        let Some(deferral) = &mut self.deferral else { return Ok(true) };
        let _waiting = self.shared.counters.activities.looking_up.begin();
        intake.during(unless_stopped(self.shared, deferral.advance())).await
    }

    /// Looks up the remaining deferred rows and queues the last batches. Returns whether all rows
    /// are queued.
    async fn finish(&mut self, bytes: u64) -> Result<ReadEnd, ReadError> {
        let shared = self.shared;
        if let Some(deferral) = self.deferral.take() {
            let _waiting = shared.counters.activities.looking_up.begin();
            if !unless_stopped(shared, deferral.finish(&mut self.builder)).await? {
                return Ok(ReadEnd::Stopped);
            }
        }
        for batch in self.builder.take_all()? {
            if !queued(shared, self.queue, batch).await {
                return Ok(ReadEnd::Stopped);
            }
        }
        Ok(ReadEnd::Clean(bytes))
    }
}

fn is_out_of_memory(error: &ReadError) -> bool {
    matches!(error, ReadError::Server(error) if error.is_out_of_memory())
}

/// These rows of a block in RowBinary, in pieces of whole rows.
fn row_pieces(
    columns: &SourceRows<'_>,
    rows: impl Iterator<Item = usize>,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let (mut pieces, mut piece) = (Vec::new(), Vec::new());
    for row in rows {
        columns.write_row(row, &mut piece)?;
        if piece.len() >= ROW_PIECE_BYTES {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    pieces.push(piece);
    Ok(pieces)
}

/// Queues a batch. Returns whether an inserter is left.
async fn queued(shared: &Shared, queue: &QueueSender, batch: Batch) -> bool {
    shared.counters.activities.queueing.during(queue.send(batch)).await
}

/// Waits for this, unless reading is to end. Returns whether to go on.
async fn unless_stopped(
    shared: &Shared,
    waiting: impl Future<Output = Result<bool, ReadError>>,
) -> Result<bool, ReadError> {
    tokio::select! {
        on = waiting => on,
        () = shared.stop.reading_ends() => Ok(false),
    }
}
