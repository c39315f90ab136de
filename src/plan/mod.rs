//! From a partition to the units of work: waves, and in them chunks.
//!
//! A *wave* is what is looked up at once; a *chunk* is a range of the source's primary key inside a
//! wave, the unit of reading, of progress and of retries. Ranges, not parts: parts move under
//! merges. Nothing here moves rows.

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
