//! The queue between readers and inserters, bounded in bytes.
//!
//! A batch holds a permit for its bytes from the moment it is queued until it is acknowledged or
//! dropped, so the permits are the ceiling on what waits and what is in flight together.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

use super::Counters;
use super::batch::Batch;

/// Permits are counted in these, since a semaphore counts at most 2^29 on 32-bit machines.
const PERMIT_BYTES: u64 = 1024;

/// A batch with the permit for its bytes.
#[derive(Debug)]
pub(super) struct Queued {
    pub batch: Batch,
    /// Both are given back when the batch is dropped.
    _held: (OwnedSemaphorePermit, Counted),
}

#[derive(Debug)]
struct Counted {
    counters: Arc<Counters>,
    bytes: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counters.queued_bytes.take(self.bytes);
    }
}

/// The end into which readers put.
#[derive(Clone)]
pub(super) struct QueueSender {
    permits: Arc<Semaphore>,
    capacity: u32,
    sender: mpsc::UnboundedSender<Queued>,
    counters: Arc<Counters>,
}

/// The end from which inserters take.
#[derive(Clone)]
pub(super) struct QueueReceiver {
    receiver: Arc<Mutex<mpsc::UnboundedReceiver<Queued>>>,
}

/// A queue that holds about so many bytes. A single batch that is larger passes alone.
pub(super) fn queue(bytes: u64, counters: Arc<Counters>) -> (QueueSender, QueueReceiver) {
    let capacity = u32::try_from((bytes / PERMIT_BYTES).max(1))
        .unwrap_or(u32::MAX)
        .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
    // The semaphore is the bound; the channel itself needs none.
    let (sender, receiver) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(capacity as usize));
    (
        QueueSender { permits, capacity, sender, counters },
        QueueReceiver { receiver: Arc::new(Mutex::new(receiver)) },
    )
}

impl QueueSender {
    /// Puts a batch in, waiting until there is room. Gives whether anybody is there to take it.
    pub async fn send(&self, batch: Batch) -> bool {
        let wanted = u32::try_from(batch.bytes.div_ceil(PERMIT_BYTES))
            .unwrap_or(u32::MAX)
            .clamp(1, self.capacity);
        let Ok(permit) = self.permits.clone().acquire_many_owned(wanted).await else {
            return false;
        };
        let counted = Counted { counters: self.counters.clone(), bytes: batch.bytes };
        self.counters.queued_bytes.add(batch.bytes);
        batch.attempt.batch_queued();
        self.sender.send(Queued { batch, _held: (permit, counted) }).is_ok()
    }
}

impl QueueReceiver {
    /// Whether a batch is waiting. While another inserter waits for one, none is.
    pub fn has_more(&self) -> bool {
        match self.receiver.try_lock() {
            Ok(receiver) => !receiver.is_empty(),
            Err(_) => false,
        }
    }

    /// Takes the next batch; `None` when all senders are gone and the queue is empty.
    pub async fn receive(&self) -> Option<Queued> {
        self.receiver.lock().await.recv().await
    }
}
