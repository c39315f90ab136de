//! What all tasks of a pipeline share: its options, its work, its connections and counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OnceCell, Semaphore};

use super::batch::{BatchLimits, RowFormat};
use super::batch_size::{BatchSize, LEAST_BATCH_ROWS};
use super::concurrency::Concurrency;
use super::counters::Counters;
use super::error::PipelineError;
use super::pace::Pace;
use super::report::{ChunkAttempt, ChunkEvent};
use super::throttle::Throttle;
use crate::clickhouse::{Error as ServerError, Servers, Settings};
use crate::engine::Engine;
use crate::formats::native::{BlockBuffers, BlockError};
use crate::formats::rowbinary::RowFramer;
use crate::job::{BoundJob, BoundLookup, Publish, statements};
use crate::ledger::Lease;
use crate::plan::{Chunk, ChunkId, DeferredMemory, MemoryPlan, Plan};
use crate::publish::Stage;
use crate::retry::{Attempts, OutageGuard, OutageHandling, RetryPolicy};
use crate::stop::Stop;

/// The format in which the source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFormat {
    /// Blocks of columns, which are passed on as they came. Only where blocks are inserted, and where a
    /// chunk's batches may differ from one attempt to the next.
    Native,
    /// Rows.
    RowBinary,
}

/// How a pipeline works.
#[derive(Clone, Debug)]
pub(crate) struct PipelineOptions {
    /// What evaluates the job.
    pub engine: Engine,
    /// Whether the target is replaced by one that keeps nothing.
    pub dry_run: bool,
    /// Whether the rows of a chunk are read in the same order every time, so that its batches have
    /// the same rows, for targets that recognize blocks. Reading takes more than twice as long, and
    /// the keys of a chunk must not be divided.
    pub ordered: bool,
    /// The most rows of a batch.
    pub batch_rows: u64,
    /// The rows below which batches do not shrink while inserts are slow.
    pub least_batch_rows: u64,
    /// The most bytes of a batch, except for the row that exceeds them.
    pub batch_bytes: u64,
    /// Rows of a block that the server reads and sends at once; `None` leaves it to the server.
    pub stream_block_rows: Option<u64>,
    /// The format of inserts.
    pub format: RowFormat,
    /// The format in which the source is read.
    pub read_format: ReadFormat,
    /// Chunks that are read at once.
    pub readers: Concurrency,
    /// Batches that are inserted at once.
    pub inserters: Concurrency,
    /// Bytes of batches that wait or are in flight.
    pub queue_bytes: u64,
    /// What a reader may receive ahead of its turn while it waits for inserters.
    pub sip_bytes: u64,
    /// The memory of deferred lookups.
    pub deferred: DeferredMemory,
    /// A longer row is an error.
    pub max_row_bytes: usize,
    /// What is retried.
    pub retry: RetryPolicy,
    /// How long a server that cannot be reached is waited for.
    pub outage_wait: Duration,
    /// How long inserts in flight are waited for after a request to stop.
    pub drain_timeout: Duration,
    /// The number of chunks that may fail before the run gives up; with 0, the first failure stops
    /// it.
    pub max_failed_chunks: usize,
    /// The beginning of deduplication tokens: the identity of the load, the same in every run that
    /// resumes it.
    pub token_prefix: String,
    /// Where the rows of chunks are inserted in place of the target, if they are.
    pub stage: Option<Arc<Stage>>,
    /// Until when inserts may begin.
    pub(crate) lease: Lease,
}

/// The default of [`PipelineOptions::batch_rows`].
pub(crate) const DEFAULT_BATCH_ROWS: u64 = 100_000;
/// The default of [`PipelineOptions::max_row_bytes`]: a longer row means a broken stream. It is less
/// where the run has less memory, but never less than [`LEAST_ROW_BYTES`].
const MAX_ROW_BYTES: u64 = 1 << 30;
/// Rows up to this length pass with any memory.
const LEAST_ROW_BYTES: u64 = 64 << 20;

