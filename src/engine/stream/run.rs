//! Running a plan, wave by wave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::sleep;

use super::count::{check_count, count};
use super::error::PipelineError;
use super::late::Advice;
use super::report::ChunkBook;
use super::shared::{PipelineOptions, Shared};
use super::sweep::sweep;
use super::throttle::Throttle;
use super::wave::{Next, WaveContext};
use super::work::Work;
use super::{Counters, Phase, Sampler};
use crate::clickhouse::{Connection, Servers};
use crate::job::BoundJob;
use crate::job::statements;
use crate::plan::Plan;
use crate::retry::{OutageGuard, RetryError};
use crate::stop::Stop;

/// A plan that is ready to run.
pub struct Pipeline {
    shared: Arc<Shared>,
    sampler: Option<Arc<Sampler>>,
}

/// What a run gave that ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// Rows of the whole partition, counted by a query that knows nothing of chunks; where that was
    /// asked for, and not cut off by a stop.
    pub counted: Option<u64>,
}

/// How a run ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every chunk that was to be done was streamed and acknowledged.
    Complete,
    /// Stopping was asked for. What was acknowledged stays.
    Stopped,
}

impl Pipeline {
    /// Puts a pipeline together, which is held back by `throttle`. Nothing is sent yet.
    pub fn new(
        servers: Servers,
        job: Arc<BoundJob>,
        options: PipelineOptions,
        counters: Arc<Counters>,
        stop: Stop,
        sampler: Option<Arc<Sampler>>,
        throttle: Arc<Throttle>,
    ) -> Self {
        let mut source_settings = statements::source_settings(&job);
        if let Some(rows) = options.stream_block_rows {
            source_settings = source_settings.with("max_block_size", &rows.to_string());
        }
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
            advice: Advice::default(),
        };
        Self { shared: Arc::new(shared), sampler }
    }

    /// How many chunks are read and how many batches are inserted at once, at this moment.
    pub fn levels(&self) -> (usize, usize) {
        let limits = self.shared.throttle.limits();
        (limits.readers, limits.inserters)
    }

    /// Sends an insert without rows: grants, types and settings that do not fit are found before a
    /// row moves.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn preflight(&self) -> Result<(), crate::clickhouse::Error> {
        let Shared { servers, insert_sql, insert_settings, .. } = &*self.shared;
        let insert =
            async || servers.target.insert("preflight", insert_sql, insert_settings, &[]).await;
        self.shared
            .at_target()
            .ask("trying the insert without rows", insert)
            .await
            .map_err(RetryError::into_error)
    }

    /// Does the work to its end, or until stopping is asked for.
    ///
    /// # Errors
    /// [`PipelineError`]. All tasks have ended then.
    pub async fn run(&self, plan: &Plan, work: &Work) -> Result<Ran, PipelineError> {
        let shared = &self.shared;
        let pending = plan.chunks.iter().filter(|chunk| work.is_pending(chunk.number)).count();
        shared.counters.chunks.set(pending as u64);
        shared.counters.chunks_pending.set(pending as u64);
        let book = Arc::new(ChunkBook::new(work.reports.clone()));
        let counting = async {
            if !work.count {
                return Ok(None);
            }
            let rows = tokio::select! {
                rows = count(shared, &plan.scope) => rows?,
                () = shared.stop.reading_ends() => return Ok(None),
            };
            shared.counters.source_rows_expected.set(rows.saturating_sub(work.rows_before));
            if let Some(counted) = &work.counted {
                // Who does not listen any more does not need it.
                let _ = counted.send(rows);
            }
            Ok(Some(rows))
        };
        let running = async { tokio::join!(counting, self.run_waves(plan, work, book.clone())) };
        let (counted, outcome) = self.drained(running).await;
        let outcome = outcome?;
        shared.counters.enter(Phase::Done);
        let failed = book.failed();
        if outcome == Outcome::Complete && !failed.is_empty() {
            return Err(PipelineError::Chunks { failed, chunks: pending, gave_up: false });
        }
        let counted = match outcome {
            Outcome::Complete => counted?,
            Outcome::Stopped => counted.ok().flatten(),
        };
        Ok(Ran { outcome, counted })
    }

    /// Waits for the work; once stopping was asked for, inserts in flight are abandoned after their
    /// time.
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

    /// Counts the partition's rows, by a query that knows nothing of chunks.
    ///
    /// # Errors
    /// [`PipelineError::Query`].
    pub async fn count(&self, plan: &Plan) -> Result<u64, PipelineError> {
        count(&self.shared, &plan.scope).await
    }

    /// Holds how many rows all chunks of the plan gave, in whatever runs, against the independent
    /// count: `counted` is the one that was made when the first of them began. Where the two
    /// differ, it is made once more.
    ///
    /// # Errors
    /// [`PipelineError::Count`] where rows are missing or too many.
    pub async fn check_count(
        &self,
        plan: &Plan,
        counted: u64,
        streamed: u64,
    ) -> Result<(), PipelineError> {
        check_count(&self.shared, &plan.scope, counted, streamed).await
    }

    /// Streams one wave after the other, while the next one's attributes are loaded.
    async fn run_waves(
        &self,
        plan: &Plan,
        work: &Work,
        book: Arc<ChunkBook>,
    ) -> Result<Outcome, PipelineError> {
        let shared = &self.shared;
        if shared.job.lookup.is_some() {
            shared.counters.enter(Phase::Lookup);
        }
        let miss = tokio::select! {
            miss = self.miss() => miss?,
            () = shared.stop.reading_ends() => return Ok(Outcome::Stopped),
        };
        let context = WaveContext { shared, plan, work, sampler: self.sampler.clone(), book, miss };
        let mut planner = plan.waves.clone().only(&work.pending);
        let mut next = context.load_next(&mut planner).await?;
        while let Next::Wave(current) = next {
            shared.counters.enter(Phase::Stream);
            shared.counters.waves.add(1);
            if current.wave.bucket.is_some_and(|bucket| bucket.index > 0) {
                // The chunks of a wave that is split by keys are read once for each part.
                let again =
                    current.wave.chunks.clone().filter(|&chunk| work.is_pending(chunk)).count();
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
                return Ok(Outcome::Stopped);
            }
            next = following?;
        }
        Ok(if matches!(next, Next::Stopped) { Outcome::Stopped } else { Outcome::Complete })
    }

    /// Copies the deletions of source rows that came since the plan's bounds were found, so that no
    /// row that was read before comes back to life; gives how many these were. To be called when
    /// every chunk is done.
    ///
    /// Where it fails, that is said, and the load is complete all the same: a server that cannot do
    /// this now may never be able to.
    pub async fn sweep(&self, plan: &Plan) -> u64 {
        let swept = async { sweep(&self.shared, plan, &self.miss().await?).await };
        match swept.await {
            Ok(0) => 0,
            Ok(rows) => {
                tracing::info!(
                    rows,
                    "rows that were deleted in the source while the load was on are deleted in the target as well"
                );
                rows
            }
            Err(error) => {
                let reason = error.reason();
                tracing::warn!(
                    reason,
                    "rows that were deleted in the source while the load was on may be live in the target: verify finds them"
                );
                0
            }
        }
    }

    /// The attributes of a row that finds nothing.
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
            .ask(what, async || source.fetch("miss", &sql, "RowBinary", &settings).await)
            .await;
        answer.map_err(|error| PipelineError::Query {
            what,
            table: lookup.table.name.clone(),
            source: Box::new(error.into_error()),
        })
    }
}
