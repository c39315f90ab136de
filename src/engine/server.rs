//! The server engine: the server fills each chunk by one `INSERT … SELECT` of the equivalent join, and
//! no row passes through the client.
//!
//! ```text
//! chunks ─► permit ─► INSERT … SELECT <join of the chunk> ─► count of its rows ─► report
//! ```
//!
//! Such an insert goes on when its client is gone. So an attempt that follows one of unknown outcome
//! first kills it, by the prefix of its id: an insert that ends late would bring back attributes that
//! were replaced in the meantime.

mod chunk_insert;
mod progress;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chunk_insert::{ChunkInsert, direct};
use futures::stream::FuturesUnordered;
use progress::{LABEL, watched};
use serde::Deserialize;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::stream::concurrency::Permit;
use super::stream::counters::Phase;
use super::stream::division::{Division, LONG, PARTS};
use super::stream::error::{FillError, PipelineError};
use super::stream::reader::ChunkList;
use super::stream::report::{ChunkAttempt, ChunkBook, KeyShare, Matched, ReadTally};
use super::stream::shared::{PipelineOptions, Shared, Work, insert_memory_bytes};
use crate::clickhouse::{Connection, Error as ServerError, InsertSummary, Servers, Settings};
use crate::job::statements::{self, Scope};
use crate::job::{BoundJob, Publish};
use crate::plan::{Chunk, Plan};
use crate::retry::{FailedAttempt, FailureKind, RetryError, Retryable, milliseconds};
use crate::spans;

/// How long the server may take to end an insert that is killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(60);
/// The same when the run stops.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(10);

/// Tries the statement of a chunk on no rows: missing grants, and types or settings that do not fit,
/// are found before a row moves.
///
/// # Errors
/// The server's error.
pub(crate) async fn try_statement(
    servers: &Servers,
    job: &BoundJob,
    options: &PipelineOptions,
) -> Result<(), ServerError> {
    // No partition has this id. With a range, the look-up is limited to the keys of no row as well:
    // its whole table would be read otherwise.
    let scope = Scope::of_nothing().within(Some("1"));
    // The stage is not there yet.
    let is_kept = !options.dry_run && job.publish == Publish::InPlace;
    let sql = direct(servers, job, &scope, !is_kept);
    servers.target.insert("preflight", &sql, &settings(job, options), &[]).await
}

/// Fills the pending chunks of the plan. Returns whether all of them were filled; those that failed
/// are in the book.
///
/// # Errors
/// [`PipelineError`]: the run cannot go on.
pub(super) async fn fill_chunks(
    shared: &Arc<Shared>,
    plan: &Plan,
    work: &Work,
    book: &Arc<ChunkBook>,
) -> Result<bool, PipelineError> {
    shared.counters.enter(Phase::Stream);
    let chunks = ChunkList::new(work.left_of(&plan.chunks).cloned().collect());
    let settings = settings(&shared.job, &shared.options);
    let division = Division::new(Arc::clone(shared), plan, None);
    let filler = ChunkFiller { shared, scope: &plan.scope, book, settings, division };
    // The number of inserters may be raised during the run. Those without a permit wait.
    let fillers: FuturesUnordered<_> =
        (0..shared.throttle.limits().inserters_most).map(|_| filler.fill(&chunks)).collect();
    // An insert whose future is dropped would go on at the server.
    watched(&shared.servers.target, &shared.counters, shared.all_ended(fillers)).await
}

fn settings(job: &BoundJob, options: &PipelineOptions) -> Settings {
    statements::insert_join_settings(job, options.batch_rows, options.batch_bytes)
}

/// The server's memory for the insert of a chunk, estimated: that of a batch, and that of the read
/// which feeds it. What is looked up is limited to the keys of the chunk.
pub(crate) fn chunk_memory_bytes(batch_bytes: u64, target_columns: usize, read_bytes: u64) -> u64 {
    insert_memory_bytes(batch_bytes, target_columns).saturating_add(read_bytes)
}

/// What the chunks of a run have in common.
struct ChunkFiller<'a> {
    shared: &'a Arc<Shared>,
    scope: &'a Scope,
    book: &'a Arc<ChunkBook>,
    settings: Settings,
    division: Division,
}

/// How the filling of a chunk ended.
enum FillEnd {
    Filled {
        rows: u64,
    },
    Failed,
    Stopped,
    /// The chunk was divided into these parts.
    Divided(Vec<Chunk>),
}