/// The server's memory for an insert, as measured (`docs/dev/performance.md`): 2.7 times the bytes
/// of its batch, and for a [wide] part the buffers of its files, which are about 8 MiB per column
/// in a table of events, and less where no column is a map.
///
/// [wide]:
/// https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#mergetree-data-storage
pub(crate) fn insert_memory_bytes(batch_bytes: u64, target_columns: usize) -> u64 {
    /// The default of `min_bytes_for_wide_part`.
    const WIDE: u64 = 10 << 20;
    let buffers = if batch_bytes < WIDE { 0 } else { (8 << 20) * target_columns as u64 };
    (batch_bytes.saturating_mul(27) / 10).saturating_add(buffers)
}

/// The server's memory for one stream of rows, as measured (`docs/dev/performance.md`): with FINAL, a
/// decompressed block for each column of each part, but no more than the parts have.
pub(crate) fn read_memory_bytes(
    parts: u64,
    stored_bytes: u64,
    source_columns: usize,
    is_final: bool,
) -> u64 {
    /// The default of `max_compress_block_size`.
    const BLOCK: u64 = 1 << 20;
    let parts = if is_final { parts.max(1) } else { 1 };
    let blocks = BLOCK.saturating_mul(parts).saturating_mul(source_columns as u64);
    if stored_bytes > 0 { blocks.min(stored_bytes) } else { blocks }
}

impl PipelineOptions {
    /// The defaults of a run: it writes, in the fastest format that the job's types allow.
    pub(crate) fn new(
        job: &BoundJob,
        memory: &MemoryPlan,
        readers: Concurrency,
        inserters: Concurrency,
    ) -> Self {
        Self {
            engine: if job.publish == Publish::Replace {
                Engine::Server
            } else {
                Engine::default()
            },
            dry_run: false,
            ordered: false,
            batch_rows: DEFAULT_BATCH_ROWS,
            least_batch_rows: LEAST_BATCH_ROWS,
            batch_bytes: memory.batch_bytes,
            stream_block_rows: None,
            format: job
                .native_layout
                .as_ref()
                .map_or(RowFormat::RowBinary, |layout| RowFormat::Native(layout.clone())),
            read_format: ReadFormat::RowBinary,
            readers,
            inserters,
            queue_bytes: memory.queue,
            sip_bytes: memory.sips,
            deferred: memory.deferred,
            max_row_bytes: usize::try_from(memory.total.clamp(LEAST_ROW_BYTES, MAX_ROW_BYTES))
                .unwrap_or(usize::MAX),
            retry: RetryPolicy::default(),
            outage_wait: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(60),
            max_failed_chunks: 10,
            // The load sets it.
            token_prefix: String::new(),
            stage: None,
            lease: Lease::default(),
        }
    }

    /// Whether rows are sent as blocks of columns.
    pub(super) fn native(&self) -> bool {
        matches!(self.format, RowFormat::Native(_))
    }

    /// The settings of the source query of this job.
    pub(crate) fn source_settings(&self, job: &BoundJob) -> Settings {
        let settings = statements::source_settings(job);
        match self.stream_block_rows {
            Some(rows) => settings.with("max_block_size", &rows.to_string()),
            None => settings,
        }
    }

    /// The settings of the inserts of this job. Where rows that come twice collapse, a server with
    /// little memory may make several blocks of a batch: it needs a fraction of the memory then.
    pub(crate) fn insert_settings(&self, job: &BoundJob) -> Settings {
        const TIB: &str = "1099511627776";
        let settings = statements::insert_settings(job, self.batch_rows, self.native());
        if self.ordered { settings } else { settings.with("min_insert_block_size_bytes", TIB) }
    }
}

/// The rows of a partition, counted by a query that knows nothing of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SourceCount {
    /// Their number.
    pub rows: u64,
    /// The sum of hashes of their sorting keys, 0 if rows have no key of their own. `None` where they
    /// were counted after some of them had been read.
    pub keys: Option<u64>,
}

