//! Filling one partition: from the connection to the summary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::advice::{Continuation, before_the_first_row, load_failure};
use super::canary::{CanaryChunks, require_canary};
use super::ctl::{Operation, operate};
use super::engine_choice::Filling;
use super::notifier::RunContext;
use super::plan::planned_bounds;
use super::session::{
    BoundSession, Described, Session, partitions_with_rows, pipeline_options, startup_retry,
};
use crate::causes::shortened;
use crate::cli::config::NextCommand;
use crate::cli::failure::Failure;
use crate::cli::output::print_sample;
use crate::control::Control;
use crate::engine::stream::{Counters, Phase, PipelineOptions, RowSampler};
use crate::job::BoundJob;
use crate::ledger::LoadRecord;
use crate::load::{ChunkCounts, HostStats, Load, LoadRequest, Observe, Prepared, new_id, prepare};
use crate::metrics::{ObservedRun, RunInfo};
use crate::plan::{Partition, PlanOptions};
use crate::progress::{
    Seconds, Shown, Summary, counted, memory_bytes, peak_memory_bytes, show, show_startup,
};
use crate::spans;
use crate::state::{LoadState, RunOutcome};
use crate::stop::Stop;

/// One partition of a run.
pub(crate) struct PartitionRun<'a> {
    context: &'a RunContext<'a>,
    partition: &'a Partition,
    stop: Stop,
    began: Instant,
    counters: Arc<Counters>,
    observed: Option<Arc<ObservedRun>>,
    start_hooks: Option<JoinHandle<()>>,
    summary: Option<Summary>,
    /// The chunks of `--canary`.
    canary: Option<CanaryChunks>,
}

/// What a partition is filled with.
struct Setup {
    session: BoundSession,
    options: PipelineOptions,
    operation: Operation,
    sampler: Arc<RowSampler>,
    /// The rows of `--show-rows`.
    sample_rows: oneshot::Receiver<Vec<u8>>,
    continuation: Continuation,
}

/// The end of a run, for its summary.
struct RunEnd {
    state: LoadState,
    error: Option<String>,
    run_id: String,
    chunks: ChunkCounts,
    /// Readers and inserters.
    levels: (usize, usize),
    /// Time until the plan was made.
    planned: Duration,
    memory_limit: u64,
}

impl<'a> PartitionRun<'a> {
    pub(super) fn new(
        context: &'a RunContext<'a>,
        partition: &'a Partition,
        stop: Stop,
        began: Instant,
    ) -> Self {
        let counters = Arc::<Counters>::default();
        context.underway.begin(counters.clone());
        Self {
            context,
            partition,
            stop,
            began,
            counters,
            observed: None,
            start_hooks: None,
            summary: None,
            canary: None,
        }
    }

    /// Fills the partition. A stop request is not a failure.
    pub(super) async fn fill(&mut self) -> Result<RunOutcome, Failure> {
        let config = self.context.config;
        let span = spans::run(&config.session.job.reference, self.partition, config.dry_run);
        let filled = Box::pin(self.try_fill()).instrument(span.clone()).await;
        if let Some(summary) = &self.summary {
            summary.describe(&span);
        }
        if let Err(failure) = &filled {
            spans::fail(&span, &shortened(&failure.one_line()));
        }
        match filled {
            Err(failure) if failure.is_interruption() => {
                self.context.terminal.insist(&failure.text());
                Ok(RunOutcome::Interrupted)
            }
            filled => filled,
        }
    }

    /// The summary, if the run came so far.
    pub(super) fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// Reports the end to hooks and metrics.
    pub(super) async fn end(self, failure: Option<&Failure>) -> Option<Summary> {
        let Self { context, partition, start_hooks, summary, .. } = self;
        let partition = partition.to_string();
        let notifier = context.notifier;
        notifier.partition_ended(start_hooks, summary.as_ref(), failure, &partition).await;
        summary
    }

