//! The pipeline: runs a plan wave by wave, and checks the number of rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::sleep;

use super::batch_size::BatchSize;
use super::counters::{Counters, Phase};
use super::enrich::RowSampler;
use super::error::PipelineError;
use super::pace::Pace;
use super::report::ChunkBook;
use super::shared::{PipelineOptions, Shared, SourceCount, WindowAdvice, Work};
use super::sweep::sweep;
use super::throttle::Throttle;
use super::wave::{NextWave, WaveContext};
use crate::clickhouse::{Connection, Servers};
use crate::engine::{Engine, server};
use crate::job::BoundJob;
use crate::job::statements::{self, Scope};
use crate::plan::{Changes, Plan};
use crate::retry::{OutageGuard, RetryError};
use crate::stop::Stop;

/// A plan that is ready to run.
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    sampler: Option<Arc<RowSampler>>,
}

/// What a run gave that ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Whether every pending chunk was streamed and acknowledged. A run that was stopped is not
    /// complete; what was acknowledged stays.
    pub is_complete: bool,
    /// Rows of the whole partition; where that was asked for, and not cut off by a stop.
    pub counted: Option<SourceCount>,
}

impl Pipeline {
    /// Makes a pipeline. Nothing is sent yet.
    pub(crate) fn new(
        servers: Servers,
        job: Arc<BoundJob>,
        options: PipelineOptions,
        counters: Arc<Counters>,
        stop: Stop,
        sampler: Option<Arc<RowSampler>>,
        throttle: Arc<Throttle>,
    ) -> Self {
        let source_settings = options.source_settings(&job);
        let native = options.native();
        let insert_sql = if options.dry_run {
            statements::dry_run(&job, native)
        } else {
            statements::insert(&job, native)
        };
        let insert_settings = options.insert_settings(&job);
        let guard = |connection: &Connection| {
            Arc::new(OutageGuard::new(connection, counters.clone(), options.outage_wait))
        };
        let target_guard = guard(&servers.target);
        let source_guard =
            if servers.is_one_server() { target_guard.clone() } else { guard(&servers.source) };
        let batch_size =
            Arc::new(BatchSize::adaptive(options.batch_rows, options.least_batch_rows));
        let shared = Shared {
            servers,
            job,
            options,
            counters,
            stop,
            source_settings,
            insert_sql,
            insert_settings,
            throttle,
            source_guard,
            target_guard,
            window_advice: WindowAdvice::default(),
            large_rows: Arc::new(Semaphore::new(1)),
            long_answers: (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1))),
            pace: Pace::default(),
            batch_size,
            send_timeout: OnceCell::new(),
            block_buffers: Arc::default(),
        };
        Self { shared: Arc::new(shared), sampler }
    }

    /// The numbers of readers and inserters now.
    pub(crate) fn levels(&self) -> (usize, usize) {
        let limits = self.shared.throttle.limits();
        (limits.readers, limits.inserters)
    }

    /// Sends an insert without rows, so that missing grants and types or settings that do not fit are
    /// found before a row moves.
    ///
    /// # Errors
    /// The server's error.
    pub(crate) async fn preflight(&self) -> Result<(), crate::clickhouse::Error> {
        let Shared { servers, insert_sql, insert_settings, .. } = &*self.shared;
        let insert = async || match self.shared.options.engine {
            Engine::Stream => {
                servers.target.insert("preflight", insert_sql, insert_settings, &[]).await
            }
            Engine::Server => {
                server::try_statement(servers, &self.shared.job, &self.shared.options).await
            }
        };
        self.shared
            .at_target()
            .ask("trying the insert without rows", insert)
            .await
            .map_err(RetryError::into_error)
    }

    /// Runs until the work is done or the run stops.
    ///
    /// # Errors
    /// [`PipelineError`]. All tasks have ended then.
    pub(crate) async fn run(&self, plan: &Plan, work: &Work) -> Result<Ran, PipelineError> {
        let shared = &self.shared;
        let pending = work.left_of(&plan.chunks).count();
        shared.counters.chunks.set(pending as u64);
        shared.counters.chunks_pending.set(pending as u64);
        shared.counters.chunk_states.plan(&plan.chunks, work.left_of(&plan.chunks));
        let (reports, begun) = (work.reports.clone(), work.begun.clone());
        let book = Arc::new(ChunkBook::new(reports, begun, shared.counters.clone()));
        let counting = async {
            if !work.count {
                return Ok(None);
            }
            let mut counted = tokio::select! {
                counted = self.count_scope(&plan.scope) => counted?,
                () = shared.stop.reading_ends() => return Ok(None),
            };
            // Chunks that were read earlier may have had other rows.
            counted.keys = counted.keys.filter(|_| pending == plan.chunks.len());
            let expected = counted.rows.saturating_sub(work.rows_before);
            shared.counters.source_rows_expected.set(expected);
            if let Some(receiver) = &work.counted {
                // The receiver may be gone.
                let _ = receiver.send(counted);
            }
            Ok(Some(counted))
        };
        let filling = async {
            match shared.options.engine {
                Engine::Stream => Box::pin(self.run_waves(plan, work, book.clone())).await,
                Engine::Server => Box::pin(server::fill_chunks(shared, plan, work, &book)).await,
            }
        };
        let running = async { tokio::join!(counting, filling) };
        let (counted, is_complete) = self.drained(running).await;
        let is_complete = is_complete?;
        shared.counters.enter(Phase::Done);
        let failed = book.failed();
        if is_complete && !failed.is_empty() {
            let chunks = usize::try_from(shared.counters.chunks_pending.get()).unwrap_or(pending);
            return Err(PipelineError::Chunks { failed, chunks, gave_up: false });
        }
        let counted = if is_complete { counted? } else { counted.ok().flatten() };
        Ok(Ran { is_complete, counted })
    }

    /// Waits for the work. After a request to stop, inserts in flight are abandoned when the drain
    /// timeout is over.
    async fn drained<T>(&self, work: impl Future<Output = T>) -> T {
        let Shared { stop, options, .. } = &*self.shared;
        let too_late = async {
            stop.reading_ends().await;
            sleep(options.drain_timeout).await;
        };
        tokio::pin!(work);
        tokio::select! {
            ended = &mut work => return ended,
            () = too_late => {}
        }
        tracing::warn!(
            seconds = options.drain_timeout.as_secs_f64(),
            "inserts in flight were not acknowledged in time, they are left to themselves"
        );
        stop.abandon();
        work.await
    }

    /// Counts the partition's rows as the source query returns them, by a query that does not depend
    /// on chunks.
    ///
    /// # Errors
    /// [`PipelineError::Query`].
    pub(crate) async fn count(&self, plan: &Plan) -> Result<u64, PipelineError> {
        Ok(self.count_scope(&plan.scope).await?.rows)
    }

    async fn count_scope(&self, scope: &Scope) -> Result<SourceCount, PipelineError> {
        let (shared, what) = (&self.shared, "counting the rows");
        let (sql, settings) = (
            statements::count_with_keys(&shared.job, scope),
            statements::count_settings(&shared.job),
        );
        let source = &shared.servers.source;
        let counted = shared
            .at_source()
            .ask(what, async || source.row_with::<SourceCount>("count", &sql, &settings).await)
            .await;
        counted.map_err(|error| PipelineError::Query {
            what,
            table: shared.job.source.name.clone(),
            source: Box::new(error.into_error()),
        })
    }

    /// Compares the rows that all chunks returned, in all runs of the load, with the count: ranges
    /// that overlap or leave a gap, and granules that the server skipped, make a difference.
    /// `counted` is the count from the beginning of the load. If it differs, or the partition has changed since the
    /// plan was made, the rows are counted again: both counts together bound what is right, and if they
    /// or the keys of their rows differ, a warning says that the source was written to. `deletions` is
    /// the result of [`Self::sweep`].
    ///
    /// # Errors
    /// [`PipelineError::Count`] where there are too few or too many rows.
    pub(crate) async fn check_count(
        &self,
        plan: &Plan,
        counted: SourceCount,
        streamed: u64,
        deletions: Option<u64>,
    ) -> Result<(), PipelineError> {
        let (shared, before) = (&self.shared, counted.rows);
        let changes = self.changes(plan).await;
        if streamed == before && !changes.written && !changes.fewer_rows {
            return Ok(());
        }
        let now = self.count_scope(&plan.scope).await?;
        let after = now.rows;
        let bounded = (before.min(after)..=before.max(after)).contains(&streamed);
        if streamed != before && (after == before || !bounded) {
            shared.counters.errors.add(1);
            let table = shared.job.source.name.clone();
            return Err(PipelineError::Count { table, streamed, before, after });
        }
        let other_keys = || match counted.keys {
            Some(keys) if shared.job.counts_keys() => Some(keys) != now.keys,
            // Insertions and deletions may cancel out.
            _ => !shared.job.counts_keys() && changes.written,
        };
        let is_copied = streamed == before
            && deletions.is_some_and(|rows| rows > 0 && after.saturating_add(rows) == before);
        if is_copied || (after == before && !other_keys()) {
            if changes.updated {
                tracing::warn!(
                    "rows of the source were updated in place during the run, by ALTER or UPDATE; those that were read before may have \
                     their former values in the target: verify names them, and run --restart reads them again"
                );
            }
            return Ok(());
        }
        tracing::warn!(
            before,
            after,
            streamed,
            "the source was written to during the run; run it again when the partition is quiet"
        );
        if deletions.is_none() && !shared.options.dry_run {
            tracing::warn!(
                "rows that were deleted from the source after they were read are still in the target, because the job does not copy deletions: \
                 verify names them, and repair --remove removes them"
            );
        }
        Ok(())
    }

    /// How the partition has changed since the plan was made. If that cannot be asked, it counts as
    /// changed.
    async fn changes(&self, plan: &Plan) -> Changes {
        let (shared, what) = (&self.shared, "asking whether the partition has changed");
        let (source, table) = (&shared.servers.source, &shared.job.source);
        let changes = shared.at_source().ask(what, async || plan.changes(source, table).await);
        changes.await.unwrap_or(Changes { written: false, updated: false, fewer_rows: true })
    }

    /// Streams one wave after another, while the attributes of the next one are loaded. Returns
    /// whether all of them were streamed.
    async fn run_waves(
        &self,
        plan: &Plan,
        work: &Work,
        book: Arc<ChunkBook>,
    ) -> Result<bool, PipelineError> {
        let shared = &self.shared;
        if shared.job.lookup.is_some() {
            shared.counters.enter(Phase::Lookup);
        }
        let miss = tokio::select! {
            miss = self.miss() => miss?,
            () = shared.stop.reading_ends() => return Ok(false),
        };
        let context = WaveContext { shared, plan, work, sampler: self.sampler.clone(), book, miss };
        let mut planner = plan.waves.clone().only(&work.pending);
        let mut next = context.load_next(&mut planner).await?;
        while let NextWave::Ready(current) = next {
            shared.counters.enter(Phase::Stream);
            shared.counters.waves.add(1);
            if current.wave.bucket.is_some_and(|bucket| bucket.index > 0) {
                // The chunks of a wave with divided keys are read once for each part.
                let chunks = plan.chunks.get(current.wave.chunks.clone()).unwrap_or_default();
                let again = work.left_of(chunks).count();
                shared.counters.chunks.add(again as u64);
            }
            let loaded = AtomicBool::new(false);
            let streaming = async {
                let complete = context.stream(current).await;
                if !loaded.load(Ordering::Relaxed) {
                    shared.counters.enter(Phase::Lookup);
                }
                complete
            };
            let loading = async {
                let following = context.load_next(&mut planner).await;
                loaded.store(true, Ordering::Relaxed);
                following
            };
            let (complete, following) = tokio::join!(streaming, loading);
            if !complete? {
                return Ok(false);
            }
            next = following?;
        }
        Ok(!matches!(next, NextWave::Stopped))
    }

    /// Copies the deletions of source rows since the plan was made, once every chunk is done. Returns
    /// how many there were, or `None` if they are not copied.
    ///
    /// A failure is logged, and the load is still complete: the server may never be able to do
    /// this.
    pub(crate) async fn sweep(&self, plan: &Plan) -> Option<u64> {
        let swept = async { sweep(&self.shared, plan, &self.miss().await?).await };
        match swept.await {
            Ok(rows) => {
                if let Some(rows) = rows.filter(|rows| *rows > 0) {
                    tracing::info!(
                        rows,
                        "rows that were deleted in the source while the load was on are deleted in the target as well"
                    );
                }
                rows
            }
            Err(error) => {
                let reason = error.reason();
                tracing::warn!(
                    reason,
                    "rows that were deleted in the source while the load was on may be live in the target: verify finds them"
                );
                None
            }
        }
    }

    /// The attributes of a miss.
    async fn miss(&self) -> Result<Vec<u8>, PipelineError> {
        let Some(lookup) =
            self.shared.job.lookup.as_ref().filter(|lookup| !lookup.columns.is_empty())
        else {
            return Ok(Vec::new());
        };
        let settings = statements::lookup_settings(&self.shared.job);
        let (source, sql) = (&self.shared.servers.source, statements::miss(lookup));
        let what = "asking what a join that misses gives";
        let answer = self
            .shared
            .at_source()
            .ask(what, async || source.fetch_rows("miss", &sql, &settings).await)
            .await;
        answer.map_err(|error| PipelineError::Query {
            what,
            table: lookup.table.name.clone(),
            source: Box::new(error.into_error()),
        })
    }
}
