//! `clickhouse-backfill run`: filling one partition; several are in `sequence`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::course::Course;
use super::interruptible::interruptible;
use super::load_failure::{before_the_first_row, failure};
use super::operate::{Operation, operate};
use super::plan::planned_bounds;
use super::sequence::fill_sequence;
use super::session::{Session, open_patiently};
use super::telling::Telling;
use super::{config, describe, sample};
use crate::cli::args::{PartitionsArguments, RunArguments};
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::output::figures::{Ending, What, summary};
use crate::cli::output::{logging, summary_file};
use crate::control::{Control, Wishes};
use crate::engine::stream::{Counters, Phase, PipelineOptions, Sampler};
use crate::ledger::Slot;
use crate::load::{
    ChunkCounts, Ended, Load, LoadRequest, Observe, Prepared, Surroundings, new_id, prepare,
};
use crate::metrics::{ObservedRun, RunInfo};
use crate::plan::{Partition, PlanOptions};
use crate::progress::{Shown, Status, Summary, Terminal, count, memory_bytes, show};
use crate::stop::Stop;

/// Runs the command to its end.
pub(crate) fn run(arguments: &RunArguments, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    logging::start(&arguments.output, terminal)?;
    interruptible(terminal, "finishing the inserts in flight; once more ends at once", |stop| {
        fill_telling(arguments, terminal, began, stop)
    })
}

async fn fill_telling(
    arguments: &RunArguments,
    terminal: &Terminal,
    began: Instant,
    stop: Stop,
) -> Result<ExitCode, Failure> {
    let mut telling = Telling::new(arguments, terminal);
    let ended = match telling.start().await {
        Ok(()) => fill_all(&telling, began, stop).await,
        Err(failure) => Err(failure),
    };
    telling.end(ended).await
}

async fn fill_all(telling: &Telling<'_>, began: Instant, stop: Stop) -> Result<ExitCode, Failure> {
    let Telling { arguments, terminal, .. } = telling;
    let summary_json = arguments.output.summary_json.as_deref();
    summary_file::check(summary_json)?;
    if let Some(path) = &arguments.output.log_file {
        terminal.say(&format!("log file: {}", path.display()));
    }
    let PartitionsArguments { partition, partitions, .. } = &arguments.which;
    match (partition, partitions) {
        (_, Some(_)) if arguments.plan.is_some() => Err(Failure::usage(
            "a plan is of one partition, and --partitions names several; give --partition, or no --plan",
        )),
        (_, Some(months)) => fill_sequence(telling, months, stop).await,
        (Some(partition), None) => {
            let mut course = telling.course(partition);
            let wishes = arguments.throttle.wishes();
            let filled =
                Box::pin(fill(arguments, partition, terminal, began, stop, &mut course, wishes))
                    .await;
            let filled = Filled::unless_stopped(filled, terminal);
            // Whoever hears of the end finds the file.
            let written = course
                .summary()
                .map_or(Ok(()), |summary| summary_file::write(summary_json, summary));
            let ended = filled.and_then(|filled| written.map(|()| filled));
            course.end(ended.as_ref().err()).await;
            ended.map(Filled::exit_code)
        }
        (None, None) => {
            Err(Failure::usage("no partition is given; give --partition or --partitions"))
        }
    }
}

/// How the filling of a partition ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Every row is in the target, or was evaluated.
    Done,
    /// It was completed before.
    DoneBefore,
    /// The partition has no rows.
    Empty,
    /// This worker's part is done.
    PartDone,
    /// It was asked to stop.
    Interrupted,
}

impl Filled {
    /// Being stopped is no failure.
    pub fn unless_stopped(
        filled: Result<Self, Failure>,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        match filled {
            Err(failure) if failure.is_interruption() => {
                terminal.insist(&failure.text());
                Ok(Self::Interrupted)
            }
            filled => filled,
        }
    }

    fn exit_code(self) -> ExitCode {
        if self == Self::Interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS }
    }
}