    async fn try_fill(&mut self) -> Result<RunOutcome, Failure> {
        let id = new_id();
        let planning = async {
            let (setup, request) = self.set_up(&id).await?;
            let prepared = Box::pin(prepare(request))
                .await
                .map_err(|error| before_the_first_row(error, &self.stop, &setup.continuation))?;
            Ok::<_, Failure>((setup, prepared))
        };
        let (setup, prepared) = planning.instrument(spans::plan()).await?;
        match prepared {
            Prepared::Ready(load) => Box::pin(self.run_load(setup, *load)).await,
            Prepared::Empty(plan) => {
                let session = setup.session.clone().with_plan(*plan);
                self.describe(&session, &setup.options, &id, None);
                let (partition, source) = (self.partition, &session.job.source.name);
                let others = partitions_with_rows(&session).await;
                self.context.terminal.insist(&format!(
                    "partition {partition} of {source} has no rows: there is nothing to do{others}"
                ));
                self.summarize_nothing(&setup, id, ChunkCounts::default());
                Ok(RunOutcome::Empty)
            }
            Prepared::AlreadyComplete(load) => {
                self.context.terminal.insist(&already_complete(&load));
                let chunks = ChunkCounts {
                    total: load.chunks,
                    before: load.chunks_completed,
                    ..ChunkCounts::default()
                };
                self.summarize_nothing(&setup, load.run_id, chunks);
                Ok(RunOutcome::CompletedBefore)
            }
        }
    }

    /// Connects, binds the job, resolves the options and starts to watch the server.
    async fn set_up(&self, id: &str) -> Result<(Setup, LoadRequest), Failure> {
        let config = self.context.config;
        let retry = startup_retry(&config.faults, &self.stop);
        let filling = Filling {
            partition: self.partition,
            dry_run: config.dry_run,
            samples: config.sample > 0,
        };
        let name = format!("partition {}", self.partition);
        let opening = config.session.open_with_retries(id, Some(filling), &retry);
        let session =
            show_startup(self.context.terminal, &name, &retry.status, Box::pin(opening)).await?;
        if config.recording.canary.is_some() {
            require_canary(&session.job)?;
        }
        let options = pipeline_options(config, &session)?;
        let bounds = planned_bounds(config, &session, self.partition, &options).await?;
        let (counters, stop) = (self.counters.clone(), self.stop.clone());
        let operation = operate(self.context, self.partition, &session, counters, stop).await?;
        let (sampler, sample_rows) = RowSampler::new(config.sample);
        let sampler = Arc::new(sampler);
        let request = LoadRequest {
            servers: session.servers.clone(),
            server_version: session.server_version.clone(),
            source_version: session.source_version.clone(),
            job: session.job.clone(),
            partition: self.partition.clone(),
            plan: PlanOptions { bounds, ..session.plan_options() },
            keeps_chunk_rows: session.keeps_chunk_rows(),
            pipeline: options.clone(),
            recording: (!options.dry_run).then(|| config.recording.clone()),
            allow_duplicates: config.faults.allow_duplicates,
            skipped_checks: config.skip_checks.clone(),
            counters: self.counters.clone(),
            stop: self.stop.clone(),
            throttle: operation.throttle.clone(),
            sampler: (config.sample > 0).then(|| sampler.clone()),
            observe: observe(&operation.control),
        };
        let continuation = Continuation::of_run(&session.job, options.dry_run);
        Ok((Setup { session, options, operation, sampler, sample_rows, continuation }, request))
    }

    /// Runs a load from its record in the ledger to its summary.
    async fn run_load(&mut self, setup: Setup, mut load: Load) -> Result<RunOutcome, Failure> {
        let Setup { session, options, operation, sampler, sample_rows, continuation } = setup;
        operation.control.set_run_id(load.run_id());
        let session = session.with_plan(load.plan().clone());
        if let Err(failure) = self.choose_canary(&session, &load).await {
            load.decline().await;
            return Err(failure);
        }
        self.describe(&session, &options, load.run_id(), Some(&load));
        let asked = Instant::now();
        let is_confirmed = self.is_confirmed(&session).await;
        // A person who thinks is no part of the run.
        self.began += asked.elapsed();
        if !is_confirmed {
            load.decline().await;
            let words = "nothing was written; --yes gives the answer in advance";
            self.context.terminal.insist(words);
            self.counters.enter(Phase::Done);
            return Ok(RunOutcome::Interrupted);
        }
        let begun = load.begin().await;
        for remark in
            begun.map_err(|error| before_the_first_row(error, &self.stop, &continuation))?
        {
            self.context.terminal.say(&format!("note: {remark}"));
        }
        operation.control.set_run_id(load.run_id());
        let planned = self.began.elapsed();
        let shown = self.shown(&session, &options, &operation);
        self.notify_start(&session, &operation, shown);

        let work = async {
            let ran = load.run().await;
            sampler.close();
            ran
        };
        let shown = self.shown(&session, &options, &operation);
        let running = show(self.context.terminal, shown, work);
        let (ran, printed) = tokio::join!(running, self.print_sample(&session, sample_rows));
        self.counters.enter(Phase::Done);
        let state = ran.as_ref().map_or(LoadState::Failed, |outcome| outcome.state());
        let ran = ran.map_err(|error| load_failure(error, &continuation));
        let end = RunEnd {
            state,
            error: ran.as_ref().err().map(Failure::one_line),
            run_id: load.run_id().to_owned(),
            chunks: load.chunk_counts(),
            levels: load.levels(),
            planned,
            memory_limit: session.plan.memory.total,
        };
        self.summarize(&session.job, end);
        let outcome = ran?;
        if let Err(error) = printed {
            let error = error.one_line();
            tracing::warn!("cannot show the sample, the run is not affected: {error}");
        }
        self.conclude(&session, outcome, &continuation).await
    }