impl ChunkFiller<'_> {
    /// Fills one chunk after another. Returns whether none was left.
    async fn fill(&self, chunks: &ChunkList) -> Result<bool, PipelineError> {
        let Self { shared, book, .. } = *self;
        loop {
            // Waiting must not keep a run from ending that has no chunk left.
            if chunks.is_empty() {
                return Ok(true);
            }
            let permit = tokio::select! {
                permit = self.permit() => permit,
                () = shared.stop.reading_ends() => return Ok(chunks.is_empty()),
            };
            if shared.throttle.waits() {
                continue;
            }
            let Some(chunk) = chunks.take() else { return Ok(true) };
            if book.is_failed(chunk.id) {
                continue;
            }
            let span = spans::chunk(&chunk.id);
            match self.fill_unless_abandoned(&chunk, permit).instrument(span).await? {
                FillEnd::Filled { rows } => {
                    // The rows stand for the work.
                    shared.throttle.inserting.finished(rows, !chunks.is_empty());
                    shared.throttle.rows_read(rows, 0).await;
                }
                FillEnd::Failed => {}
                FillEnd::Divided(parts) => chunks.put_back(parts),
                FillEnd::Stopped => return Ok(false),
            }
        }
    }

    async fn permit(&self) -> Permit {
        self.shared.throttle.opened().await;
        self.shared.throttle.inserting.permit().await
    }

    async fn fill_unless_abandoned(
        &self,
        chunk: &Chunk,
        permit: Permit,
    ) -> Result<FillEnd, PipelineError> {
        let Self { shared, .. } = *self;
        let _busy = shared.counters.activities.inserting.begin();
        let _flight = shared.counters.in_flight.begin();
        shared.counters.inserts_in_flight.add(1);
        let label = format!("{LABEL}{}", chunk.id);
        let end = tokio::select! {
            end = self.fill_with_retries(chunk, &label, permit) => end,
            () = shared.stop.abandoning() => {
                abandon(&shared.servers.target, &label).await;
                Ok(FillEnd::Stopped)
            }
        };
        shared.counters.inserts_in_flight.take(1);
        end
    }

    async fn fill_with_retries(
        &self,
        chunk: &Chunk,
        label: &str,
        permit: Permit,
    ) -> Result<FillEnd, PipelineError> {
        let Self { shared, .. } = *self;
        let scope = self.scope.within(chunk.range.as_deref());
        let mut task = ChunkFill {
            filler: self,
            chunk,
            label,
            insert: ChunkInsert::of(&shared.servers, &shared.job, &scope, &shared.options),
            count: statements::count_matches(&shared.job, &scope),
            permit: Some(permit),
            attempt: None,
            left_behind: false,
            inserted: None,
            began: Instant::now(),
            parts: self.division.wanted(chunk, shared.throttle.limits().inserters),
            awaits_source: false,
        };
        match shared.at_target().run(&mut task).await {
            Ok(end) => Ok(end),
            Err(RetryError::GaveUp { error: FillError::Lost(outage), .. }) => {
                Err(shared.lost(outage))
            }
            Err(RetryError::GaveUp { attempts, error }) => {
                let (table, chunk) = (shared.job.target.name.clone(), chunk.id);
                let source = Box::new(error);
                let error = PipelineError::Fill { table, chunk, attempts, source };
                let Some(attempt) = &task.attempt else { return Err(error) };
                shared.fail_chunk(attempt, error)?;
                Ok(FillEnd::Failed)
            }
            Err(RetryError::Lost { outage, .. }) => Err(shared.lost(outage)),
            Err(RetryError::Interrupted { .. }) => Ok(FillEnd::Stopped),
        }
    }
}

/// The filling of one chunk.
struct ChunkFill<'a> {
    filler: &'a ChunkFiller<'a>,
    chunk: &'a Chunk,
    /// Of its queries' ids.
    label: &'a str,
    insert: ChunkInsert,
    count: String,
    /// `None` between attempts.
    permit: Option<Permit>,
    /// The last attempt.
    attempt: Option<Arc<ChunkAttempt>>,
    /// Whether an insert of an earlier attempt may still run.
    left_behind: bool,
    /// The insert that was acknowledged, so that only its rows are left to count.
    inserted: Option<InsertSummary>,
    /// When the last attempt began.
    began: Instant,
    /// Into how many parts the chunk is to be divided before the next attempt.
    parts: Option<usize>,
    /// Whether the source's server is waited for before the next attempt.
    awaits_source: bool,
}

