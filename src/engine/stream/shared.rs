//! What all tasks of a pipeline share: how they work, on what, and what they count.

use std::sync::Arc;
use std::time::Duration;

use super::Counters;
use super::batch::BatchLimits;
use super::concurrency::Concurrency;
use super::error::PipelineError;
use super::late::Advice;
use super::rows::RowFormat;
use super::throttle::Throttle;
use crate::clickhouse::{Error as ServerError, Servers, Settings};
use crate::job::{BoundJob, statements};
use crate::plan::{DeferredMemory, MemoryPlan};
use crate::retry::{Attempts, OutageGuard, OutageHandling, RetryPolicy};
use crate::stop::Stop;

/// How a pipeline works.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Whether the target is replaced by one that keeps nothing.
    pub dry_run: bool,
    /// Whether the rows of a chunk come in the same order every time, so that its batches have the
    /// same rows, for targets that recognize blocks. It costs more than twice the reading, and
    /// chunks must not be divided by their keys.
    pub ordered: bool,
    /// Rows of a batch at most.
    pub batch_rows: u64,
    /// Bytes of a batch at most, but for the row that exceeds them.
    pub batch_bytes: u64,
    /// Rows of a block that the server reads and sends at once; `None` leaves it to the server.
    pub stream_block_rows: Option<u64>,
    /// How rows are inserted.
    pub format: RowFormat,
    /// Chunks that are read at once.
    pub readers: Concurrency,
    /// Batches that are inserted at once.
    pub inserters: Concurrency,
    /// Bytes of batches that wait or are in flight.
    pub queue_bytes: u64,
    /// What rows may take that are looked up late.
    pub late: DeferredMemory,
    /// A longer row is an error.
    pub max_row_bytes: usize,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// While a server cannot be reached, it is waited for so long.
    pub outage_wait: Duration,
    /// After stopping was asked for, inserts in flight get so long.
    pub drain_timeout: Duration,
    /// So many chunks may fail before the run gives up; 0 stops it at the first.
    pub max_failed_chunks: usize,
    /// What deduplication tokens begin with: the identity of the load, the same in every run that
    /// resumes it.
    pub token_prefix: String,
}

/// Rows of a batch, unless said otherwise.
pub const DEFAULT_BATCH_ROWS: u64 = 100_000;
/// A row that is longer than this is taken for a broken stream, unless said otherwise.
const MAX_ROW_BYTES: usize = 1 << 30;

/// What an insert takes of the server's memory (measured, see docs/dev/performance.md): 2.7 times the bytes
/// of its batch, and for a part that is [wide] the buffers of its files, which are about 8 MiB a
/// column in a table of events, and less where no column is a map.
///
/// [wide]:
/// https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#mergetree-data-storage
pub fn insert_memory_bytes(batch_bytes: u64, target_columns: usize) -> u64 {
    /// The default of `min_bytes_for_wide_part`.
    const WIDE: u64 = 10 << 20;
    let buffers = if batch_bytes < WIDE { 0 } else { (8 << 20) * target_columns as u64 };
    (batch_bytes.saturating_mul(27) / 10).saturating_add(buffers)
}

impl PipelineOptions {
    /// What a run does unless it is told otherwise: writes, in the format that the server takes
    /// fastest, and has as much patience with faults as the program's defaults.
    pub fn new(
        job: &BoundJob,
        memory: &MemoryPlan,
        readers: Concurrency,
        inserters: Concurrency,
    ) -> Self {
        Self {
            dry_run: false,
            ordered: false,
            batch_rows: DEFAULT_BATCH_ROWS,
            batch_bytes: memory.batch_bytes,
            stream_block_rows: None,
            format: job
                .native_layout
                .as_ref()
                .map_or(RowFormat::RowBinary, |layout| RowFormat::Native(layout.clone())),
            readers,
            inserters,
            queue_bytes: memory.queue,
            late: memory.deferred,
            max_row_bytes: MAX_ROW_BYTES,
            retry: RetryPolicy::default(),
            outage_wait: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(60),
            max_failed_chunks: 10,
            // The load says it, when it is known which one it is.
            token_prefix: String::new(),
        }
    }

    /// Whether rows are sent as columns.
    pub(super) fn native(&self) -> bool {
        matches!(self.format, RowFormat::Native(_))
    }

    /// The settings of the inserts of this job.
    pub fn insert_settings(&self, job: &BoundJob) -> Settings {
        statements::insert_settings(job, self.batch_rows, self.native())
    }

    pub(super) fn batch_limits(&self) -> BatchLimits {
        BatchLimits { rows: self.batch_rows.max(1), bytes: self.batch_bytes.max(1) }
    }
}

/// What all tasks share.
pub(super) struct Shared {
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
    /// What is said once of look-ups outside of the window.
    pub advice: Advice,
}

impl Shared {
    /// The attempts of a statement for the server of the source.
    pub fn at_source(&self) -> Attempts<'_> {
        self.attempts(&self.source_guard)
    }

    /// The attempts of a statement for the server of the target.
    pub fn at_target(&self) -> Attempts<'_> {
        self.attempts(&self.target_guard)
    }

    fn attempts<'a>(&'a self, guard: &'a OutageGuard) -> Attempts<'a> {
        Attempts::new(self.options.retry, OutageHandling::Guarded(guard))
            .observed_by(&*self.counters)
            .until(self.stop.failed())
    }

    /// A server stayed away for as long as is allowed.
    pub fn lost(&self, source: ServerError) -> PipelineError {
        PipelineError::Lost { seconds: self.options.outage_wait.as_secs(), source: source.into() }
    }
}