    /// Compares the chunks of `--canary`, or reports what comes next.
    async fn conclude(
        &mut self,
        session: &Session,
        outcome: RunOutcome,
        continuation: &Continuation,
    ) -> Result<RunOutcome, Failure> {
        match self.canary.take() {
            Some(canary) if outcome.state() == LoadState::Completed => {
                Box::pin(self.compare_canary(&canary, session, outcome)).await
            }
            _ => {
                self.report_rest(outcome, continuation);
                Ok(outcome)
            }
        }
    }

    /// Chooses the chunks of `--canary`.
    async fn choose_canary(&mut self, session: &Session, load: &Load) -> Result<(), Failure> {
        if let Some(share) = self.context.config.recording.canary {
            let canary = CanaryChunks::choose(share, session, load).await?;
            if let Some(remark) = canary.remark() {
                self.context.terminal.say(&format!("note: {remark}"));
            }
            self.canary = Some(canary);
        }
        Ok(())
    }

    /// Compares the chunks of `--canary`, and reports how to continue and how to undo.
    async fn compare_canary(
        &mut self,
        canary: &CanaryChunks,
        session: &Session,
        outcome: RunOutcome,
    ) -> Result<RunOutcome, Failure> {
        let RunContext { config, terminal, .. } = self.context;
        let compared = canary.compare(session, config, terminal, self.stop.clone()).await?;
        let Some(compared) = compared else { return Ok(RunOutcome::Interrupted) };
        let (is_equal, chunks) =
            (compared.comparison.as_ref().is_some_and(|report| report.equal), compared.text());
        if let Some(summary) = &mut self.summary {
            summary.canary = Some(compared);
        }
        let job = &session.job;
        let undo = job
            .owned
            .as_ref()
            .map(|_| format!("undo: {}", self.next("undo", &["yes", "format", "json"])));
        if !is_equal {
            terminal.insist(&format!("canary: different, in {chunks}"));
            terminal.insist(if undo.is_some() {
                "hint: undo it, correct the job, and run the canary again with --restart"
            } else if job.target.is_replacing() {
                "hint: correct the job, and run the canary again with --restart: rows that are written again replace those with the same sorting key"
            } else {
                "hint: remove the rows of the canary by hand, correct the job, and run the canary again with --restart; `owned` under [target] of the job lets `undo` remove rows"
            });
            if let Some(undo) = undo {
                terminal.insist(&undo);
            }
            return Ok(RunOutcome::CanaryDifferent);
        }
        let RunOutcome::PartCompleted { chunks_left } = outcome else {
            terminal.insist(&format!("canary: equal, in {chunks}; that completes the partition"));
            if let Some(undo) = undo {
                terminal.insist(&undo);
            }
            return Ok(outcome);
        };
        let left = counted(chunks_left, "chunk");
        terminal.insist(&format!("canary: equal, in {chunks}; {left} not filled"));
        self.show_next("run", &["canary"]);
        if let Some(undo) = undo {
            terminal.say(&undo);
        }
        Ok(RunOutcome::CanaryEqual { chunks_left })
    }

