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

pub use chunk::{Bound, Chunk, ChunkBounds};
pub use error::PlanError;
pub use key::KeyColumn;
pub use memory::{DeferredMemory, MemoryDemand, MemoryPlan, MemoryTooSmall};
pub use partition::{Months, MonthsError, Partition, PartitionError, StoredPartition, partitions};
pub use planner::{DEFAULT_CHUNK_ROWS, Plan, PlanOptions, plan, table_ranges};
pub use waves::{Wave, WavePlanner};
