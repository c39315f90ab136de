//! How blocks of columns are read: their size, and when rows are read instead.
//!
//! The server bounds the bytes of a block only where it reads without FINAL. With FINAL a block has up
//! to 8,192 rows, however long they are. A block that is larger than a reader's share of the memory
//! ends the reading of blocks: its chunk, and those after it, are read as rows.

use std::sync::Arc;

use super::batch::RowFormat;
use super::shared::{PipelineOptions, ReadFormat};
use crate::clickhouse::Settings;
use crate::formats::native::{
    BlockBuffers, BlockExtender, BlockReader, NativeLayout, SourceLayout,
};
use crate::job::{BoundJob, statements};
use crate::plan::Plan;

/// The most rows of a block: as many as where blocks are built from rows.
const MOST_ROWS: u64 = 8192;
/// Blocks of at least this many rows, or of as many as have the wanted size, are asked for.
const LEAST_ROWS: u64 = 64;
/// The most bytes of a block.
const MOST_BYTES: u64 = 32 << 20;
/// The wanted bytes of a block. A batch that the server has no memory for is inserted block by block.
const WANTED_BYTES: u64 = 8 << 20;
/// The size of a row where the source does not say it.
const ROW_BYTES: u64 = 1024;

/// The settings of the source query, and the format of its rows.
pub(crate) fn source_reading(
    options: &PipelineOptions,
    job: &BoundJob,
    plan: &Plan,
) -> (Settings, &'static str) {
    match BlockReading::of(options, job, plan) {
        Some(blocks) => (blocks.settings, "Native"),
        None => (options.source_settings(job), "RowBinary"),
    }
}

/// How the blocks of a wave are read.
pub(super) struct BlockReading {
    source: Arc<SourceLayout>,
    target: Arc<NativeLayout>,
    /// The number of columns that are passed on.
    passed: usize,
    settings: Settings,
    most_bytes: u64,
}

impl BlockReading {
    /// `None` where rows are read.
    pub(super) fn of(options: &PipelineOptions, job: &BoundJob, plan: &Plan) -> Option<Self> {
        let RowFormat::Native(target) = &options.format else { return None };
        let source = job.source_blocks.as_ref().ok()?;
        if options.read_format != ReadFormat::Native || options.ordered {
            return None;
        }
        let most_bytes = (options.batch_bytes / 4).clamp(1, MOST_BYTES);
        let row_bytes = match plan.stored_bytes / plan.stored_rows.max(1) {
            0 => ROW_BYTES,
            bytes => bytes,
        };
        // Rows differ in length.
        let wanted_bytes = WANTED_BYTES.min(most_bytes / 2).max(1);
        let rows = options.stream_block_rows.unwrap_or_else(|| {
            // A batch has whole blocks where they are small beside it.
            let most_rows = (options.batch_rows / 4).clamp(LEAST_ROWS, MOST_ROWS);
            (wanted_bytes / row_bytes).clamp(1, most_rows)
        });
        Some(Self {
            settings: statements::source_blocks_settings(job, source, rows, wanted_bytes),
            source: source.clone(),
            target: target.clone(),
            passed: job.source_columns.len(),
            most_bytes,
        })
    }

    /// The settings of the source query.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A reader for one stream.
    pub(super) fn reader(&self, buffers: &Arc<BlockBuffers>) -> BlockReader {
        let most_bytes = usize::try_from(self.most_bytes).unwrap_or(usize::MAX);
        BlockReader::new(self.source.clone(), most_bytes, buffers.clone())
    }

    /// An extender for the blocks of one stream.
    pub(super) fn extender(&self) -> BlockExtender {
        BlockExtender::new(self.target.clone(), self.passed)
    }
}