    /// Prints the configuration.
    fn describe(
        &self,
        session: &Session,
        options: &PipelineOptions,
        run_id: &str,
        load: Option<&Load>,
    ) {
        let RunContext { config, terminal, .. } = self.context;
        let described = Described {
            session,
            options,
            run_id,
            load,
            part: config.recording.part,
            canary: self.canary.as_ref().map(CanaryChunks::text),
            in_detail: config.output.verbose > 0,
        };
        terminal.say(&described.text(terminal.width()));
    }

    /// Whether the person at the terminal, if there is one, wants the rows written.
    async fn is_confirmed(&self, session: &Session) -> bool {
        let RunContext { config, terminal, is_one_of_several, .. } = self.context;
        if config.yes || config.dry_run || *is_one_of_several {
            return true;
        }
        let Session { job, plan, .. } = session;
        let question = match &self.canary {
            None => format!(
                "write {} in {} into {}?",
                counted(plan.stored_rows, "row"),
                counted(plan.chunks.len() as u64, "chunk"),
                job.target.name
            ),
            Some(canary) => format!(
                "write the rows of {} into {}, then compare them with the result of the job?",
                canary.text(),
                job.target.name
            ),
        };
        terminal.confirm(&question, &self.stop).await
    }

    /// Reports the start to hooks and metrics.
    fn notify_start(&mut self, session: &Session, operation: &Operation, shown: Shown) {
        let info = RunInfo {
            worker: self.context.config.recording.part.to_string(),
            memory_limit_bytes: session.plan.memory.total,
        };
        let run = Arc::new(ObservedRun::new(info, operation.control.clone(), shown));
        let partition = self.partition.to_string();
        self.start_hooks = Some(self.context.notifier.partition_started(run.clone(), &partition));
        self.observed = Some(run);
    }

    fn shown(&self, session: &Session, options: &PipelineOptions, operation: &Operation) -> Shown {
        Shown {
            name: format!("{} {}", session.job.name, session.plan.partition),
            dry_run: options.dry_run,
            counters: self.counters.clone(),
            stop: self.stop.clone(),
            drain_timeout: options.drain_timeout,
            memory_limit: session.plan.memory.total,
            throttle: Some(operation.throttle.clone()),
            samples: Some(operation.control.subscribe()),
        }
    }

    /// Prints the rows of `--show-rows` as soon as they are complete.
    async fn print_sample(
        &self,
        session: &Session,
        rows: oneshot::Receiver<Vec<u8>>,
    ) -> Result<(), Failure> {
        if self.context.config.sample == 0 {
            return Ok(());
        }
        let Ok(rows) = rows.await else { return Ok(()) };
        let Session { servers, job, .. } = session;
        print_sample(self.context.terminal, &servers.target, job, &rows).await
    }

    /// Makes the summary of a run that had nothing to do.
    fn summarize_nothing(&mut self, setup: &Setup, run_id: String, chunks: ChunkCounts) {
        self.counters.enter(Phase::Done);
        let end = RunEnd {
            state: LoadState::Completed,
            error: None,
            run_id,
            chunks,
            levels: (0, 0),
            planned: self.began.elapsed(),
            memory_limit: setup.session.resources().memory.total,
        };
        self.summary = Some(self.summary_of(&setup.session.job, end));
    }

    /// Makes and shows the summary.
    fn summarize(&mut self, job: &BoundJob, end: RunEnd) {
        let summary = self.summary_of(job, end);
        let terminal = self.context.terminal;
        if terminal.is_json() {
            let json = serde_json::to_string(&summary).unwrap_or_default();
            tracing::info!(summary = %json, "the run has ended");
        } else {
            terminal.say(&summary.text());
        }
        if let Some(run) = &self.observed {
            run.ended(summary.status);
        }
        self.summary = Some(summary);
    }

