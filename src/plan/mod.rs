//! From a partition to the units of work: waves, and in them chunks.
//!
//! A *wave* is what is looked up at once; a *chunk* is a range of the source's primary key inside a
//! wave, the unit of reading, of progress and of retries. Ranges, not parts: parts move under
//! merges. Nothing here moves rows.

mod attributes;
mod boundaries;
mod bounds;
mod error;
mod hexadecimal;
mod key;
mod leading;
mod memory;
mod months;
mod partition;
mod partitions;
mod planner;
mod ranges;
mod stored;
mod waves;

pub use bounds::ChunkBounds;
pub use error::PlanError;
pub use key::KeyColumn;
pub use memory::{LateMemory, MemoryDemand, MemoryPlan, MemoryTooSmall};
pub use months::{Months, MonthsError};
pub use partition::{Partition, PartitionError};
pub use partitions::{StoredPartition, partitions};
pub use planner::{Chunk, DEFAULT_CHUNK_ROWS, Plan, PlanOptions, plan, table_ranges};
pub use ranges::Bound;
pub use waves::{Wave, WavePlanner};
