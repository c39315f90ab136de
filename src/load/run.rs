//! Running what is left of a load.

use std::sync::Arc;

use tokio::sync::mpsc::unbounded_channel;

use super::LoadError;
use super::record::{Expected, LeftChunks, Record};
use super::recorder::{Recorder, RecordingError, Tally, ranges};
use super::request::LoadRequest;
use super::sampling::{Sampling, settings};
use super::tables::JobTables;
use crate::clickhouse::QUERY_ID_PREFIX;
use crate::engine::stream::{Pipeline, PipelineError, PipelineOptions, Ran, Work};
use crate::job::BoundJob;
use crate::plan::Plan;
use crate::publish::Stage;
use crate::state::RunOutcome;

/// A load of which something is left to do.
pub(crate) struct Load {
    pub(super) request: LoadRequest,
    pub(super) plan: Plan,
    pub(super) run_id: String,
    pub(super) record: Option<Record>,
    pub(super) counts: ChunkCounts,
    /// The job with its own source, where chunks read a copy of that.
    pub(super) live_job: Option<Arc<BoundJob>>,
    pipeline: Pipeline,
}

/// How many chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkCounts {
    /// The load has.
    pub total: u64,
    /// Were completed before this process came.
    pub before: u64,
    /// This process completed.
    pub now: u64,
    /// Failed for good.
    pub failed: u64,
}

/// What the pipeline and the recorder did.
pub(super) struct Done {
    pub ran: Result<Option<Ran>, PipelineError>,
    pub tally: Tally,
    pub recording: Result<(), RecordingError>,
}

impl Load {
    pub(super) fn new(
        request: LoadRequest,
        plan: Plan,
        run_id: String,
        record: Option<Record>,
    ) -> Self {
        let pipeline = pipeline(&request, &run_id);
        let before = record.as_ref().map_or(0, |record| record.completed().count() as u64);
        let recorded = record.as_ref().map_or(0, |record| record.chunks.len());
        let total = plan.chunks.len().max(recorded) as u64;
        let counts = ChunkCounts { total, before, ..ChunkCounts::default() };
        Self { request, plan, run_id, record, counts, live_job: None, pipeline }
    }

    /// The plan, of which some chunks may be done.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The load's identity.
    pub(crate) fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The numbers of the chunks that this process works on, from 0.
    pub(crate) fn own_chunks(&self) -> Vec<usize> {
        let all = self.plan.chunks.len();
        let own = self.record.as_ref().map(|record| record.own(all).into_iter().collect());
        own.unwrap_or_else(|| (0..all).collect())
    }

    /// How many chunks there are, and how many are done.
    pub(crate) fn chunk_counts(&self) -> ChunkCounts {
        self.counts
    }

    /// Where it is recorded, for people.
    pub(crate) fn recorded_in(&self) -> Option<String> {
        self.record.as_ref().map(|record| record.ledger.describe())
    }

    /// How many chunks are read and how many batches are inserted at once, at this moment.
    pub(crate) fn levels(&self) -> (usize, usize) {
        self.pipeline.levels()
    }

    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The job's tables, as it was held against them.
    pub(super) fn tables(&self) -> JobTables {
        let LoadRequest { job, servers, pipeline, .. } = &self.request;
        JobTables::new(job, servers, pipeline.outage_wait)
    }

    pub(super) fn rebuild_pipeline(&mut self) {
        self.pipeline = pipeline(&self.request, &self.run_id);
    }

    /// Does what is left, after [`begin`](Self::begin), and records it.
    ///
    /// # Errors
    /// [`LoadError`]. What was recorded until then stays.
    pub(crate) async fn run(&mut self) -> Result<RunOutcome, LoadError> {
        let Some(record) = &self.record else { return self.run_unrecorded().await };
        let LeftChunks { pending, parts } = record.left(&self.plan);
        let begun = record.begun(&self.request.pipeline);
        let tables = self.tables();
        tables.check().await?;
        let (sender, reports) = unbounded_channel();
        let writer = Recorder {
            ledger: record.ledger.clone(),
            run_id: self.run_id.clone(),
            worker: record.worker(),
            ranges: ranges(&self.plan.chunks, &parts),
            begun: begun.clone(),
            tables: tables.clone(),
            lease: record.claim.lease().clone(),
            patience: record.options.patience,
            stop: self.request.stop.clone(),
        };
        let recording = tokio::spawn(writer.record(reports));
        let samples = Sampling {
            ledger: record.ledger.clone(),
            run_id: self.run_id.clone(),
            claim_id: record.claim.id().to_owned(),
            worker: record.worker(),
            counters: self.request.counters.clone(),
            observe: self.request.observe.clone(),
            settings: settings(&self.request, record.part()),
        };
        let samples = samples.start();
        let ran = if pending.contains(&true) {
            // It is not known how many of the rows are in a part of the chunks.
            let count = record.is_whole();
            let rows_before = record.completed().map(|chunk| chunk.rows_read).sum();
            let (counted, heard) = unbounded_channel();
            let expected = Expected {
                ledger: record.ledger.clone(),
                claim: record.claim.clone(),
                load: record.load.clone(),
            };
            let noting = tokio::spawn(expected.note(heard));
            let (reports, counted) = (Some(sender), Some(counted));
            let work = Work { pending, parts, count, begun, rows_before, reports, counted };
            let watching = tokio::spawn(tables.watch(self.request.stop.clone()));
            let ran = self.pipeline.run(&self.plan, &work).await.map(Some);
            watching.abort();
            drop(work);
            // What is written of the load at its end comes after this.
            let _ = noting.await;
            ran
        } else {
            drop(sender);
            Ok(None)
        };
        samples.end().await;
        let (tally, recording) =
            recording.await.map_err(|error| LoadError::Task(error.to_string()))?;
        self.counts.now = tally.completed;
        self.counts.failed = tally.failed;
        self.finish(Done { ran, tally, recording }).await
    }

    async fn run_unrecorded(&mut self) -> Result<RunOutcome, LoadError> {
        let ran = self.pipeline.run(&self.plan, &Work::all(&self.plan)).await?;
        if !ran.is_complete {
            return Ok(RunOutcome::Interrupted);
        }
        self.tables().check().await?;
        let deletions = self.pipeline.sweep(&self.plan).await;
        if let Some(counted) = ran.counted {
            let streamed = self.request.counters.source_rows.get();
            self.pipeline.check_count(&self.plan, counted, streamed, deletions).await?;
        }
        self.counts.total = self.request.counters.chunks_pending.get();
        self.counts.now = self.counts.total;
        Ok(RunOutcome::Completed)
    }
}

pub(super) fn pipeline(request: &LoadRequest, run_id: &str) -> Pipeline {
    let LoadRequest { servers, job, pipeline, counters, stop, sampler, throttle, .. } = request;
    let options = PipelineOptions {
        token_prefix: format!("{QUERY_ID_PREFIX}{run_id}"),
        stage: Stage::of(job, run_id).filter(|_| !pipeline.dry_run).map(Arc::new),
        ..pipeline.clone()
    };
    Pipeline::new(
        servers.clone(),
        job.clone(),
        options,
        counters.clone(),
        stop.clone(),
        sampler.clone(),
        throttle.clone(),
    )
}
