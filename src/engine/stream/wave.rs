//! One wave: its attributes, then its chunks.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::enrich::Enricher;
use super::error::PipelineError;
use super::inserter::insert_batches;
use super::late::LateLookup;
use super::load::{Loaded, load};
use super::queue::queue;
use super::reader::{ChunkList, Reading, read_chunks};
use super::report::ChunkBook;
use super::sampler::Sampler;
use super::shared::Shared;
use super::work::Work;
use crate::plan::{Plan, Wave, WavePlanner};

/// A wave whose attributes are loaded.
pub(super) struct ReadyWave {
    pub wave: Wave,
    enricher: Arc<Enricher>,
}

/// What comes next.
pub(super) enum Next {
    /// A wave whose attributes are loaded.
    Wave(ReadyWave),
    /// No wave is left.
    Done,
    /// Stopping was asked for while attributes were loaded.
    Stopped,
}

/// What all waves of a run have in common.
pub(super) struct WaveContext<'a> {
    pub shared: &'a Arc<Shared>,
    pub plan: &'a Plan,
    pub work: &'a Work,
    pub sampler: Option<Arc<Sampler>>,
    pub book: Arc<ChunkBook>,
    /// The lookup columns of a row that finds nothing.
    pub miss: Vec<u8>,
}

impl WaveContext<'_> {
    /// Loads the attributes of the next wave that fits the memory.
    pub async fn load_next(&self, planner: &mut WavePlanner) -> Result<Next, PipelineError> {
        while let Some(wave) = planner.next_wave() {
            if wave.bucket.is_some() && self.shared.options.ordered {
                return Err(PipelineError::DividedKeys {
                    table: self.shared.job.target.name.clone(),
                });
            }
            let Some(lookup) = &self.shared.job.lookup else {
                return Ok(Next::Wave(ReadyWave {
                    wave,
                    enricher: Arc::new(Enricher::without_lookup(self.sampler.clone())),
                }));
            };
            tokio::select! {
                () = self.shared.throttle.opened() => {}
                () = self.shared.stop.reading_ends() => return Ok(Next::Stopped),
            }
            match load(self.shared, lookup, self.plan.scope.window, &wave).await? {
                Loaded::Map(loaded) => {
                    planner.learn(loaded.rows, loaded.peak_bytes);
                    tracing::debug!(wave = wave.number + 1, chunks = ?wave.chunks, rows = loaded.rows, bytes = loaded.peak_bytes, "attributes are loaded");
                    let late = self
                        .plan
                        .scope
                        .window
                        .map(|window| LateLookup::new(self.shared.clone(), window));
                    let (miss, sampler) = (self.miss.clone(), self.sampler.clone());
                    let enricher = Enricher::new(
                        loaded.map,
                        loaded.memory,
                        miss,
                        lookup.nullable_keys(),
                        late,
                        sampler,
                    );
                    return Ok(Next::Wave(ReadyWave { wave, enricher: Arc::new(enricher) }));
                }
                Loaded::TooLarge { rows } => {
                    tracing::info!(
                        wave = wave.number + 1,
                        rows,
                        limit_bytes = wave.limit_bytes,
                        "the attributes need more memory than estimated, the wave is made smaller"
                    );
                    planner.take_back(&wave, rows);
                }
                Loaded::Stopped => return Ok(Next::Stopped),
            }
        }
        Ok(Next::Done)
    }

    /// Streams the wave's pending chunks; gives whether all of them were streamed and acknowledged.
    pub async fn stream(&self, ready: ReadyWave) -> Result<bool, PipelineError> {
        let ReadyWave { wave, enricher } = ready;
        let shared = self.shared;
        let list = self.plan.chunks.get(wave.chunks.clone()).unwrap_or_default();
        let list: Vec<_> =
            list.iter().filter(|chunk| self.work.is_pending(chunk.number)).cloned().collect();
        let readers = shared.options.readers.most().min(list.len().max(1));
        let scope = self.plan.scope.in_bucket(wave.bucket);
        let chunks = ChunkList::new(list);
        let (sender, receiver) = queue(shared.options.queue_bytes, shared.counters.clone());
        let mut tasks = JoinSet::new();
        let reading = Reading { scope, enricher, book: self.book.clone(), queue: sender };
        for _ in 0..readers {
            tasks.spawn(read_chunks(shared.clone(), chunks.clone(), reading.clone()));
        }
        // The inserters end when the last reader drops its end of the queue; the map goes with the
        // last reader.
        drop(reading);
        // More may be asked for while the run is on; who has no turn waits.
        for _ in 0..shared.throttle.limits().inserters_most {
            tasks.spawn(insert_batches(shared.clone(), receiver.clone()));
        }
        drop(receiver);
        let (mut complete, mut first_error) = (true, None);
        while let Some(ended) = tasks.join_next().await {
            match ended.unwrap_or_else(|error| Err(PipelineError::of_task(&error))) {
                Ok(ended) => complete &= ended,
                Err(error) => {
                    shared.stop.fail();
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(complete), Err)
    }
}
