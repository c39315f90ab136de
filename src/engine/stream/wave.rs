//! One wave: its attributes are loaded into a map, then its chunks are streamed.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::poll_fn;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::batch::queue;
use super::blocks::BlockReading;
use super::counters::{LoadTally, MapMemory};
use super::deferred_lookup::DeferredLookup;
use super::division::Division;
use super::enrich::{Enricher, RowSampler};
use super::error::{PipelineError, ReadError};
use super::inserter::insert_batches;
use super::reader::{ChunkList, Reading, read_chunks};
use super::report::ChunkBook;
use super::shared::{Shared, Work};
use crate::job::BoundLookup;
use crate::job::statements::{self, LookupTimes};
use crate::lookup::{FrozenLookupMap, Loader, LoaderShape, LookupError};
use crate::plan::{Plan, Wave, WavePlanner};
use crate::retry::{FailedAttempt, FailureKind, RetryCause, RetryError, Retryable, milliseconds};
use crate::spans;

/// The memory of the map is added up after about this many rows, since that takes time.
const ROWS_PER_MEMORY_CHECK: u64 = 32_768;

/// A wave whose attributes are loaded.
pub(super) struct ReadyWave {
    pub wave: Wave,
    enricher: Arc<Enricher>,
    deferred_lookup: Option<Arc<DeferredLookup>>,
}

/// What comes next.
pub(super) enum NextWave {
    /// A wave whose attributes are loaded.
    Ready(ReadyWave),
    /// No wave is left.
    Done,
    /// The run stops.
    Stopped,
}

/// What the waves of a run have in common.
pub(super) struct WaveContext<'a> {
    pub shared: &'a Arc<Shared>,
    pub plan: &'a Plan,
    pub work: &'a Work,
    pub sampler: Option<Arc<RowSampler>>,
    pub book: Arc<ChunkBook>,
    /// The attributes of a miss.
    pub miss: Vec<u8>,
}

impl WaveContext<'_> {
    /// Loads the attributes of the next wave that fits the memory.
    pub(super) async fn load_next(
        &self,
        planner: &mut WavePlanner,
    ) -> Result<NextWave, PipelineError> {
        while let Some(wave) = planner.next_wave() {
            if wave.bucket.is_some() && self.shared.options.ordered {
                let table = self.shared.job.target.name.clone();
                return Err(PipelineError::DividedKeys { table });
            }
            let Some(lookup) = &self.shared.job.lookup else {
                let enricher = Arc::new(Enricher::without_lookup(self.sampler.clone()));
                return Ok(NextWave::Ready(ReadyWave { wave, enricher, deferred_lookup: None }));
            };
            tokio::select! {
                () = self.shared.throttle.opened() => {}
                () = self.shared.stop.reading_ends() => return Ok(NextWave::Stopped),
            }
            let span = spans::lookup(wave.number + 1);
            let loading = load_attributes(self.shared, lookup, self.plan.scope.window, &wave);
            match loading.instrument(span.clone()).await? {
                LoadEnd::Map(loaded) => {
                    span.record("backfill.rows", loaded.rows);
                    planner.learn(loaded.rows, loaded.peak_bytes);
                    tracing::debug!(wave = wave.number + 1, chunks = ?wave.chunks, rows = loaded.rows, bytes = loaded.peak_bytes, "attributes are loaded");
                    return Ok(NextWave::Ready(self.ready(wave, lookup, loaded)));
                }
                LoadEnd::TooLarge { rows, longest } => {
                    tracing::info!(
                        wave = wave.number + 1,
                        rows,
                        limit_bytes = wave.limit_bytes,
                        "the attributes need more memory than estimated, the wave is made smaller"
                    );
                    // One row cannot be divided.
                    if longest > wave.limit_bytes || !planner.take_back(&wave, rows) {
                        return Err(PipelineError::LongAttributes {
                            table: lookup.table.name.clone(),
                            bytes: longest,
                            limit: wave.limit_bytes,
                        });
                    }
                }
                LoadEnd::Stopped => return Ok(NextWave::Stopped),
            }
        }
        Ok(NextWave::Done)
    }

    fn ready(&self, wave: Wave, lookup: &BoundLookup, loaded: LoadedMap) -> ReadyWave {
        let enricher = Enricher::new(
            loaded.map,
            loaded.memory,
            loaded.longest,
            self.miss.clone(),
            lookup.nullable_keys(),
            self.sampler.clone(),
        );
        let deferred_lookup = self
            .plan
            .scope
            .window
            .map(|window| Arc::new(DeferredLookup::new(self.shared.clone(), window)));
        ReadyWave { wave, enricher: Arc::new(enricher), deferred_lookup }
    }

    /// Streams the wave's pending chunks. Returns whether all of them were streamed and
    /// acknowledged.
    pub(super) async fn stream(&self, ready: ReadyWave) -> Result<bool, PipelineError> {
        let ReadyWave { wave, enricher, deferred_lookup } = ready;
        let shared = self.shared;
        let list = self.plan.chunks.get(wave.chunks.clone()).unwrap_or_default();
        let list: Vec<_> = self.work.left_of(list).cloned().collect();
        let readers = shared.options.readers.most().min(list.len().max(1));
        let scope = self.plan.scope.in_bucket(wave.bucket);
        let span = spans::wave(wave.number + 1, list.len());
        let chunks = ChunkList::new(list);
        let (sender, receiver) = queue(shared.options.queue_bytes, shared.counters.clone());
        let book = self.book.clone();
        let division = Arc::new(Division::new(shared.clone(), self.plan, wave.bucket));
        let blocks = BlockReading::of(&shared.options, &shared.job, self.plan).map(Arc::new);
        let reading =
            Reading { scope, enricher, deferred_lookup, division, blocks, book, queue: sender };
        let mut tasks = JoinSet::new();
        for _ in 0..readers {
            let read = read_chunks(shared.clone(), chunks.clone(), reading.clone());
            tasks.spawn(read.instrument(span.clone()));
        }
        // The inserters end when the last reader drops its end of the queue. The map is dropped with
        // the last reader.
        drop(reading);
        // The number of inserters may be raised during the run. Those without a permit wait.
        for _ in 0..shared.throttle.limits().inserters_most {
            let insert = insert_batches(shared.clone(), receiver.clone());
            tasks.spawn(insert.instrument(span.clone()));
        }
        drop(receiver);
        let ended = poll_fn(|context| tasks.poll_join_next(context));
        shared
            .all_ended(
                ended
                    .map(|ended| ended.unwrap_or_else(|error| Err(PipelineError::of_task(&error)))),
            )
            .await
    }
}