/// The part of a plan that a run does, and the receivers of its reports.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// For each chunk of the plan, whether it is pending.
    pub pending: Vec<bool>,
    /// Of chunks that were divided before, the parts that are left, by the number of the chunk.
    pub parts: BTreeMap<usize, Vec<Chunk>>,
    /// Whether the partition's rows are counted during the run, by a query that does not depend on
    /// chunks.
    pub count: bool,
    /// The rows of the batches of chunks that were begun before, where repeated batches are recognized.
    pub begun: BTreeMap<ChunkId, u64>,
    /// Rows of the chunks that were completed before. They are part of the count, but not expected
    /// any more.
    pub rows_before: u64,
    /// Receives a report of each chunk that is completed or fails.
    pub reports: Option<UnboundedSender<ChunkEvent>>,
    /// Receives the count of the rows of all chunks.
    pub counted: Option<UnboundedSender<SourceCount>>,
}

impl Work {
    /// The whole plan, counted, without reports.
    pub(crate) fn all(plan: &Plan) -> Self {
        Self { count: true, ..Self::only(vec![true; plan.chunks.len()]) }
    }

    /// The pending chunks, neither counted nor reported.
    pub(crate) fn only(pending: Vec<bool>) -> Self {
        Self {
            pending,
            parts: BTreeMap::new(),
            begun: BTreeMap::new(),
            count: false,
            rows_before: 0,
            reports: None,
            counted: None,
        }
    }

    /// What is left of these chunks of a plan.
    pub(in crate::engine) fn left_of<'a>(
        &'a self,
        chunks: &'a [Chunk],
    ) -> impl Iterator<Item = &'a Chunk> {
        chunks.iter().flat_map(|chunk| {
            let number = chunk.id.planned_number();
            if !self.pending.get(number).copied().unwrap_or_default() {
                return &[][..];
            }
            self.parts.get(&number).map_or(std::slice::from_ref(chunk), Vec::as_slice)
        })
    }
}

/// What all tasks of a pipeline share.
pub(in crate::engine) struct Shared {
    pub servers: Servers,
    pub job: Arc<BoundJob>,
    pub options: PipelineOptions,
    pub counters: Arc<Counters>,
    pub stop: Stop,
    pub source_settings: Settings,
    pub insert_sql: String,
    pub insert_settings: Settings,
    pub throttle: Arc<Throttle>,
    pub source_guard: Arc<OutageGuard>,
    pub target_guard: Arc<OutageGuard>,
    pub window_advice: WindowAdvice,
    /// The permit for a large row in memory.
    pub large_rows: Arc<Semaphore>,
    /// The permit for long attributes from outside of the lookup's window, and for a batch of them.
    pub long_answers: (Arc<Semaphore>, Arc<Semaphore>),
    /// How fast chunks are read.
    pub pace: Pace,
    /// The rows of a batch now.
    pub batch_size: Arc<BatchSize>,
    /// How long the source's server waits for a reader, once that was asked for.
    pub send_timeout: OnceCell<Duration>,
    /// The buffers of blocks that are read; closed where blocks are too large to be read.
    pub block_buffers: Arc<BlockBuffers>,
}