impl ChunkFill<'_> {
    /// Divides the chunk if it is to be divided. Its parts, if it was.
    async fn divide(&mut self) -> Result<Option<Vec<Chunk>>, ServerError> {
        let ChunkFiller { shared, book, division, .. } = self.filler;
        let Some(parts) = self.parts.filter(|_| self.inserted.is_none()) else { return Ok(None) };
        if self.left_behind {
            end_query(&shared.servers.target, self.label).await?;
            self.left_behind = false;
        }
        self.parts = None;
        Ok(division.divide(self.chunk, parts, book).await)
    }

    /// Waits until the source's server responds, if the target's server may have failed to reach it: the
    /// target's own server is waited for elsewhere.
    async fn await_source(&mut self) -> Result<(), FillError> {
        if !std::mem::take(&mut self.awaits_source) {
            return Ok(());
        }
        let ChunkFiller { shared, .. } = self.filler;
        let source = &shared.servers.source;
        let asked = shared.at_source().ask("reaching the source", async || source.ping().await);
        asked.await.map_err(|error| match error {
            RetryError::Lost { outage, .. } => FillError::Lost(outage),
            other => other.into_error().into(),
        })
    }

    /// Fills the chunk, unless an earlier attempt has.
    async fn insert(&mut self) -> Result<InsertSummary, ServerError> {
        if let Some(inserted) = self.inserted {
            return Ok(inserted);
        }
        let ChunkFiller { shared, settings, .. } = self.filler;
        let target = &shared.servers.target;
        if self.left_behind {
            end_query(target, self.label).await?;
        }
        shared.confirm_claim().await?;
        // One that fails may have inserted some of its blocks.
        shared.counters.uncertain_inserts.add(1);
        let sent = Instant::now();
        let sql = self.insert.next(self.chunk.id);
        let inserted = target.insert_selected(self.label, &sql, settings).await?;
        shared.counters.insert_latency.note(sent.elapsed());
        shared.counters.recent_inserts.note(sent.elapsed());
        Ok(*self.inserted.insert(inserted))
    }
}

impl Retryable for ChunkFill<'_> {
    type Output = FillEnd;
    type Error = FillError;

    async fn attempt(&mut self) -> Result<FillEnd, FillError> {
        let ChunkFiller { shared, book, .. } = self.filler;
        if self.permit.is_none() {
            self.permit = Some(self.filler.permit().await);
        }
        self.await_source().await?;
        if let Some(parts) = self.divide().await? {
            return Ok(FillEnd::Divided(parts));
        }
        self.began = Instant::now();
        let share = KeyShare::of(None);
        let attempt =
            ChunkAttempt::begin(self.chunk.id, share, Arc::clone(book), shared.counters.clone());
        self.attempt = Some(attempt.clone());
        let filled = async {
            let inserted = self.insert().await?;
            let Servers { source, target, .. } = &shared.servers;
            let settings = statements::count_settings(&shared.job);
            let found = source.row_with::<Matches>("matches", &self.count, &settings).await?;
            let checked = self.insert.check(target, found.rows).await;
            if let Err(FillError::Staged { .. }) = &checked {
                // The attempt does not count, whatever comes of it.
                self.inserted = None;
            }
            checked.map(|()| (inserted, found))
        };
        let (inserted, found) = filled.await.inspect_err(|_| attempt.give_up())?;
        attempt.staged(self.insert.stage_attempt());
        attempt.batch_queued();
        attempt.read(found.tally(inserted.read_bytes));
        attempt.batch_acknowledged(found.rows, inserted.written_bytes, 0);
        attempt.stream_ended();
        shared.pace.read(found.rows, self.began.elapsed());
        Ok(FillEnd::Filled { rows: found.rows })
    }

    async fn diagnose(&mut self, error: &FillError) -> FailureKind {
        self.left_behind |= error.may_have_inserted();
        self.awaits_source = self.filler.shared.servers.remote_source().is_some();
        if error.is_out_of_memory() || self.began.elapsed() >= LONG {
            self.parts = Some(PARTS);
        }
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, FillError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        self.filler.shared.throttle.inserting.refused(error.is_out_of_memory());
        self.permit = None;
        let chunk = self.chunk.id;
        let next = if self.inserted.is_some() {
            "its rows are counted again"
        } else {
            "it is filled again"
        };
        tracing::warn!(%chunk, attempt = number, pause_ms = milliseconds(pause), %error, "filling a chunk failed, {next}");
    }
}

/// The rows of a chunk by what they found.
#[derive(Deserialize)]
struct Matches {
    rows: u64,
    matched: u64,
    matched_late: u64,
}

impl Matches {
    fn tally(&self, bytes: u64) -> ReadTally {
        let Self { rows, matched: in_window, matched_late: late } = *self;
        let not = rows.saturating_sub(in_window + late);
        ReadTally { rows, bytes, matched: Matched { in_window, late, not } }
    }
}

/// Kills the inserts of this label that still run, and waits until they have ended.
///
/// # Errors
/// The server's error, or that it did not end them in time.
async fn end_query(target: &Connection, label: &str) -> Result<(), ServerError> {
    let killed = timeout(KILL_TIMEOUT, target.end_queries(label)).await;
    let late = ServerError::Timeout { what: "ending an insert", after: KILL_TIMEOUT };
    killed.unwrap_or(Err(late))
}

/// Kills the inserts of this label, as far as the server does so in time.
async fn abandon(target: &Connection, label: &str) {
    match timeout(ABANDON_TIMEOUT, end_query(target, label)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(label, %error, "the insert of a chunk cannot be killed; it ends by itself");
        }
        Err(_) => {
            tracing::warn!(label, "the insert of a chunk was killed and has not ended yet");
        }
    }
}
