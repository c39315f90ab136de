//! `clickhouse-backfill run`: filling one partition.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::arguments::RunArguments;
use super::failure::Failure;
use super::session::{Session, new_run_id, open};
use super::signals::second_signal;
use super::{config, describe, logging, sample, summary_file};
use crate::pipeline::{Counters, Outcome, Phase, Pipeline, PipelineError, PipelineOptions, Repeats, Sampler, Stop, Work, repeats};
use crate::progress::{Seconds, Status, Summary, Terminal, peak_memory_bytes, show};

/// What a supervisor takes for "interrupted by a signal".
const INTERRUPTED: u8 = 130;

/// Runs the command to its end.
pub(super) fn run(arguments: &RunArguments, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    logging::start(&arguments.output, terminal)?;
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let code = runtime.block_on(async {
        let stop = Stop::new();
        tokio::select! {
            code = fill(arguments, terminal, began, stop.clone()) => code,
            listened = second_signal(stop, terminal.clone()) => match listened {
                Ok(()) => Ok(ExitCode::from(INTERRUPTED)),
                Err(error) => Err(Failure::stopped(&error)),
            },
        }
    });
    // Tasks that are still busy at the second signal are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match code {
        Err(failure) if terminal.is_json() => {
            failure.log();
            Ok(failure.exit_code())
        }
        code => code,
    }
}

async fn fill(arguments: &RunArguments, terminal: &Terminal, began: Instant, stop: Stop) -> Result<ExitCode, Failure> {
    summary_file::check(arguments.output.summary_json.as_deref())?;
    let run_id = new_run_id();
    let session = open(&arguments.server, &arguments.what, &arguments.throughput, &run_id).await?;
    let mut options = config::pipeline_options(arguments, &session.job, &session.resources, &run_id)?;
    if let Some(path) = &arguments.output.log_file {
        terminal.say(&format!("log file: {}", path.display()));
    }
    terminal.say(&describe::configuration(&session, &options, &run_id));
    settle_repeats(&session, terminal, &mut options, arguments.faults.allow_duplicates).await?;

    let counters = Arc::new(Counters::default());
    if session.plan.chunks.is_empty() {
        let job = &session.job;
        terminal.insist(&format!("partition {} of {} has no rows: there is nothing to do", session.plan.partition, job.source.name));
        counters.enter(Phase::Done);
        let total = began.elapsed();
        let ending = Ending { status: Status::Completed, error: None, levels: (0, 0), planned: total, total };
        let figures = summary(&session, options.dry_run, &counters, &run_id, ending);
        summary_file::write(arguments.output.summary_json.as_deref(), &figures)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (sampler, rows_for_sample) = Sampler::new(usize::from(arguments.sample));
    let sampler = Arc::new(sampler);
    let Session { servers, job, .. } = &session;
    let kept = (arguments.sample > 0).then(|| sampler.clone());
    let pipeline = Pipeline::new(servers.clone(), job.clone(), options.clone(), counters.clone(), stop.clone(), kept);
    pipeline
        .preflight()
        .await
        .map_err(|error| Failure::refused_because("the server refuses the insert that a run would send, tried without rows", &error))?;
    let planned = began.elapsed();

    let work = async {
        let ran = pipeline.run(&session.plan, &Work::all(&session.plan)).await;
        sampler.close();
        let ran = ran?;
        if ran.outcome == Outcome::Complete {
            pipeline.sweep(&session.plan).await;
        }
        if let Some(counted) = ran.counted.filter(|_| ran.outcome == Outcome::Complete) {
            pipeline.check_count(&session.plan, counted, counters.source_rows.get()).await?;
        }
        Ok::<_, PipelineError>(ran.outcome)
    };
    let running = show(terminal, counters.clone(), options.dry_run, work);
    let printing = async {
        if arguments.sample > 0
            && let Ok(rows) = rows_for_sample.await
        {
            return sample::print_sample(terminal, &servers.target, job, &rows).await;
        }
        Ok(())
    };
    let (ran, printed) = tokio::join!(running, printing);
    counters.enter(Phase::Done);
    let failure = ran.as_ref().err().map(|error| Failure::from(error).one_line());
    let status = match &ran {
        Ok(Outcome::Complete) => Status::Completed,
        Ok(Outcome::Stopped) => Status::Interrupted,
        Err(_) => Status::Failed,
    };
    let ending = Ending { status, error: failure, levels: pipeline.levels(), planned, total: began.elapsed() };
    let figures = summary(&session, options.dry_run, &counters, &run_id, ending);
    if terminal.is_json() {
        tracing::info!(summary = %serde_json::to_string(&figures).unwrap_or_default(), "the run has ended");
    } else {
        terminal.say(&figures.text());
    }
    summary_file::write(arguments.output.summary_json.as_deref(), &figures)?;
    let again = describe::safe_and_next(&session, &options);
    match ran {
        Ok(Outcome::Complete) => {
            if let Err(error) = printed {
                tracing::warn!("the sample cannot be shown, the run is not affected: {}", error.one_line());
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(Outcome::Stopped) => {
            terminal.insist(&again);
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(error) => Err(Failure::from(error).hint(again)),
    }
}

/// Finds out what keeps rows that are sent twice from being in the target twice, and says what a person should know of it.
async fn settle_repeats(session: &Session, terminal: &Terminal, options: &mut PipelineOptions, allowed: bool) -> Result<(), Failure> {
    if options.dry_run {
        return Ok(());
    }
    let found = repeats(&session.servers.target, &session.job, &session.plan, options, allowed).await?;
    options.ordered = matches!(found.repeats, Repeats::Recognized { .. });
    for remark in found.remarks {
        terminal.say(&format!("note: {remark}"));
    }
    Ok(())
}

/// How a run ended.
struct Ending {
    status: Status,
    error: Option<String>,
    /// Readers and inserters.
    levels: (usize, usize),
    /// Time until the plan was made, and until now.
    planned: Duration,
    total: Duration,
}

fn summary(session: &Session, dry_run: bool, counters: &Counters, run_id: &str, ending: Ending) -> Summary {
    let Ending { status, error, levels, planned, total } = ending;
    let numbers = counters.snapshot();
    let (lookup, stream) = counters.times();
    let rows_per_second = if stream.is_zero() { 0.0 } else { numbers.inserted_rows as f64 / stream.as_secs_f64() };
    Summary {
        status,
        job: session.job.name.clone(),
        partition: session.plan.partition.to_string(),
        run_id: run_id.to_owned(),
        dry_run,
        source: session.job.source.name.to_string(),
        target: session.job.target.name.to_string(),
        lookup_rows: numbers.lookup_rows,
        lookup_keys: numbers.lookup_keys,
        source_rows: numbers.source_rows,
        inserted_rows: numbers.inserted_rows,
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
        error,
        bytes_read: numbers.lookup_bytes + numbers.source_bytes,
        bytes_written: numbers.inserted_bytes,
        peak_memory_bytes: peak_memory_bytes(),
        rows_per_second,
        waves: numbers.waves,
        memory_limit_bytes: session.plan.memory.total,
        readers: levels.0 as u64,
        inserters: levels.1 as u64,
        seconds: Seconds {
            plan: planned.as_secs_f64(),
            lookup: lookup.as_secs_f64(),
            stream: stream.as_secs_f64(),
            total: total.as_secs_f64(),
        },
    }
}