    fn summary_of(&self, job: &BoundJob, end: RunEnd) -> Summary {
        let numbers = self.counters.snapshot();
        let (lookup, stream) = self.counters.times();
        let rows = numbers.inserted_rows as f64;
        let seconds = stream.as_secs_f64();
        Summary {
            status: end.state,
            job: job.name.clone(),
            partition: self.partition.to_string(),
            run_id: end.run_id,
            dry_run: self.context.config.dry_run,
            source: job.source.name.to_string(),
            outside: job.outside(),
            target: job.target.name.to_string(),
            chunks: end.chunks.total,
            chunks_before: end.chunks.before,
            chunks_now: end.chunks.now,
            lookup_rows: numbers.lookup_rows,
            lookup_keys: numbers.lookup_keys,
            source_rows: numbers.source_rows,
            inserted_rows: numbers.inserted_rows,
            rows_done: numbers.rows_done,
            matched_rows: numbers.matched_rows,
            matched_late_rows: numbers.matched_late_rows,
            unmatched_rows: numbers.unmatched_rows,
            repeated_rows: numbers.repeated_rows,
            batches: numbers.batches,
            retries: numbers.retries,
            errors: numbers.errors,
            failed_chunks: numbers.chunks_failed,
            outages: numbers.outages,
            outage_seconds: Duration::from_millis(numbers.outage_milliseconds).as_secs_f64(),
            error: end.error,
            bytes_read: numbers.lookup_bytes + numbers.source_bytes,
            bytes_written: numbers.inserted_bytes,
            peak_memory_bytes: peak_memory_bytes(),
            lookup_memory_peak_bytes: numbers.lookup_memory_peak_bytes,
            rows_per_second: if stream.is_zero() { 0.0 } else { rows / seconds },
            waves: numbers.waves,
            memory_limit_bytes: end.memory_limit,
            readers: end.levels.0 as u64,
            inserters: end.levels.1 as u64,
            seconds: Seconds {
                plan: end.planned.as_secs_f64(),
                lookup: lookup.as_secs_f64(),
                stream: seconds,
                total: self.began.elapsed().as_secs_f64(),
            },
            canary: self.canary.as_ref().map(CanaryChunks::summary),
        }
    }

    /// Prints the command that follows, unless the next partition follows.
    fn show_next(&self, command: &str, but: &[&str]) {
        if self.context.is_one_of_several {
            return;
        }
        let next = self.next(command, but);
        self.context.terminal.say(&format!("next: {next}"));
    }

    /// A command for this partition, with the flags of this call but for the ones named.
    fn next(&self, command: &str, but: &[&str]) -> String {
        // One job of a set has flags of its own.
        let of_job = [
            "job",
            "target-table",
            "objects-root",
            "objects-collection",
            "exclude",
            "exclude-dataset-items",
            "where",
            "before",
        ];
        let of_run = ["dry-run", "show-rows", "restart", "partition", "partitions"];
        let but: Vec<_> = of_run.iter().chain(&of_job).chain(but).copied().collect();
        NextCommand::after(self.context.given, command, &but)
            .job(&self.context.config.session.job)
            .partition(self.partition)
            .text()
    }

    /// Reports what is left if the partition is not complete, and what comes next.
    fn report_rest(&self, outcome: RunOutcome, continuation: &Continuation) {
        let terminal = self.context.terminal;
        match outcome {
            RunOutcome::PartCompleted { chunks_left } => {
                let worker = self.context.config.recording.part;
                let left = counted(chunks_left, "chunk");
                terminal.insist(&format!(
                    "worker {worker} has done its part; {left} of other workers remain, the last worker completes the load"
                ));
            }
            RunOutcome::Interrupted => {
                terminal.insist(&format!("hint: {}", continuation.hint()));
                self.show_next("run", &[]);
            }
            RunOutcome::Completed if self.context.config.dry_run => self.show_next("run", &[]),
            // The next command must not replace the summary of this run.
            RunOutcome::Completed => self.show_next("verify", &["summary-json", "json", "format"]),
            _ => {}
        }
    }
}

fn already_complete(load: &LoadRecord) -> String {
    let when = load.completed_at.map_or_else(String::new, |when| format!(" at {when}"));
    let (key, run_id, rows) = (&load.key, &load.run_id, counted(load.rows_inserted, "row"));
    format!(
        "{key} was completed{when} by run {run_id}, with {rows}: there is nothing to do\nhint: --restart fills it again"
    )
}

/// What a load records beside the counters.
fn observe(control: &Arc<Control>) -> Observe {
    let control = control.clone();
    Arc::new(move || {
        let stats = control.server_stats();
        HostStats {
            active_parts: stats.parts.map(|parts| parts.parts),
            merges: stats.merges,
            server_memory_bytes: stats.memory_used,
            server_memory_limit_bytes: stats.memory_total,
            client_memory_bytes: memory_bytes(),
            waiting: control.reasons().join("; "),
        }
    })
}
