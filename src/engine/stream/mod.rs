//! The way of a row: load the lookup of a wave, read its chunks, enrich, batch, queue, insert.
//!
//! ```text
//! chunks ─► reader (read + enrich + batch) ─┐
//! chunks ─► reader (read + enrich + batch) ─┼─► queue, bounded in bytes ─► inserters
//! ```
//!
//! Everything runs on tokio's own threads; there is no pool beside them. The pipeline decides what
//! is retried and when all stops. It prints nothing: what it does is seen in [`Counters`] and in
//! `tracing` events.

mod activity;
mod attempt;
mod batch;
mod concurrency;
mod count;
mod counters;
mod enrich;
mod error;
mod gauge;
mod give_up;
mod inserter;
mod late;
mod latency;
mod load;
mod queue;
mod reader;
mod recent;
mod repeats;
mod report;
mod row_hash;
mod rows;
mod run;
mod sampler;
mod shared;
mod stall;
mod sweep;
mod throttle;
mod trial;
mod wave;
mod work;

pub use activity::{Activities, Activity};
pub use concurrency::Concurrency;
pub use counters::{Counters, Phase, Snapshot};
pub use error::{FailedChunk, PipelineError};
pub use latency::{Latency, LatencySnapshot};
pub use repeats::{Repeats, RepeatsError, RepeatsFound, estimated_batches, repeats};
pub use report::{ChunkOutcome, ChunkReport};
pub use rows::RowFormat;
pub use run::{Outcome, Pipeline, Ran};
pub use sampler::Sampler;
pub use shared::{DEFAULT_BATCH_ROWS, PipelineOptions, insert_memory_bytes};
pub use throttle::{LevelOutOfRange, Levels, Limits, Throttle};
pub use trial::{Trial, trial};
pub use work::Work;
