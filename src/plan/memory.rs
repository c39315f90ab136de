//! Dividing the memory that a run may take.

use crate::units::{bytes, counted};

/// Bytes of the program without rows: code, runtime, connections and their buffers.
const BASE_BYTES: u64 = 48 << 20;
/// Bytes that a reader has received and holds back, and the piece of a batch that it fills.
const READER_BYTES: u64 = 4 << 20;
/// Batches are not made smaller than this to save memory; below it, inserts become much more
/// expensive.
const SMALLEST_BATCH_BYTES: u64 = 2 << 20;
/// Least bytes for each reader's deferred rows; less would need very many queries.
const SMALLEST_DEFERRED_BYTES: u64 = 4 << 20;
/// Most bytes of the cache of deferred look-ups.
const ANSWERS_BYTES: u64 = 64 << 20;
/// The same if memory is short.
const SMALLEST_ANSWERS_BYTES: u64 = 2 << 20;
/// With less than this for attributes there would be very many waves.
const SMALLEST_ATTRIBUTES_BYTES: u64 = 8 << 20;
/// Most bytes that a reader takes ahead of its turn, so that the server does not cut off its stream
/// while it waits for inserters.
const SIPS_BYTES: u64 = 16 << 20;
/// Percentage of allocated bytes that the allocator loses to fragmentation.
const ALLOCATOR_PERCENT: u64 = 8;

/// What a run needs memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryDemand {
    /// The ceiling for the whole process, in bytes.
    pub total: u64,
    /// Chunks read at once, each filling a batch.
    pub readers: u64,
    /// Batches inserted at once.
    pub inserters: u64,
    /// Wanted bytes of a batch.
    pub batch_bytes: u64,
    /// Whether rows are deferred, because the lookup has a window.
    pub deferred: bool,
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
    /// Of `readers`: what each reader may receive ahead of its turn; 0 if memory is short.
    pub sips: u64,
    /// Batches that wait or are in flight.
    pub queue: u64,
    /// Deferred rows and the cache of their look-ups; 0 if the lookup has no window.
    pub deferred: DeferredMemory,
    /// The attributes of all waves that are in memory at once.
    pub attributes: u64,
    /// Bytes of a batch; fewer than wanted if memory is short.
    pub batch_bytes: u64,
    demand: MemoryDemand,
}

/// Memory for deferred rows, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeferredMemory {
    /// For each reader: waiting rows, the rows that are found for them, and their batch.
    pub reader: u64,
    /// The cache of deferred look-ups.
    pub answers: u64,
    /// The most bytes of the attributes of one key. One reader at a time has attributes that are longer
    /// than its share.
    pub longest: u64,
    /// All of it together.
    pub total: u64,
}

/// A ceiling that is too low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} of memory is not enough: {} and {} need at least {}",
    bytes(*total),
    counted(*readers, "reader"),
    counted(*inserters, "inserter"),
    bytes(*needed)
)]
pub struct MemoryTooSmall {
    /// The given ceiling.
    pub total: u64,
    /// The lowest ceiling that works.
    pub needed: u64,
    /// Chunks read at once.
    pub readers: u64,
    /// Batches inserted at once.
    pub inserters: u64,
}

impl MemoryPlan {
    /// Gives batches the wanted bytes, at most half of the memory, and attributes the rest.
    ///
    /// # Errors
    /// [`MemoryTooSmall`] where even the smallest batches leave too little for attributes.
    pub fn divide(demand: MemoryDemand) -> Result<Self, MemoryTooSmall> {
        let MemoryDemand { total, readers, inserters, batch_bytes, deferred } = demand;
        let usable = total - total / 100 * ALLOCATOR_PERCENT;
        let fixed = BASE_BYTES + readers.saturating_mul(READER_BYTES);
        // Each inserter has one batch in flight, and half as many wait. A longer queue would only
        // take memory: it is always full if inserters are slower than readers.
        let queued = inserters.saturating_add(inserters.div_ceil(2)).max(1);
        let batches = readers.saturating_add(queued);
        let least_deferred = if deferred {
            readers.saturating_mul(SMALLEST_DEFERRED_BYTES).saturating_add(SMALLEST_ANSWERS_BYTES)
        } else {
            0
        };
        let least = fixed
            + batches.saturating_mul(SMALLEST_BATCH_BYTES)
            + least_deferred
            + SMALLEST_ATTRIBUTES_BYTES;
        if usable < least {
            return Err(MemoryTooSmall {
                total,
                needed: least / (100 - ALLOCATOR_PERCENT) * 100 + 100,
                readers,
                inserters,
            });
        }
        let share = (usable - fixed - least_deferred) / 2 / batches;
        let batch_bytes = batch_bytes.min(share.max(SMALLEST_BATCH_BYTES));
        let queue = queued.saturating_mul(batch_bytes);
        let reading = readers.saturating_mul(READER_BYTES + batch_bytes);
        let left = usable - BASE_BYTES - reading - queue;
        let deferred = if deferred {
            DeferredMemory::divide(readers, batch_bytes, left)
        } else {
            DeferredMemory::default()
        };
        let attributes = left.saturating_sub(deferred.total);
        let unused = attributes.saturating_sub(SMALLEST_ATTRIBUTES_BYTES) / 4;
        let sips = (unused / readers.max(1)).min(SIPS_BYTES);
        let all_sips = sips.saturating_mul(readers);
        Ok(Self {
            total,
            base: BASE_BYTES,
            readers: reading + all_sips,
            sips,
            queue,
            deferred,
            attributes: attributes - all_sips,
            batch_bytes,
            demand,
        })
    }

