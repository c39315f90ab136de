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
mod concurrency;
mod counters;
mod dedup;
mod deferred_lookup;
mod deferred_rows;
mod enrich;
mod error;
mod inserter;
mod pipeline;
mod rate_limit;
mod reader;
mod report;
mod shared;
mod sweep;
mod throttle;
mod timings;
mod trial;
mod wave;

pub use batch::RowFormat;
pub use concurrency::Concurrency;
pub use counters::{Counters, Phase, Snapshot};
pub use dedup::{DedupError, DedupPlan, DedupStrategy, estimated_batches, find_dedup_strategy};
pub use enrich::RowSampler;
pub use error::{FailedChunk, PipelineError};
pub use pipeline::{Pipeline, Ran};
pub use report::{ChunkOutcome, ChunkReport};
pub use shared::{DEFAULT_BATCH_ROWS, PipelineOptions, Work, insert_memory_bytes};
pub use throttle::{ConcurrencyBounds, ConcurrencyOutOfRange, Throttle, ThrottleLimits};
pub use timings::{Activities, Activity, Latency, LatencySnapshot};
pub use trial::{Trial, trial};
