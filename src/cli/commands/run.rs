//! `clickhouse-backfill run`: fills one partition, or several with `sequence`.

use std::process::ExitCode;
use std::time::Instant;

use super::context::RunContext;
use super::notifier::Notifier;
use super::partition_run::PartitionRun;
use super::sequence::fill_sequence;
use crate::cli::args::RunArguments;
use crate::cli::config::{Partitions, RunConfig};
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::output::summary_file;
use crate::cli::runtime::run_until_signalled;
use crate::plan::Partition;
use crate::progress::Terminal;
use crate::state::RunOutcome;
use crate::stop::Stop;

/// Runs the command.
pub(crate) fn run(arguments: &RunArguments, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let stopping = "finishing inserts in flight; a second signal ends at once";
    run_until_signalled(terminal, stopping, |stop| async move {
        let mut notifier = Notifier::new(arguments, terminal);
        let result = match notifier.start().await {
            Ok(()) => fill(arguments, terminal, &notifier, stop, began).await,
            Err(failure) => Err(failure),
        };
        notifier.end(result).await
    })
}

async fn fill(
    arguments: &RunArguments,
    terminal: &Terminal,
    notifier: &Notifier<'_>,
    stop: Stop,
    began: Instant,
) -> Result<ExitCode, Failure> {
    summary_file::check(arguments.output.summary_json.as_deref())?;
    if let Some(path) = &arguments.output.log_file {
        terminal.say(&format!("log file: {}", path.display()));
    }
    let config = &RunConfig::resolve(arguments)?;
    let overrides = config.throttle.overrides();
    let context = RunContext { config, terminal, notifier, stop, overrides, began };
    match &config.partitions {
        Partitions::One(partition) => fill_one(&context, partition).await,
        Partitions::Months { months, order, keep_going } => {
            fill_sequence(&context, months, *order, *keep_going).await
        }
    }
}

async fn fill_one(context: &RunContext<'_>, partition: &Partition) -> Result<ExitCode, Failure> {
    let mut run = PartitionRun::new(context, partition, context.stop.clone(), context.began);
    let filled = run.fill().await;
    // Hooks find the file when they run.
    let path = context.config.output.summary_json.as_deref();
    let written = run.summary().map_or(Ok(()), |summary| summary_file::write(path, summary));
    let filled = filled.and_then(|filled| written.map(|()| filled));
    run.end(filled.as_ref().err()).await;
    Ok(match filled? {
        RunOutcome::Interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}
