//! Dividing a partition into units of work: waves of chunks.
//!
//! A *chunk* is a range of the source's primary key, the unit of reading, of progress and of
//! retries. A *wave* is a run of chunks whose look-up rows are in memory at once. Chunks are ranges
//! and not parts, because merges replace parts. Nothing here moves rows.

mod attributes;
mod boundaries;
mod chunk;
mod error;
mod key;
mod memory;
mod partition;
mod planner;
mod waves;

pub(crate) use boundaries::{Stored, cuts, stored};
pub use chunk::ChunkBounds;
pub(crate) use chunk::{Bound, Chunk, ChunkId, Cuts, MOST_PARTS};
pub use error::PlanError;
pub(crate) use error::words as changes_in_words;
pub(crate) use memory::{DeferredMemory, MemoryTooSmall};
pub use memory::{MemoryDemand, MemoryPlan};
pub use partition::Partition;
pub(crate) use partition::{Months, PartitionError, StoredPartition, named, partitions};
pub(crate) use planner::{Changes, DEFAULT_CHUNK_ROWS, find_older_rows, table_ranges};
pub use planner::{Plan, PlanOptions, plan};
pub(crate) use waves::{Wave, WavePlanner};