/// How the load of a wave's attributes ended.
enum LoadEnd {
    /// All rows are in the map.
    Map(LoadedMap),
    /// The map exceeded the wave's limit after this many rows, and was dropped. `longest`: the bytes
    /// of the longest row.
    TooLarge { rows: u64, longest: u64 },
    /// The run stops.
    Stopped,
}

/// A wave's attributes.
struct LoadedMap {
    map: Arc<FrozenLookupMap>,
    memory: MapMemory,
    /// Rows that were loaded, all versions.
    rows: u64,
    /// The most bytes that the map took.
    peak_bytes: u64,
    /// The bytes of the longest row.
    longest: usize,
}

/// Loads all versions of the wave's lookup rows. The map keeps the newest version of each key.
///
/// A stream that breaks is read again from its beginning into the same map. Rows that come twice
/// change nothing.
///
/// # Errors
/// [`PipelineError::Lookup`].
async fn load_attributes(
    shared: &Shared,
    lookup: &BoundLookup,
    window: Option<LookupTimes>,
    wave: &Wave,
) -> Result<LoadEnd, PipelineError> {
    let failed = |attempts: u32, source: ReadError| PipelineError::Lookup {
        table: lookup.table.name.clone(),
        attempts,
        source: source.into(),
    };
    let sql = statements::lookup(lookup, window, wave.lookup_range.as_deref(), wave.bucket);
    let mut load = AttributeLoad::new(shared, lookup, sql, wave.limit_bytes);
    let read = tokio::select! {
        read = shared.at_source().run(&mut load) => read,
        () = shared.stop.reading_ends() => return Ok(LoadEnd::Stopped),
    };
    match read {
        Ok(Fit::Fits) => {}
        Ok(Fit::TooLarge) => {
            load.tally.take_back();
            let loader = &load.loader;
            return Ok(LoadEnd::TooLarge {
                rows: loader.rows(),
                longest: loader.longest_row_bytes() as u64,
            });
        }
        Err(RetryError::GaveUp { attempts, error }) => {
            shared.counters.errors.add(1);
            return Err(failed(attempts, error));
        }
        Err(RetryError::Lost { outage, .. }) => return Err(shared.lost(outage)),
        Err(RetryError::Interrupted { .. }) => return Ok(LoadEnd::Stopped),
    }
    let attempts = load.attempts;
    load.finish().await.map(LoadEnd::Map).map_err(|error| match error {
        FreezeError::Lookup(error) => failed(attempts, error.into()),
        FreezeError::Task(words) => PipelineError::Task(words),
    })
}

