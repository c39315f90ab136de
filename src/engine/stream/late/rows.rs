//! The rows of one chunk that are looked up late: put aside by its reader, looked up beside it.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::aside::Aside;
use super::lookup::{Sink, send_full};
use crate::engine::stream::attempt::Attempt;
use crate::engine::stream::batch::BatchBuilder;
use crate::engine::stream::enrich::Enricher;
use crate::engine::stream::error::ReadError;
use crate::engine::stream::queue::QueueSender;
use crate::formats::rowbinary::Row;

/// Rows of one attempt to read a chunk. What is being looked up is given up when this is dropped.
pub(in crate::engine::stream) struct LateRows {
    enricher: Arc<Enricher>,
    attempt: Arc<Attempt>,
    queue: QueueSender,
    aside_bytes: usize,
    growing: Aside,
    /// Those that were filled since the reader last looked: rarely more than one.
    full: Vec<Aside>,
    /// The one task that looks up, while it does.
    task: JoinSet<Result<Option<Idle>, ReadError>>,
    idle: Option<Idle>,
}

/// What the task works with, and gives back.
struct Idle {
    /// Late batches of the chunk.
    batches: BatchBuilder,
    aside: Aside,
}

impl LateRows {
    /// `None` where rows are not looked up late.
    pub fn begin(
        enricher: &Arc<Enricher>,
        attempt: &Arc<Attempt>,
        queue: &QueueSender,
    ) -> Option<Self> {
        let aside_bytes = enricher.late()?.aside_bytes();
        Some(Self {
            enricher: enricher.clone(),
            attempt: attempt.clone(),
            queue: queue.clone(),
            aside_bytes,
            growing: Aside::default(),
            full: Vec::new(),
            task: JoinSet::new(),
            idle: None,
        })
    }

    /// Puts a row aside: its key, and of its other bytes these.
    pub fn push(&mut self, row: &Row<'_>, columns: &[u8]) {
        if !self.growing.has_room(row, self.aside_bytes) {
            let next =
                self.idle.as_mut().map(|idle| std::mem::take(&mut idle.aside)).unwrap_or_default();
            self.full.push(std::mem::replace(&mut self.growing, next));
        }
        self.growing.push(row, columns, self.aside_bytes);
    }

    /// Has looked up what is full. Waits only where that of before is not done yet. Gives whether
    /// to go on.
    ///
    /// # Errors
    /// Those of looking up.
    pub async fn advance(&mut self) -> Result<bool, ReadError> {
        while !self.full.is_empty() {
            if !self.wait().await? {
                return Ok(false);
            }
            let aside = self.full.remove(0);
            let (enricher, attempt, queue) =
                (self.enricher.clone(), self.attempt.clone(), self.queue.clone());
            let idle = self.idle.take();
            self.task.spawn(async move {
                let Some(late) = enricher.late() else { return Ok(None) };
                let mut batches = match idle {
                    Some(idle) => idle.batches,
                    None => BatchBuilder::new(
                        attempt.clone(),
                        late.batch_limits(),
                        &late.shared.options.format,
                    ),
                };
                let mut sink = Sink { attempt: &attempt, batches: &mut batches, queue: &queue };
                let taken = late.resolve(&enricher, &aside, &mut sink).await?;
                let mut aside = aside;
                aside.clear(late.aside_bytes());
                Ok(taken.then_some(Idle { batches, aside }))
            });
        }
        Ok(true)
    }

    /// Waits for the task, if there is one.
    async fn wait(&mut self) -> Result<bool, ReadError> {
        let Some(ended) = self.task.join_next().await else { return Ok(true) };
        self.idle = ended.map_err(|error| ReadError::Task(error.to_string()))??;
        Ok(self.idle.is_some())
    }

    /// Looks up the rest, when the chunk has ended. Where there was never more than the room for
    /// one heap, the rows follow those of `batches`; else they are the end of the late batches,
    /// which are all in the queue then.
    ///
    /// # Errors
    /// Those of looking up.
    pub async fn finish(mut self, batches: &mut BatchBuilder) -> Result<bool, ReadError> {
        if !self.advance().await? || !self.wait().await? {
            return Ok(false);
        }
        let Some(late) = self.enricher.late() else { return Ok(true) };
        let Some(Idle { batches: mut own, .. }) = self.idle.take() else {
            let mut sink = Sink { attempt: &self.attempt, batches, queue: &self.queue };
            return late.resolve(&self.enricher, &self.growing, &mut sink).await;
        };
        let mut sink = Sink { attempt: &self.attempt, batches: &mut own, queue: &self.queue };
        if !late.resolve(&self.enricher, &self.growing, &mut sink).await?
            || !send_full(&mut sink).await
        {
            return Ok(false);
        }
        for batch in own.finish()? {
            if !self.queue.send(batch).await {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