/// Fills one partition, and lets `course` know: of its figures, too, where it came so far, whatever
/// became of it. What is stopped before the first row is a failure of that kind;
/// [`Filled::unless_stopped`] tells it apart.
pub(crate) async fn fill(
    arguments: &RunArguments,
    partition: &Partition,
    terminal: &Terminal,
    began: Instant,
    stop: Stop,
    course: &mut Course<'_>,
    wishes: Arc<Wishes>,
) -> Result<Filled, Failure> {
    let id = new_id();
    let patience = config::patience(&arguments.throughput, &arguments.faults, &stop);
    let opened =
        open_patiently(&arguments.server, &arguments.what, &arguments.throughput, &id, &patience)
            .await?;
    let options = config::pipeline_options(arguments, &opened.job, &opened.resources)?;
    let bounds = planned_bounds(
        arguments.plan.as_deref(),
        &opened,
        partition,
        &arguments.throughput,
        &options,
    )
    .await?;
    let recording = arguments
        .ledger
        .recording(opened.servers.target.endpoint().database(), options.outage_wait)?;
    let counters = Arc::new(Counters::default());
    let operation =
        operate(arguments, partition, &opened, terminal, counters.clone(), stop.clone(), wishes)
            .await?;
    let (sampler, rows_for_sample) = Sampler::new(usize::from(arguments.sample));
    let sampler = Arc::new(sampler);
    let request = LoadRequest {
        servers: opened.servers.clone(),
        server_version: opened.server_version.clone(),
        source_version: opened.source_version.clone(),
        job: opened.job.clone(),
        partition: partition.clone(),
        plan: PlanOptions { bounds, ..opened.plan_options() },
        pipeline: options.clone(),
        recording: (!options.dry_run).then_some(recording),
        allow_duplicates: arguments.faults.allow_duplicates,
        overruled: arguments.preflight.skip_checks.clone(),
        counters: counters.clone(),
        stop: stop.clone(),
        throttle: operation.throttle.clone(),
        sampler: (arguments.sample > 0).then(|| sampler.clone()),
        observe: observe(&operation.control),
    };
    let again = describe::safe_and_next(&opened.job, options.dry_run);
    let prepared =
        prepare(request).await.map_err(|error| before_the_first_row(error, &stop, &again))?;
    let say_configuration = |session: &Session, run_id: &str, load: Option<&Load>| {
        terminal.say(&describe::configuration(
            session,
            &options,
            run_id,
            load,
            arguments.ledger.worker,
        ));
    };
    let Prepared::Ready(mut load) = prepared else {
        if let Prepared::Empty(plan) = &prepared {
            say_configuration(&opened.clone().with_plan((**plan).clone()), &id, None);
        }
        let what = What {
            job: &opened.job,
            partition,
            dry_run: arguments.dry_run,
            memory: opened.resources.memory.total,
        };
        let (filled, summary) =
            nothing_to_do(&what, terminal, &counters, &prepared, id, began.elapsed());
        course.summarize(summary);
        return Ok(filled);
    };
    operation.control.set_run_id(load.run_id());
    let session = opened.with_plan(load.plan().clone());
    say_configuration(&session, load.run_id(), Some(&load));
    for remark in load.begin().await.map_err(|error| before_the_first_row(error, &stop, &again))? {
        terminal.say(&format!("note: {remark}"));
    }
    operation.control.set_run_id(load.run_id());
    let planned = began.elapsed();
    let info = RunInfo {
        worker: arguments.ledger.worker.to_string(),
        memory_limit_bytes: session.plan.memory.total,
    };
    course.begin(ObservedRun::new(info, operation.control.clone()));

    let work = async {
        let ran = load.run().await;
        sampler.close();
        ran
    };
    let running = show(terminal, shown(&session, &options, &operation, &counters, &stop), work);
    let printing = async {
        if arguments.sample > 0
            && let Ok(rows) = rows_for_sample.await
        {
            return sample::print_sample(terminal, &session.servers.target, &session.job, &rows)
                .await;
        }
        Ok(())
    };
    let (ran, printed) = tokio::join!(running, printing);
    counters.enter(Phase::Done);
    let status = match &ran {
        Ok(Ended::Complete | Ended::PartDone { .. }) => Status::Completed,
        Ok(Ended::Stopped) => Status::Interrupted,
        Err(_) => Status::Failed,
    };
    let ran = ran.map_err(|error| failure(error, &again));
    let error = ran.as_ref().err().map(Failure::one_line);
    let (run_id, chunks, levels) = (load.run_id().to_owned(), load.chunk_counts(), load.levels());
    let ending = Ending { status, error, run_id, chunks, levels, planned, total: began.elapsed() };
    let memory = session.plan.memory.total;
    let figures = summary(
        &What { job: &session.job, partition, dry_run: options.dry_run, memory },
        &counters,
        ending,
    );
    if terminal.is_json() {
        tracing::info!(summary = %serde_json::to_string(&figures).unwrap_or_default(), "the run has ended");
    } else {
        terminal.say(&figures.text());
    }
    course.summarize(figures);
    let ended = ran?;
    if let Err(error) = printed {
        tracing::warn!("the sample cannot be shown, the run is not affected: {}", error.one_line());
    }
    Ok(filled(ended, terminal, arguments.ledger.worker, &again))
}

