//! The late query: asking the server for keys, with retries.

use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use crate::clickhouse::Settings;
use crate::engine::stream::error::ReadError;
use crate::engine::stream::shared::Shared;
use crate::formats::rowbinary::RowFramer;
use crate::job::BoundLookup;
use crate::job::statements::{self, KeyBytes, LookupTimes};
use crate::retry::{FailedAttempt, Failure, RetryError, Retryable, milliseconds};

/// The attributes of the keys that were found.
pub(super) type Found = HashMap<Box<[u8]>, Arc<[u8]>, RandomState>;

/// How asking ended.
pub(super) enum Asked {
    /// With an answer of so many bytes.
    Found { found: Found, bytes: usize },
    /// With a larger answer than is allowed: fewer keys must be asked for.
    TooLarge,
    /// The run is stopping.
    Stopped,
}

/// Asks for keys. The answer for a single key may have any size.
///
/// # Errors
/// [`ReadError::Late`] when all retries are used up, [`ReadError::Lost`] where the server stays
/// away.
pub(super) async fn ask(
    shared: &Shared,
    lookup: &BoundLookup,
    window: LookupTimes,
    keys: &[KeyBytes<'_>],
    limit_bytes: usize,
) -> Result<Asked, ReadError> {
    let sql = statements::deferred_lookup(lookup, window, keys);
    let settings = statements::deferred_lookup_settings(&shared.job, sql.len());
    let limit_bytes = if keys.len() > 1 { limit_bytes } else { usize::MAX };
    let mut query = LateQuery { shared, lookup, keys: keys.len(), sql, settings, limit_bytes };
    match shared.at_source().run(&mut query).await {
        Ok(asked) => Ok(asked),
        Err(RetryError::GaveUp { attempts, error }) => Err(ReadError::Late {
            table: lookup.table.name.clone(),
            attempts,
            source: Box::new(error),
        }),
        Err(RetryError::Lost { outage, .. }) => Err(ReadError::Lost(outage)),
        Err(RetryError::Interrupted { .. }) => Ok(Asked::Stopped),
    }
}

struct LateQuery<'a> {
    shared: &'a Shared,
    lookup: &'a BoundLookup,
    keys: usize,
    sql: String,
    settings: Settings,
    limit_bytes: usize,
}

impl Retryable for LateQuery<'_> {
    type Output = Asked;
    type Error = ReadError;

    async fn attempt(&mut self) -> Result<Asked, ReadError> {
        read(self.shared, self.lookup, &self.sql, &self.settings, self.limit_bytes).await
    }

    async fn diagnose(&mut self, error: &ReadError) -> Failure {
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ReadError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        tracing::warn!(table = %self.lookup.table.name, keys = self.keys, attempt = number, pause_ms = milliseconds(pause), %error, "looking up keys outside of the window broke off, trying again");
    }
}

async fn read(
    shared: &Shared,
    lookup: &BoundLookup,
    sql: &str,
    settings: &Settings,
    limit_bytes: usize,
) -> Result<Asked, ReadError> {
    let mut stream = shared.servers.source.stream("late", sql, settings)?;
    let mut framer = RowFramer::new(lookup.deferred_layout.clone(), shared.options.max_row_bytes);
    let mut found = Found::default();
    let mut bytes = 0;
    while let Some(piece) = stream.next().await? {
        framer.push(&piece, &mut |group| {
            for row in group {
                // The last byte ends the row.
                let attributes =
                    row.payload().split_last().map_or(&[][..], |(_, attributes)| attributes);
                found.insert(Box::from(row.marked_columns()), Arc::from(attributes));
            }
            Ok::<(), ReadError>(())
        })?;
        bytes += piece.len();
        if bytes > limit_bytes {
            return Ok(Asked::TooLarge);
        }
        tokio::task::consume_budget().await;
    }
    framer.finish()?;
    tracing::debug!(found = found.len(), bytes, "keys were looked up outside of the window");
    Ok(Asked::Found { found, bytes })
}
