//! From arguments to what the library takes.

use std::time::Duration;

use super::resources::Resources;
use crate::cli::args::{
    FaultArguments, FormatChoice, RunArguments, ThroughputArguments, WhatArguments,
};
use crate::cli::failure::Failure;
use crate::engine::stream::{Patience, PipelineOptions, RetryPolicy, RowFormat};
use crate::job::{BindOptions, BoundJob};
use crate::stop::Stop;

/// What the command line changes of the job.
pub(crate) fn bind_options(arguments: &WhatArguments) -> BindOptions {
    let exclusions =
        if arguments.exclude_dataset_items { vec!["dataset-items".to_owned()] } else { Vec::new() };
    BindOptions { target_table: arguments.target_table.clone(), exclusions }
}

/// How the pipeline works.
pub(crate) fn pipeline_options(
    arguments: &RunArguments,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    let options = filling(&arguments.throughput, &arguments.faults, job, resources)?;
    Ok(PipelineOptions { dry_run: arguments.dry_run, ..options })
}

/// The same for a command that always writes.
pub(crate) fn filling(
    throughput: &ThroughputArguments,
    faults: &FaultArguments,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    Ok(PipelineOptions {
        outage_wait: faults.outage_wait,
        drain_timeout: faults.drain_timeout,
        max_failed_chunks: faults.max_failed_chunks,
        ..impatient(throughput, job, resources)?
    })
}

/// The same without patience for faults: nobody is waited for, and the first chunk that fails is
/// the last.
pub(crate) fn impatient(
    throughput: &ThroughputArguments,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    let ThroughputArguments { batch_size, stream_block_size, .. } = *throughput;
    let Resources { readers, inserters, memory, .. } = *resources;
    Ok(PipelineOptions {
        format: row_format(throughput.insert_format, job)?,
        batch_rows: batch_size,
        stream_block_rows: stream_block_size,
        retry: retry(throughput),
        outage_wait: Duration::ZERO,
        drain_timeout: Duration::ZERO,
        max_failed_chunks: 0,
        ..PipelineOptions::new(job, &memory, readers, inserters)
    })
}

/// How often statements are tried again.
fn retry(throughput: &ThroughputArguments) -> RetryPolicy {
    RetryPolicy { max_retries: throughput.max_retries, ..RetryPolicy::default() }
}

/// How long what comes before the first row is asked again.
pub(crate) fn patience(
    throughput: &ThroughputArguments,
    faults: &FaultArguments,
    stop: &Stop,
) -> Patience {
    Patience { retry: retry(throughput), outage_wait: faults.outage_wait, stop: stop.clone() }
}

/// Settles the format of inserts.
pub(crate) fn row_format(choice: FormatChoice, job: &BoundJob) -> Result<RowFormat, Failure> {
    match (choice, &job.native_layout) {
        (FormatChoice::Rowbinary, _) | (FormatChoice::Auto, Err(_)) => Ok(RowFormat::RowBinary),
        (_, Ok(layout)) => Ok(RowFormat::Native(layout.clone())),
        (FormatChoice::Native, Err(reason)) => {
            let message = format!("rows of this job cannot be inserted as native blocks: {reason}");
            Err(Failure::usage(message).hint("--insert-format auto inserts them as RowBinary"))
        }
    }
}
