//! `clickhouse-backfill run`: filling one partition.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::arguments::RunArguments;
use super::failure::Failure;
use super::figures::{Ending, Filled, summary};
use super::load_failure::failure;
use super::session::{Opened, Session, open};
use super::signals::second_signal;
use super::{config, describe, logging, sample, summary_file};
use crate::load::{ChunkCounts, Ended, Load, LoadRequest, Prepared, new_id, prepare};
use crate::pipeline::{Counters, Phase, Sampler, Stop};
use crate::progress::{Status, Terminal, count, show};

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
    let id = new_id();
    let opened = open(&arguments.server, &arguments.what, &arguments.throughput, &id).await?;
    let options = config::pipeline_options(arguments, &opened.job, &opened.resources)?;
    let recording = arguments.ledger.recording(opened.servers.target.endpoint().database(), options.outage_wait)?;
    if let Some(path) = &arguments.output.log_file {
        terminal.say(&format!("log file: {}", path.display()));
    }

    let counters = Arc::new(Counters::default());
    let (sampler, rows_for_sample) = Sampler::new(usize::from(arguments.sample));
    let sampler = Arc::new(sampler);
    let request = LoadRequest {
        servers: opened.servers.clone(),
        server_version: opened.server_version.clone(),
        job: opened.job.clone(),
        partition: arguments.what.partition.clone(),
        plan: opened.plan_options(),
        pipeline: options.clone(),
        recording: (!options.dry_run).then_some(recording),
        allow_duplicates: arguments.faults.allow_duplicates,
        counters: counters.clone(),
        stop,
        sampler: (arguments.sample > 0).then(|| sampler.clone()),
    };
    let again = describe::safe_and_next(&opened.job, options.dry_run);
    let prepared = prepare(request).await.map_err(|error| failure(error, &again))?;
    let say_configuration = |session: &Session, run_id: &str, load: Option<&Load>| {
        terminal.say(&describe::configuration(session, &options, run_id, load, arguments.ledger.worker));
    };
    let Prepared::Ready(mut load) = prepared else {
        if let Prepared::Empty(plan) = &prepared {
            say_configuration(&opened.clone().with_plan((**plan).clone()), &id, None);
        }
        return nothing_to_do(arguments, terminal, &opened, &counters, &prepared, id, began.elapsed());
    };
    let session = opened.with_plan(load.plan().clone());
    say_configuration(&session, load.run_id(), Some(&load));
    for remark in load.begin().await.map_err(|error| failure(error, &again))? {
        terminal.say(&format!("note: {remark}"));
    }
    let planned = began.elapsed();

    let work = async {
        let ran = load.run().await;
        sampler.close();
        ran
    };
    let running = show(terminal, counters.clone(), options.dry_run, work);
    let printing = async {
        if arguments.sample > 0
            && let Ok(rows) = rows_for_sample.await
        {
            return sample::print_sample(terminal, &session.servers.target, &session.job, &rows).await;
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
    let (partition, memory) = (&arguments.what.partition, session.plan.memory.total);
    let figures = summary(&Filled { job: &session.job, partition, dry_run: options.dry_run, memory }, &counters, ending);
    if terminal.is_json() {
        tracing::info!(summary = %serde_json::to_string(&figures).unwrap_or_default(), "the run has ended");
    } else {
        terminal.say(&figures.text());
    }
    summary_file::write(arguments.output.summary_json.as_deref(), &figures)?;
    let ended = ran?;
    if ended == Ended::Stopped {
        terminal.insist(&again);
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if let Ended::PartDone { left } = ended {
        let worker = arguments.ledger.worker;
        terminal.insist(&format!(
            "worker {worker} has done its part; {left} chunks of other workers are left, the last of which completes the load"
        ));
    }
    if let Err(error) = printed {
        tracing::warn!("the sample cannot be shown, the run is not affected: {}", error.one_line());
    }
    Ok(ExitCode::SUCCESS)
}

/// Says why there is nothing to do.
fn nothing_to_do(
    arguments: &RunArguments,
    terminal: &Terminal,
    opened: &Opened,
    counters: &Counters,
    prepared: &Prepared,
    mut run_id: String,
    total: Duration,
) -> Result<ExitCode, Failure> {
    counters.enter(Phase::Done);
    let mut chunks = ChunkCounts::default();
    let text = match prepared {
        Prepared::AlreadyComplete(load) => {
            run_id.clone_from(&load.run_id);
            chunks = ChunkCounts { total: load.chunks, before: load.chunks_completed, ..chunks };
            let when = load.completed_at.map_or_else(String::new, |when| format!(" at {when}"));
            let rows = count(load.rows_inserted);
            format!("{} was completed{when} by run {run_id}, with {rows} rows: there is nothing to do (--restart fills it again)", load.key)
        }
        _ => format!("partition {} of {} has no rows: there is nothing to do", arguments.what.partition, opened.job.source.name),
    };
    terminal.insist(&text);
    let ending = Ending { status: Status::Completed, error: None, run_id, chunks, levels: (0, 0), planned: total, total };
    let (partition, memory) = (&arguments.what.partition, opened.resources.memory.total);
    let figures = summary(&Filled { job: &opened.job, partition, dry_run: arguments.dry_run, memory }, counters, ending);
    summary_file::write(arguments.output.summary_json.as_deref(), &figures)?;
    Ok(ExitCode::SUCCESS)
}