/// Whether the map fits the wave's limit.
enum Fit {
    Fits,
    TooLarge,
}

enum FreezeError {
    Lookup(LookupError),
    Task(String),
}

/// The load of a wave's attributes.
struct AttributeLoad<'a> {
    shared: &'a Shared,
    lookup: &'a BoundLookup,
    sql: String,
    /// The number of the current attempt.
    attempts: u32,
    loader: Loader,
    tally: LoadTally,
    memory: MapMemory,
    limit_bytes: u64,
    peak_bytes: u64,
}

impl<'a> AttributeLoad<'a> {
    fn new(shared: &'a Shared, lookup: &'a BoundLookup, sql: String, limit_bytes: u64) -> Self {
        let shape = LoaderShape {
            key_columns: lookup.keys.len(),
            nullable_keys: lookup.nullable_keys(),
            version: lookup.version.as_ref().map(|version| version.encoding),
            deleted: lookup.deleted.is_some(),
            attribute_columns: lookup.columns.len(),
        };
        let loader = Loader::new(lookup.layout.clone(), shape, shared.options.max_row_bytes);
        let counters = &shared.counters;
        let (tally, memory) = (LoadTally::new(counters.clone()), MapMemory::new(counters.clone()));
        Self { shared, lookup, sql, attempts: 1, loader, tally, memory, limit_bytes, peak_bytes: 0 }
    }

    fn note_memory(&mut self) -> u64 {
        let bytes = self.loader.memory_bytes() as u64;
        self.memory.set(bytes);
        self.peak_bytes = self.peak_bytes.max(bytes);
        bytes
    }

    /// Freezes the map, which takes seconds for many millions of keys.
    async fn finish(mut self) -> Result<LoadedMap, FreezeError> {
        let longest = self.loader.longest_row_bytes();
        let (rows, loader) = (self.loader.rows(), self.loader);
        let frozen = tokio::task::spawn_blocking(move || loader.finish()).await;
        let map = frozen
            .map_err(|error| FreezeError::Task(error.to_string()))?
            .map_err(FreezeError::Lookup)?;
        self.tally.set_keys(map.len() as u64);
        self.memory.set(map.memory_bytes() as u64);
        let (map, memory, peak_bytes) = (Arc::new(map), self.memory, self.peak_bytes);
        Ok(LoadedMap { map, memory, rows, peak_bytes, longest })
    }
}

impl Retryable for AttributeLoad<'_> {
    type Output = Fit;
    type Error = ReadError;

    async fn attempt(&mut self) -> Result<Fit, ReadError> {
        let settings = statements::lookup_settings(&self.shared.job);
        let mut stream = self.shared.servers.source.stream("lookup", &self.sql, &settings)?;
        let (mut next_check, mut unchecked_bytes) = (0, 0);
        while let Some(piece) = stream.next().await? {
            let rows = self.loader.push::<ReadError>(&piece)?;
            self.tally.add(rows, piece.len() as u64, self.loader.keys() as u64);
            unchecked_bytes += piece.len() as u64;
            if self.loader.rows() >= next_check || unchecked_bytes >= self.limit_bytes / 8 {
                next_check = self.loader.rows() + ROWS_PER_MEMORY_CHECK;
                unchecked_bytes = 0;
                // A row that will not fit is not received first.
                let coming = self.loader.incomplete_row_bytes() as u64;
                if self.note_memory().saturating_add(coming) > self.limit_bytes {
                    return Ok(Fit::TooLarge);
                }
            }
            // Many small pieces may be ready at once: other tasks must run as well.
            tokio::task::consume_budget().await;
        }
        self.loader.end_of_stream()?;
        let bytes = self.note_memory();
        Ok(if bytes > self.limit_bytes { Fit::TooLarge } else { Fit::Fits })
    }

    async fn diagnose(&mut self, error: &ReadError) -> FailureKind {
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ReadError>) {
        let FailedAttempt { number, error, pause, cause } = failed;
        tracing::warn!(table = %self.lookup.table.name, attempt = number, pause_ms = milliseconds(pause), %error, "loading attributes broke off, trying again");
        self.attempts =
            number + u32::from(!matches!(cause, RetryCause::Outage | RetryCause::OutOfSpace));
        self.loader.rewind();
        self.tally.take_back();
    }
}