    /// The most that the attributes of one wave may take while the next wave's are being loaded.
    pub fn wave(&self) -> u64 {
        self.attributes / 2
    }

    /// The most bytes that the attributes of one key may have: they are received beside those of
    /// their wave.
    pub(super) fn longest_attributes(&self) -> u64 {
        self.wave() / 2
    }

    /// A memory limit that leaves room for attributes of this size for one key.
    pub fn total_for(&self, longest: u64) -> u64 {
        let mut total = self.total;
        let suffices = |total| {
            Self::divide(MemoryDemand { total, ..self.demand })
                .is_ok_and(|plan| plan.longest_attributes() >= longest)
        };
        while !suffices(total) && total < u64::MAX / 2 {
            total = (total + total / 8).next_multiple_of(1 << 20);
        }
        total
    }
}

impl DeferredMemory {
    /// Divides what batches leave: a batch for each reader, and a share of the rest for the cache.
    fn divide(readers: u64, batch_bytes: u64, left: u64) -> Self {
        let reader = batch_bytes.max(SMALLEST_DEFERRED_BYTES);
        let all = readers.saturating_mul(reader);
        let answers = (left.saturating_sub(all) / 16).clamp(SMALLEST_ANSWERS_BYTES, ANSWERS_BYTES);
        let total = all.saturating_add(answers);
        // They are received and copied, or copied into a batch: twice in memory, half of a reader's share
        // among it.
        let long = left.saturating_sub(total).saturating_sub(SMALLEST_ATTRIBUTES_BYTES) / 8;
        let longest = long / 2 + reader / 4;
        Self { reader, answers, longest, total: total.saturating_add(long) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_parts_stay_below_the_whole() {
        for total in [84 * MIB, 128 * MIB, 130 * MIB, 300 * MIB, 1000 * MIB, 64_000 * MIB] {
            for (readers, inserters) in [(1, 1), (2, 2), (4, 8)] {
                for deferred in [false, true] {
                    let demand = MemoryDemand {
                        total,
                        readers,
                        inserters,
                        batch_bytes: 128 * MIB,
                        deferred,
                    };
                    let Ok(plan) = MemoryPlan::divide(demand) else { continue };
                    let sum = plan.base
                        + plan.readers
                        + plan.queue
                        + plan.deferred.total
                        + plan.attributes;
                    assert!(sum <= total && sum > total / 100 * 90, "{plan:?}");
                    assert!(
                        plan.batch_bytes >= SMALLEST_BATCH_BYTES && plan.batch_bytes <= 128 * MIB,
                        "{plan:?}"
                    );
                    assert!(plan.attributes >= SMALLEST_ATTRIBUTES_BYTES, "{plan:?}");
                    assert_eq!(deferred, plan.deferred != DeferredMemory::default(), "{plan:?}");
                }
            }
        }
    }

    #[test]
    fn the_ceiling_for_long_attributes_is_enough_for_them() {
        for total in [110 * MIB, 300 * MIB, 2000 * MIB] {
            let demand = MemoryDemand {
                total,
                readers: 2,
                inserters: 3,
                batch_bytes: 128 * MIB,
                deferred: true,
            };
            let plan = MemoryPlan::divide(demand).unwrap();
            for longest in [5 * MIB, 50 * MIB, 500 * MIB] {
                let total = plan.total_for(longest);
                let larger = MemoryPlan::divide(MemoryDemand { total, ..demand }).unwrap();
                assert!(larger.longest_attributes() >= longest, "{plan:?} {larger:?}");
            }
        }
    }

    #[test]
    fn much_memory_leaves_batches_as_wanted_and_little_is_refused() {
        let demand = MemoryDemand {
            total: 64_000 * MIB,
            readers: 2,
            inserters: 2,
            batch_bytes: 128 * MIB,
            deferred: true,
        };
        assert_eq!(MemoryPlan::divide(demand).unwrap().batch_bytes, 128 * MIB);
        let error = MemoryPlan::divide(MemoryDemand { total: 50 * MIB, ..demand }).unwrap_err();
        assert!(
            MemoryPlan::divide(MemoryDemand { total: error.needed, ..demand }).is_ok(),
            "{error}"
        );
    }
}
