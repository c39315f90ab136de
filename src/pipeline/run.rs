//! Running a plan, wave by wave.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;
use tokio::task::JoinSet;

use super::batch::BatchLimits;
use super::enrich::Enricher;
use super::error::PipelineError;
use super::inserter::insert_batches;
use super::load::load;
use super::queue::queue;
use super::reader::{ChunkList, read_chunks};
use super::{Counters, Phase, RetryPolicy, Sampler, Stop};
use crate::clickhouse::{Connection, Settings};
use crate::job::statements::{self, Scope};
use crate::job::{BoundJob, BoundLookup};
use crate::plan::{Plan, Wave};

/// How a pipeline works.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Whether the target is replaced by one that keeps nothing.
    pub dry_run: bool,
    /// Rows of a batch at most.
    pub batch_rows: u64,
    /// Bytes of a batch at most, but for the row that exceeds them.
    pub batch_bytes: u64,
    /// Rows of a block that the server reads and sends at once; `None` leaves it to the server.
    pub stream_block_rows: Option<u64>,
    /// Chunks that are read at once.
    pub readers: usize,
    /// Batches that are inserted at once.
    pub inserters: usize,
    /// Bytes of batches that wait or are in flight.
    pub queue_bytes: u64,
    /// A longer row is an error.
    pub max_row_bytes: usize,
    /// What is tried again.
    pub retry: RetryPolicy,
}

impl PipelineOptions {
    pub(super) fn batch_limits(&self) -> BatchLimits {
        BatchLimits { rows: self.batch_rows.max(1), bytes: self.batch_bytes.max(1) }
    }
}

/// A plan that is ready to run.
pub struct Pipeline {
    shared: Arc<Shared>,
    sampler: Option<Arc<Sampler>>,
}

/// What all tasks share.
pub(super) struct Shared {
    pub connection: Connection,
    pub job: Arc<BoundJob>,
    pub options: PipelineOptions,
    pub counters: Arc<Counters>,
    pub stop: Stop,
    pub source_settings: Settings,
    pub insert_sql: String,
    pub insert_settings: Settings,
}

/// How a pipeline ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every chunk was streamed and acknowledged, and the count agrees.
    Complete,
    /// Stopping was asked for. What was acknowledged stays.
    Stopped,
}

impl Pipeline {
    /// Puts a pipeline together. Nothing is sent yet.
    pub fn new(
        connection: Connection,
        job: Arc<BoundJob>,
        options: PipelineOptions,
        counters: Arc<Counters>,
        stop: Stop,
        sampler: Option<Arc<Sampler>>,
    ) -> Self {
        let mut source_settings = statements::source_settings(&job);
        if let Some(rows) = options.stream_block_rows {
            source_settings = source_settings.with("max_block_size", &rows.to_string());
        }
        let insert_sql = if options.dry_run { statements::dry_run(&job) } else { statements::insert(&job) };
        let insert_settings = statements::insert_settings(&job, options.batch_rows);
        let shared = Shared { connection, job, options, counters, stop, source_settings, insert_sql, insert_settings };
        Self { shared: Arc::new(shared), sampler }
    }