impl Shared {
    /// The attempts of a statement on the server of the source.
    pub(in crate::engine) fn at_source(&self) -> Attempts<'_> {
        self.attempts(&self.source_guard)
    }

    /// The attempts of a statement on the server of the target.
    pub(in crate::engine) fn at_target(&self) -> Attempts<'_> {
        self.attempts(&self.target_guard)
    }

    /// When a batch is full. `rows` are those of a chunk whose batches must be the same each time.
    pub(super) fn batch_limits(&self, rows: Option<u64>) -> BatchLimits {
        let rows = match rows {
            Some(rows) => Arc::new(BatchSize::fixed(rows)),
            None => self.batch_size.clone(),
        };
        BatchLimits { rows, bytes: self.options.batch_bytes.max(1) }
    }

    /// A framer of the rows that the source sends.
    pub(super) fn source_framer(&self) -> RowFramer {
        RowFramer::new(self.job.source_layout.clone(), self.options.max_row_bytes)
    }

    /// Whether blocks are read where that is wanted.
    pub(super) fn reads_blocks(&self) -> bool {
        !self.block_buffers.is_closed()
    }

    /// Reads rows from now on, because a block of this chunk is too large.
    pub(super) fn read_rows_instead(&self, chunk: ChunkId, error: &BlockError) {
        if self.block_buffers.close() {
            tracing::info!(%chunk, %error, "rows are too long to be read in blocks, they are read as RowBinary");
        }
    }

    fn attempts<'a>(&'a self, guard: &'a OutageGuard) -> Attempts<'a> {
        Attempts::new(self.options.retry, OutageHandling::Guarded(guard))
            .observed_by(&*self.counters)
            .until(self.stop.failed())
    }

    /// Waits until all tasks have ended; the first error stops the others. Returns whether each of
    /// them did all of its work.
    ///
    /// # Errors
    /// The first one.
    pub(in crate::engine) async fn all_ended(
        &self,
        mut tasks: impl Stream<Item = Result<bool, PipelineError>> + Unpin,
    ) -> Result<bool, PipelineError> {
        let (mut complete, mut first_error) = (true, None);
        while let Some(ended) = tasks.next().await {
            match ended {
                Ok(ended) => complete &= ended,
                Err(error) => {
                    self.stop.fail();
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(complete), Err)
    }

    /// Waits until the claim on the load is confirmed; an insert that follows must begin at once.
    ///
    /// # Errors
    /// The claim was lost, and the run stops.
    pub(in crate::engine) async fn confirm_claim(&self) -> Result<(), ServerError> {
        if self.options.lease.held().await.is_ok() {
            return Ok(());
        }
        self.stop.abandoning().await;
        let (what, after) = ("confirming the claim on the load", Duration::ZERO);
        Err(ServerError::Timeout { what, after })
    }

    /// Sends an insert, as soon as the claim on the load is confirmed.
    pub(super) async fn insert(
        &self,
        settings: &Settings,
        pieces: &[Bytes],
    ) -> Result<(), ServerError> {
        self.confirm_claim().await?;
        self.servers.target.insert("insert", &self.insert_sql, settings, pieces).await
    }

    /// The error of a server that was away for longer than is allowed.
    pub(in crate::engine) fn lost(&self, source: ServerError) -> PipelineError {
        PipelineError::Lost { seconds: self.options.outage_wait.as_secs(), source: source.into() }
    }

    /// Marks the chunk of this attempt as failed.
    ///
    /// # Errors
    /// The run cannot go on: `error` itself where other chunks would fail alike,
    /// [`PipelineError::Chunks`] where more chunks failed than are allowed.
    pub(in crate::engine) fn fail_chunk(
        &self,
        attempt: &ChunkAttempt,
        error: PipelineError,
    ) -> Result<(), PipelineError> {
        self.counters.errors.add(1);
        let reason = error.reason();
        let (failed, is_new) = attempt.fail_chunk(&error);
        self.counters.chunks_failed.set(failed as u64);
        if error.is_fatal() {
            return Err(error);
        }
        let chunk = attempt.chunk;
        let chunks = usize::try_from(self.counters.chunks_pending.get()).unwrap_or(usize::MAX);
        let allowed = self.options.max_failed_chunks;
        if failed <= allowed {
            if !is_new {
                return Ok(());
            }
            let others = if failed < chunks { ", the others go on" } else { "" };
            tracing::error!(%chunk, reason, failed, "a chunk failed{others}");
            return Ok(());
        }
        tracing::error!(%chunk, reason, failed, allowed, "a chunk failed, and more have failed than are allowed");
        Err(PipelineError::Chunks { failed: attempt.failed_chunks(), chunks, gave_up: true })
    }
}

/// A warning, once per run, where most rows find their attributes outside of the lookup's window.
#[derive(Debug, Default)]
pub(in crate::engine) struct WindowAdvice {
    given: AtomicBool,
}

impl WindowAdvice {
    /// Fewer rows cost too little for a warning.
    const MIN_ROWS: u64 = 10_000;

    /// Warns if it is time to.
    pub(super) fn consider(&self, counters: &Counters, lookup: &BoundLookup) {
        let (in_window, late) = (counters.matched_rows.get(), counters.matched_late_rows.get());
        let is_due = late >= Self::MIN_ROWS && late > in_window;
        if !is_due || self.given.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(window) = &lookup.window else { return };
        tracing::warn!(
            late,
            in_window,
            column = window.column,
            days_before = window.days_before,
            days_after = window.days_after,
            "most rows find their attributes outside of the lookup's window, where each look-up scans the keys of {}: with a wider \
             window in the job, they are loaded beforehand",
            lookup.table.name
        );
    }
}
