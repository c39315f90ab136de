//! Loading a wave's attributes into the map.

use std::sync::Arc;

use super::error::{PipelineError, ReadError};
use super::gauge::{LoadTally, MapMemory};
use super::shared::Shared;
use crate::job::BoundLookup;
use crate::job::statements::{self, LookupTimes};
use crate::lookup::{FrozenLookupMap, Loader, LoaderShape, LookupError};
use crate::plan::Wave;
use crate::retry::{FailedAttempt, Failure, RetryCause, RetryError, Retryable, milliseconds};

/// Memory is looked at after about so many rows: it takes time to add it up.
const ROWS_BETWEEN_LOOKS: u64 = 32_768;

/// How loading a wave ended.
pub(super) enum Loaded {
    /// All rows are in the map.
    Map(LoadedMap),
    /// The map outgrew the wave's limit after so many rows. It is gone.
    TooLarge {
        /// Rows that had been loaded.
        rows: u64,
    },
    /// Stopping was asked for.
    Stopped,
}

/// A wave's attributes.
pub(super) struct LoadedMap {
    pub map: Arc<FrozenLookupMap>,
    /// Lives as long as the map.
    pub memory: MapMemory,
    /// Rows that were loaded, all versions.
    pub rows: u64,
    /// The most bytes that the map took.
    pub peak_bytes: u64,
}

/// Loads all versions of the wave's lookup rows; the map keeps the newest of each key.
///
/// A stream that breaks is read again from its beginning into the same map: rows that come twice
/// change nothing.
///
/// # Errors
/// [`PipelineError::Lookup`].
pub(super) async fn load(
    shared: &Shared,
    lookup: &BoundLookup,
    window: Option<LookupTimes>,
    wave: &Wave,
) -> Result<Loaded, PipelineError> {
    let failed = |attempts: u32, source: ReadError| PipelineError::Lookup {
        table: lookup.table.name.clone(),
        attempts,
        source: source.into(),
    };
    let sql = statements::lookup(lookup, window, wave.lookup_range.as_deref(), wave.bucket);
    let mut loading = Loading::new(shared, lookup, sql, wave.limit_bytes);
    let read = tokio::select! {
        read = shared.at_source().run(&mut loading) => read,
        () = shared.stop.reading_ends() => return Ok(Loaded::Stopped),
    };
    match read {
        Ok(End::Complete) => {}
        Ok(End::TooLarge) => {
            loading.tally.take_back();
            return Ok(Loaded::TooLarge { rows: loading.loader.rows() });
        }
        Err(RetryError::GaveUp { attempts, error }) => {
            shared.counters.errors.add(1);
            return Err(failed(attempts, error));
        }
        Err(RetryError::Lost { outage, .. }) => return Err(shared.lost(outage)),
        Err(RetryError::Interrupted { .. }) => return Ok(Loaded::Stopped),
    }
    let attempts = loading.attempts;
    loading.finish().await.map(Loaded::Map).map_err(|error| match error {
        Finish::Lookup(error) => failed(attempts, error.into()),
        Finish::Task(words) => PipelineError::Task(words),
    })
}

enum End {
    Complete,
    TooLarge,
}

enum Finish {
    Lookup(LookupError),
    Task(String),
}

struct Loading<'a> {
    shared: &'a Shared,
    lookup: &'a BoundLookup,
    sql: String,
    /// The number of the attempt under way.
    attempts: u32,
    loader: Loader,
    tally: LoadTally,
    memory: MapMemory,
    limit_bytes: u64,
    peak_bytes: u64,
}

impl<'a> Loading<'a> {
    fn new(shared: &'a Shared, lookup: &'a BoundLookup, sql: String, limit_bytes: u64) -> Self {
        let shape = LoaderShape {
            key_columns: lookup.keys.len(),
            nullable_keys: lookup.nullable_keys(),
            version: lookup.version.as_ref().map(|version| version.encoding),
            deleted: lookup.deleted.is_some(),
            attribute_columns: lookup.columns.len(),
        };
        let loader = Loader::new(lookup.layout.clone(), shape, shared.options.max_row_bytes);
        let (tally, memory) =
            (LoadTally::new(shared.counters.clone()), MapMemory::new(shared.counters.clone()));
        Self { shared, lookup, sql, attempts: 1, loader, tally, memory, limit_bytes, peak_bytes: 0 }
    }

    fn note_memory(&mut self) -> u64 {
        let bytes = self.loader.memory_bytes() as u64;
        self.memory.set(bytes);
        self.peak_bytes = self.peak_bytes.max(bytes);
        bytes
    }

    /// Brings the map into its final form, which takes seconds for many millions of keys.
    async fn finish(mut self) -> Result<LoadedMap, Finish> {
        let (rows, loader) = (self.loader.rows(), self.loader);
        let frozen = tokio::task::spawn_blocking(move || loader.finish()).await;
        let map =
            frozen.map_err(|error| Finish::Task(error.to_string()))?.map_err(Finish::Lookup)?;
        self.tally.set_keys(map.len() as u64);
        self.memory.set(map.memory_bytes() as u64);
        Ok(LoadedMap { map: Arc::new(map), memory: self.memory, rows, peak_bytes: self.peak_bytes })
    }
}

impl Retryable for Loading<'_> {
    type Output = End;
    type Error = ReadError;

    async fn attempt(&mut self) -> Result<End, ReadError> {
        let settings = statements::lookup_settings(&self.shared.job);
        let mut stream = self.shared.servers.source.stream("lookup", &self.sql, &settings)?;
        let mut next_look = 0;
        while let Some(piece) = stream.next().await? {
            let rows = self.loader.push::<ReadError>(&piece)?;
            self.tally.add(rows, piece.len() as u64, self.loader.keys() as u64);
            if self.loader.rows() >= next_look {
                next_look = self.loader.rows() + ROWS_BETWEEN_LOOKS;
                if self.note_memory() > self.limit_bytes {
                    return Ok(End::TooLarge);
                }
            }
            // Many small pieces may lie ready at once; others want to run as well.
            tokio::task::consume_budget().await;
        }
        self.loader.end_of_stream()?;
        let bytes = self.note_memory();
        Ok(if bytes > self.limit_bytes { End::TooLarge } else { End::Complete })
    }

    async fn diagnose(&mut self, error: &ReadError) -> Failure {
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ReadError>) {
        let FailedAttempt { number, error, pause, cause } = failed;
        tracing::warn!(table = %self.lookup.table.name, attempt = number, pause_ms = milliseconds(pause), %error, "loading attributes broke off, trying again");
        self.attempts = number + u32::from(cause != RetryCause::Outage);
        self.loader.rewind();
        self.tally.take_back();
    }
}