    /// Sends an insert without rows: grants, types and settings that do not fit are found before a row moves.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn preflight(&self) -> Result<(), crate::clickhouse::Error> {
        self.shared.connection.insert("preflight", &self.shared.insert_sql, &self.shared.insert_settings, &[]).await
    }

    /// Runs the plan to its end, or until stopping is asked for.
    ///
    /// # Errors
    /// [`PipelineError`]. All tasks have ended then.
    pub async fn run(&self, plan: &Plan) -> Result<Outcome, PipelineError> {
        let shared = &self.shared;
        shared.counters.chunks.set(plan.chunks() as u64);
        let started = Instant::now();
        let before = self.count(plan);
        let waves = async {
            for wave in &plan.waves {
                if !self.run_wave(wave, &plan.scope).await? {
                    return Ok(Outcome::Stopped);
                }
            }
            Ok(Outcome::Complete)
        };
        let before = async {
            let rows = before.await;
            if let Ok(rows) = &rows {
                shared.counters.source_rows_expected.set(*rows);
            }
            rows
        };
        let (before, outcome) = tokio::join!(before, waves);
        let outcome = outcome?;
        shared.counters.enter(Phase::Done);
        tracing::debug!(seconds = started.elapsed().as_secs_f64(), "all waves have ended");
        if outcome == Outcome::Complete {
            self.check_count(plan, before?).await?;
        }
        Ok(outcome)
    }

    /// Loads, then streams; gives whether the wave is complete.
    async fn run_wave(&self, wave: &Wave, scope: &Scope) -> Result<bool, PipelineError> {
        let shared = &self.shared;
        let enricher = match &shared.job.lookup {
            Some(lookup) => {
                shared.counters.enter(Phase::Lookup);
                let miss = self.miss(lookup).await?;
                let Some(map) = load(shared, lookup, scope).await? else { return Ok(false) };
                Enricher::new(map, miss, lookup.nullable_keys(), self.sampler.clone())
            }
            None => Enricher::without_lookup(self.sampler.clone()),
        };
        shared.counters.enter(Phase::Stream);
        let enricher = Arc::new(enricher);
        let chunks = ChunkList::new(wave.chunks.clone());
        let (sender, receiver) = queue(shared.options.queue_bytes, shared.counters.clone());
        let mut tasks = JoinSet::new();
        for _ in 0..shared.options.readers.clamp(1, wave.chunks.len().max(1)) {
            tasks.spawn(read_chunks(shared.clone(), chunks.clone(), scope.clone(), enricher.clone(), sender.clone()));
        }
        // The inserters end when the last reader drops its end of the queue.
        drop(sender);
        for _ in 0..shared.options.inserters.max(1) {
            tasks.spawn(insert_batches(shared.clone(), receiver.clone()));
        }
        drop(receiver);
        let mut first_error = None;
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|error| Err(PipelineError::Task(error.to_string())));
            if let Err(error) = ended {
                shared.stop.fail();
                first_error.get_or_insert(error);
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => Ok(!shared.stop.is_requested() || shared.counters.chunks_done.get() >= wave.chunks.len() as u64),
        }
    }

    /// The attributes of a row that finds nothing.
    async fn miss(&self, lookup: &BoundLookup) -> Result<Vec<u8>, PipelineError> {
        if lookup.columns.is_empty() {
            return Ok(Vec::new());
        }
        let settings = statements::lookup_settings(&self.shared.job);
        let answer = self.shared.connection.fetch("miss", &statements::miss(lookup), "RowBinary", &settings).await;
        answer.map_err(|source| PipelineError::Query {
            what: "asking what a join that misses gives",
            table: lookup.table.name.clone(),
            source: Box::new(source),
        })
    }

    /// Counts the partition's rows as the source query gives them, by a query that knows nothing of chunks.
    async fn count(&self, plan: &Plan) -> Result<u64, PipelineError> {
        #[derive(Deserialize)]
        struct Count {
            rows: u64,
        }
        let shared = &self.shared;
        let sql = statements::count(&shared.job, &plan.scope);
        let counted = shared.connection.row::<Count>("count", &sql).await;
        let failed =
            |source| PipelineError::Query { what: "counting the rows", table: shared.job.source.name.clone(), source: Box::new(source) };
        counted.map(|count| count.rows).map_err(failed)
    }

    /// The chunks together must have given every row of the partition: ranges that overlap or leave a gap, or granules that the
    /// server skipped, show here. Where the source was written to meanwhile, the count before and the count after bound what
    /// is right.
    async fn check_count(&self, plan: &Plan, before: u64) -> Result<(), PipelineError> {
        let shared = &self.shared;
        let streamed = shared.counters.source_rows.get();
        if streamed == before {
            return Ok(());
        }
        let after = self.count(plan).await?;
        if after != before && (before.min(after)..=before.max(after)).contains(&streamed) {
            tracing::warn!(before, after, streamed, "the source was written to during the run; run it again when the partition is quiet");
            return Ok(());
        }
        shared.counters.errors.add(1);
        Err(PipelineError::Count { table: shared.job.source.name.clone(), streamed, before, after })
    }
}
