//! Loading a wave's attributes into the map.

use std::sync::Arc;

use tokio::time::sleep;

use super::error::{PipelineError, ReadError};
use super::retry::{Decision, milliseconds, read_class};
use super::run::Shared;
use crate::job::BoundLookup;
use crate::job::statements;
use crate::job::statements::Scope;
use crate::lookup::{FrozenLookupMap, Loader, LoaderShape, LookupError};

/// Loads all versions of the scope's lookup rows; the map keeps the newest of each key.
///
/// A stream that breaks is read again from its beginning into the same map: rows that came twice change nothing.
///
/// # Errors
/// [`PipelineError::Lookup`]; `Ok(None)` where stopping was asked for.
pub(super) async fn load(shared: &Shared, lookup: &BoundLookup, scope: &Scope) -> Result<Option<Arc<FrozenLookupMap>>, PipelineError> {
    let failed =
        |attempts: u32, source: ReadError| PipelineError::Lookup { table: lookup.table.name.clone(), attempts, source: source.into() };
    let shape = LoaderShape {
        key_columns: lookup.keys.len(),
        nullable_keys: lookup.nullable_keys(),
        version: lookup.version.as_ref().map(|version| version.encoding),
        deleted: lookup.deleted.is_some(),
        attribute_columns: lookup.columns.len(),
    };
    let mut loader = Loader::new(lookup.layout.clone(), shape, shared.options.max_row_bytes);
    let mut attempt = 1;
    loop {
        let read = tokio::select! {
            read = read(shared, lookup, scope, &mut loader) => read,
            () = shared.stop.reading_ends() => return Ok(None),
        };
        let Err(error) = read else { break };
        match shared.options.retry.decide(read_class(&error), attempt) {
            Decision::RetryAfter(pause) => {
                shared.counters.retries.add(1);
                tracing::warn!(table = %lookup.table.name, attempt, pause_ms = milliseconds(pause), error = %error, "loading attributes broke off, trying again");
                loader.rewind();
                shared.counters.lookup_rows.set(0);
                shared.counters.lookup_bytes.set(0);
                tokio::select! {
                    () = sleep(pause) => attempt += 1,
                    () = shared.stop.reading_ends() => return Ok(None),
                }
            }
            Decision::GiveUp => {
                shared.counters.errors.add(1);
                return Err(failed(attempt, error));
            }
        }
    }
    let map = loader.finish().map_err(|error: LookupError| failed(attempt, error.into()))?;
    shared.counters.lookup_keys.set(map.len() as u64);
    shared.counters.lookup_memory_bytes.set(map.memory_bytes() as u64);
    Ok(Some(Arc::new(map)))
}

async fn read(shared: &Shared, lookup: &BoundLookup, scope: &Scope, loader: &mut Loader) -> Result<(), ReadError> {
    let sql = statements::lookup(lookup, scope.window, None);
    let mut stream = shared.connection.stream("lookup", &sql, &statements::lookup_settings(&shared.job))?;
    while let Some(piece) = stream.next().await? {
        let rows = loader.push::<ReadError>(&piece)?;
        shared.counters.lookup_rows.add(rows);
        shared.counters.lookup_bytes.add(piece.len() as u64);
        shared.counters.lookup_keys.set(loader.keys() as u64);
        if loader.rows().is_multiple_of(64) {
            shared.counters.lookup_memory_bytes.set(loader.memory_bytes() as u64);
        }
        // Many small pieces may lie ready at once; others want to run as well.
        tokio::task::consume_budget().await;
    }
    Ok(loader.end_of_stream()?)
}