/// Says what is next where the partition is not done.
fn filled(ended: Ended, terminal: &Terminal, worker: Slot, again: &str) -> Filled {
    match ended {
        Ended::Complete => Filled::Done,
        Ended::PartDone { left } => {
            terminal.insist(&format!(
                "worker {worker} has done its part; {left} chunks of other workers are left, the last of which completes the load"
            ));
            Filled::PartDone
        }
        Ended::Stopped => {
            terminal.insist(&format!("hint: {again}"));
            Filled::Interrupted
        }
    }
}

fn shown(
    session: &Session,
    options: &PipelineOptions,
    operation: &Operation,
    counters: &Arc<Counters>,
    stop: &Stop,
) -> Shown {
    let (counters, stop) = (counters.clone(), stop.clone());
    let name = format!("{} {}", session.job.name, session.plan.partition);
    let (throttle, samples) = (Some(operation.throttle.clone()), Some(operation.control.samples()));
    Shown {
        name,
        dry_run: options.dry_run,
        counters,
        stop,
        memory_limit: session.plan.memory.total,
        throttle,
        samples,
    }
}

/// Says why there is nothing to do.
fn nothing_to_do(
    what: &What<'_>,
    terminal: &Terminal,
    counters: &Counters,
    prepared: &Prepared,
    mut run_id: String,
    total: Duration,
) -> (Filled, Summary) {
    counters.enter(Phase::Done);
    let mut chunks = ChunkCounts::default();
    let (filled, text) = match prepared {
        Prepared::AlreadyComplete(load) => {
            run_id.clone_from(&load.run_id);
            chunks = ChunkCounts { total: load.chunks, before: load.chunks_completed, ..chunks };
            let when = load.completed_at.map_or_else(String::new, |when| format!(" at {when}"));
            let (key, rows) = (&load.key, count(load.rows_inserted));
            let text = format!(
                "{key} was completed{when} by run {run_id}, with {rows} rows: there is nothing to do\nhint: --restart fills it again"
            );
            (Filled::DoneBefore, text)
        }
        _ => (
            Filled::Empty,
            format!(
                "partition {} of {} has no rows: there is nothing to do",
                what.partition, what.job.source.name
            ),
        ),
    };
    terminal.insist(&text);
    let ending = Ending {
        status: Status::Completed,
        error: None,
        run_id,
        chunks,
        levels: (0, 0),
        planned: total,
        total,
    };
    (filled, summary(what, counters, ending))
}

/// What is kept of this moment, beside the counters.
fn observe(control: &Arc<Control>) -> Observe {
    let control = control.clone();
    Arc::new(move || {
        let sample = control.sample();
        Surroundings {
            active_parts: sample.parts.map(|parts| parts.parts),
            merges: sample.merges,
            server_memory_bytes: sample.memory_used,
            server_memory_limit_bytes: sample.memory_total,
            client_memory_bytes: memory_bytes(),
            waiting: control.reasons().join("; "),
        }
    })
}
