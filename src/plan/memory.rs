//! Dividing the memory that a run may take.

/// What the program takes besides rows: its code, the runtime, connections and their buffers.
const BASE_BYTES: u64 = 48 << 20;
/// What a stream that is read holds back and has received, and the piece of a batch that is being filled.
const READER_BYTES: u64 = 4 << 20;
/// Batches are not made smaller than this to save memory; below it, inserts become much more expensive.
const SMALLEST_BATCH_BYTES: u64 = 2 << 20;
/// With less than this for attributes there would be very many waves.
const SMALLEST_ATTRIBUTES_BYTES: u64 = 8 << 20;
/// The part of the allocated bytes that an allocator loses between allocations, in percent.
const ALLOCATOR_PERCENT: u64 = 8;

/// What a run needs memory for.
#[derive(Clone, Copy, Debug)]
pub struct MemoryDemand {
    /// The ceiling for the whole process, in bytes.
    pub total: u64,
    /// Chunks read at once, each filling a batch.
    pub readers: u64,
    /// Batches inserted at once.
    pub inserters: u64,
    /// Bytes of a batch, as wanted.
    pub batch_bytes: u64,
}

/// How the memory is divided, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The ceiling for the whole process.
    pub total: u64,
    /// The program itself.
    pub base: u64,
    /// Batches that are being filled, and what their readers have received.
    pub readers: u64,
    /// Batches that wait or are in flight.
    pub queue: u64,
    /// The attributes of all waves that are in memory at once.
    pub attributes: u64,
    /// Bytes of a batch; smaller than wanted where memory is short.
    pub batch_bytes: u64,
}

/// A ceiling that is too low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{total} bytes of memory are not enough; {needed} bytes are the least for {readers} readers and {inserters} inserters")]
pub struct MemoryTooSmall {
    /// What was given.
    pub total: u64,
    /// The least that works.
    pub needed: u64,
    /// Chunks read at once.
    pub readers: u64,
    /// Batches inserted at once.
    pub inserters: u64,
}

impl MemoryPlan {
    /// Gives batches what they want, but at most half, and attributes the rest.
    ///
    /// # Errors
    /// [`MemoryTooSmall`] where even the smallest batches leave too little for attributes.
    pub fn divide(demand: MemoryDemand) -> Result<Self, MemoryTooSmall> {
        let MemoryDemand { total, readers, inserters, batch_bytes } = demand;
        let usable = total - total / 100 * ALLOCATOR_PERCENT;
        let fixed = BASE_BYTES + readers.saturating_mul(READER_BYTES);
        // One for each reader, one in flight for each inserter, and half as many that wait: more only take memory, since where inserters
        // are the slower side the queue is always full.
        let queued = inserters.saturating_add(inserters.div_ceil(2)).max(1);
        let batches = readers.saturating_add(queued);
        let least = fixed + batches.saturating_mul(SMALLEST_BATCH_BYTES) + SMALLEST_ATTRIBUTES_BYTES;
        if usable < least {
            return Err(MemoryTooSmall { total, needed: least / (100 - ALLOCATOR_PERCENT) * 100 + 100, readers, inserters });
        }
        let share = (usable - fixed) / 2 / batches;
        let batch_bytes = batch_bytes.min(share.max(SMALLEST_BATCH_BYTES));
        let queue = queued.saturating_mul(batch_bytes);
        let readers = readers.saturating_mul(READER_BYTES + batch_bytes);
        Ok(Self { total, base: BASE_BYTES, readers, queue, attributes: usable - BASE_BYTES - readers - queue, batch_bytes })
    }

    /// The most that the attributes of one wave may take while the next wave's are being loaded.
    pub fn wave(&self) -> u64 {
        self.attributes / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_parts_stay_below_the_whole() {
        for total in [128 * MIB, 300 * MIB, 1000 * MIB, 64_000 * MIB] {
            for (readers, inserters) in [(1, 1), (2, 2), (4, 8)] {
                let demand = MemoryDemand { total, readers, inserters, batch_bytes: 128 * MIB };
                let Ok(plan) = MemoryPlan::divide(demand) else { continue };
                let sum = plan.base + plan.readers + plan.queue + plan.attributes;
                assert!(sum <= total && sum > total / 100 * 90, "{plan:?}");
                assert!(plan.batch_bytes >= SMALLEST_BATCH_BYTES && plan.batch_bytes <= 128 * MIB, "{plan:?}");
            }
        }
    }

    #[test]
    fn much_memory_leaves_batches_as_wanted_and_little_is_refused() {
        let demand = MemoryDemand { total: 64_000 * MIB, readers: 2, inserters: 2, batch_bytes: 128 * MIB };
        assert_eq!(MemoryPlan::divide(demand).unwrap().batch_bytes, 128 * MIB);
        let error = MemoryPlan::divide(MemoryDemand { total: 50 * MIB, ..demand }).unwrap_err();
        assert!(MemoryPlan::divide(MemoryDemand { total: error.needed, ..demand }).is_ok(), "{error}");
    }
}
