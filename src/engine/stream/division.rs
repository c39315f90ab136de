//! Dividing a chunk that is too slow: its parts are chunks in its place, and each is recorded when it
//! is done.
//!
//! A chunk is divided before it is begun, where it would take long at the pace that was measured; and
//! when reading it was cut off after a while, or the server had no memory for it, since the next
//! attempt reads all of it again.
//!
//! Chunks of targets that recognize repeated batches are divided only before their first batch is sent:
//! the batches of a part are others than those of the whole, some of which may be in the target.

use std::sync::Arc;
use std::time::Duration;

use super::report::ChunkBook;
use super::shared::Shared;
use crate::job::statements::Bucket;
use crate::plan::{Chunk, ChunkBounds, MOST_PARTS, Partition, Plan, cuts};

/// A chunk whose attempt lasted this long is divided when it breaks off.
pub(in crate::engine) const LONG: Duration = Duration::from_secs(30);
/// Its parts.
pub(in crate::engine) const PARTS: usize = 4;

/// Divides the chunks of a wave.
pub(in crate::engine) struct Division {
    shared: Arc<Shared>,
    partition: Partition,
    bounds: ChunkBounds,
    /// Whether the chunks of the wave may be divided.
    allowed: bool,
}

impl Division {
    /// Chunks that are read once for each part of their keys are not divided: some parts may be done.
    pub(in crate::engine) fn new(shared: Arc<Shared>, plan: &Plan, bucket: Option<Bucket>) -> Self {
        let allowed = bucket.is_none() && !plan.bounds.key.is_empty();
        Self { shared, partition: plan.partition.clone(), bounds: plan.bounds.clone(), allowed }
    }

    /// Into how many parts a chunk that is not begun is to be divided, where this number of chunks is
    /// done at once.
    pub(in crate::engine) fn wanted(&self, chunk: &Chunk, at_once: usize) -> Option<usize> {
        let Shared { pace, counters, .. } = &*self.shared;
        pace.parts(chunk.rows, counters.inserted_rows.get(), at_once).filter(|_| self.allowed)
    }

    /// Divides a chunk into about this many parts; `None` where that is not possible.
    pub(in crate::engine) async fn divide(
        &self,
        chunk: &Chunk,
        parts: usize,
        book: &ChunkBook,
    ) -> Option<Vec<Chunk>> {
        if !self.allowed || book.batch_rows(chunk.id).is_some() {
            return None;
        }
        let Shared { servers, job, counters, .. } = &*self.shared;
        let (source, key) = (&servers.source, &self.bounds.key);
        let parts = parts.clamp(2, MOST_PARTS);
        let found = cuts(source, &job.source, &self.partition, key, chunk, parts).await;
        let cuts = match found {
            Ok(cuts) => cuts,
            Err(error) => {
                tracing::debug!(chunk = %chunk.id, %error, "the chunk cannot be divided");
                return None;
            }
        };
        let parts = self.bounds.parts(chunk, &cuts);
        if parts.len() < 2 {
            return None;
        }
        let more = parts.len() as u64 - 1;
        counters.chunks.add(more);
        counters.chunks_pending.add(more);
        tracing::info!(chunk = %chunk.id, parts = parts.len(), "a slow chunk is divided");
        book.divide(chunk.id, cuts, parts.clone());
        Some(parts)
    }
}
