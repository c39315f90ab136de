//! From arguments to what the library takes.

use super::arguments::{FormatChoice, RunArguments, ThroughputArguments, WhatArguments};
use super::failure::Failure;
use super::fault_arguments::FaultArguments;
use super::resources::Resources;
use crate::job::{BindOptions, BoundJob};
use crate::pipeline::{PipelineOptions, RetryPolicy, RowFormat};

/// A row that is longer than this is taken for a broken stream.
pub(super) const MAX_ROW_BYTES: usize = 1 << 30;

/// What the command line changes of the job.
pub(super) fn bind_options(arguments: &WhatArguments) -> BindOptions {
    let exclusions = if arguments.exclude_dataset_items { vec!["dataset-items".to_owned()] } else { Vec::new() };
    BindOptions { target_table: arguments.target_table.clone(), exclusions }
}

/// How the pipeline works.
pub(super) fn pipeline_options(arguments: &RunArguments, job: &BoundJob, resources: &Resources) -> Result<PipelineOptions, Failure> {
    let options = filling(&arguments.throughput, &arguments.faults, job, resources)?;
    Ok(PipelineOptions { dry_run: arguments.dry_run, ..options })
}

/// The same for a command that always writes.
pub(super) fn filling(
    throughput: &ThroughputArguments,
    faults: &FaultArguments,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    let ThroughputArguments { batch_size, stream_block_size, max_retries, .. } = *throughput;
    let Resources { readers, inserters, memory } = *resources;
    Ok(PipelineOptions {
        format: row_format(throughput.insert_format, job)?,
        dry_run: false,
        ordered: false,
        batch_rows: batch_size,
        batch_bytes: memory.batch_bytes,
        stream_block_rows: stream_block_size,
        readers,
        inserters,
        queue_bytes: memory.queue,
        late: memory.late,
        max_row_bytes: MAX_ROW_BYTES,
        retry: RetryPolicy { max_retries, ..RetryPolicy::default() },
        outage_wait: faults.outage_wait,
        drain_timeout: faults.drain_timeout,
        max_failed_chunks: faults.max_failed_chunks,
        // The load says it, when it is known which one it is.
        token_prefix: String::new(),
    })
}

/// Settles the format of inserts.
pub(super) fn row_format(choice: FormatChoice, job: &BoundJob) -> Result<RowFormat, Failure> {
    match (choice, &job.native_layout) {
        (FormatChoice::Rowbinary, _) | (FormatChoice::Auto, Err(_)) => Ok(RowFormat::RowBinary),
        (_, Ok(layout)) => Ok(RowFormat::Native(layout.clone())),
        (FormatChoice::Native, Err(reason)) => {
            Err(Failure::usage(format!("rows of this job cannot be inserted as native blocks: {reason}")))
        }
    }
}
