//! `clickhouse-backfill run`: fills one partition, or several with `sequence`.

use std::process::ExitCode;
use std::time::Instant;

use super::context::RunContext;
use super::notifier::Notifier;
use super::partition_run::{Filled, PartitionRun};
use super::sequence::fill_sequence;
use crate::cli::args::RunArguments;
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::output::{logging, summary_file};
use crate::cli::runtime::run_until_signalled;
use crate::plan::Partition;
use crate::progress::Terminal;

/// Runs the command.
pub(crate) fn run(arguments: &RunArguments, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    logging::start(&arguments.output, terminal)?;
    let stopping = "finishing inserts in flight; a second signal ends at once";
    run_until_signalled(terminal, stopping, |stop| async move {
        let mut notifier = Notifier::new(arguments, terminal);
        let result = match notifier.start().await {
            Ok(()) => {
                let overrides = arguments.throttle.wishes();
                let notifier = &notifier;
                fill(&RunContext { arguments, terminal, notifier, stop, overrides, began }).await
            }
            Err(failure) => Err(failure),
        };
        notifier.end(result).await
    })
}

async fn fill(context: &RunContext<'_>) -> Result<ExitCode, Failure> {
    let RunContext { arguments, terminal, .. } = context;
    summary_file::check(arguments.output.summary_json.as_deref())?;
    if let Some(path) = &arguments.output.log_file {
        terminal.say(&format!("log file: {}", path.display()));
    }
    let which = &arguments.which;
    match (&which.partition, &which.partitions) {
        (_, Some(_)) if arguments.plan.is_some() => {
            Err(Failure::usage("--plan needs --partition: a plan is for one partition"))
        }
        (_, Some(months)) => fill_sequence(context, months).await,
        (Some(partition), None) => fill_one(context, partition).await,
        (None, None) => {
            Err(Failure::usage("no partition is given: set --partition or --partitions"))
        }
    }
}

async fn fill_one(context: &RunContext<'_>, partition: &Partition) -> Result<ExitCode, Failure> {
    let mut run = PartitionRun::new(context, partition, context.stop.clone(), context.began);
    let filled = run.fill().await;
    // Hooks find the file when they run.
    let path = context.arguments.output.summary_json.as_deref();
    let written = run.summary().map_or(Ok(()), |summary| summary_file::write(path, summary));
    let filled = filled.and_then(|filled| written.map(|()| filled));
    run.end(filled.as_ref().err()).await;
    Ok(match filled? {
        Filled::Interrupted => ExitCode::from(INTERRUPTED),
        Filled::Done | Filled::DoneBefore | Filled::Empty | Filled::PartDone => ExitCode::SUCCESS,
    })
}
