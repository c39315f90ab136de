//! The stream engine: rows pass through the client on their way from the source to the target.
//!
//! ```text
//! chunks ─► reader (read + enrich + batch) ─┐
//! chunks ─► reader (read + enrich + batch) ─┼─► queue, limited in bytes ─► inserters
//! ```
//!
//! A plan is run wave by wave: the attributes of a wave are loaded into a map, then its chunks are
//! streamed. All tasks run on tokio's threads. The engine prints nothing: its progress is visible in
//! [`Counters`] and in `tracing` events.

mod batch;
mod batch_size;
mod blocks;
mod chunk_states;
pub(super) mod concurrency;
pub(super) mod counters;
mod dedup;
mod deferred_lookup;
mod deferred_rows;
pub(super) mod division;
mod enrich;
pub(crate) mod error;
mod inserter;
mod intake;
mod pace;
mod pipeline;
mod rate_limit;
pub(super) mod reader;
pub(super) mod report;
pub(super) mod shared;
mod sweep;
mod throttle;
mod timings;
mod trial;
mod wave;

pub(crate) use batch::RowFormat;
pub(crate) use blocks::source_reading;
pub(crate) use chunk_states::ChunkState;
pub(crate) use concurrency::Concurrency;
pub(crate) use counters::{Counters, Phase, Snapshot};
pub(crate) use dedup::{
    DedupError, DedupStrategy, estimated_batches, find_dedup_strategy, rows_of_a_batch,
};
pub(crate) use enrich::RowSampler;
pub(crate) use error::PipelineError;
pub(crate) use pipeline::{Pipeline, Ran};
pub(crate) use report::{BegunChunk, ChunkEvent, ChunkOutcome, ChunkReport};
pub(crate) use shared::{
    DEFAULT_BATCH_ROWS, PipelineOptions, ReadFormat, SourceCount, Work, insert_memory_bytes,
    read_memory_bytes,
};
pub(crate) use throttle::{ConcurrencyBounds, ConcurrencyOutOfRange, Throttle, ThrottleLimits};
pub(crate) use timings::{Activities, Activity};
pub(crate) use trial::{Trial, trial};
