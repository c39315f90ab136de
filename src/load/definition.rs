//! The definition of a load, from the job bound to its tables and the options of the run.

use crate::clickhouse::Servers;
use crate::engine::stream::PipelineOptions;
use crate::job::{BoundJob, Publish};
use crate::ledger::definition::{BatchDefinition, FORMAT_VERSION};
use crate::ledger::{LoadDefinition, job_definition};

/// The definition of a load. Options that change only its speed are not in it.
pub(crate) fn definition(
    job: &BoundJob,
    options: &PipelineOptions,
    chunk_rows: u64,
    servers: &Servers,
    server_version: &str,
) -> LoadDefinition {
    // A target of another engine recognizes a repeated batch only if it is cut at the same rows.
    let is_recognized = !job.target.is_replacing() && job.publish == Publish::InPlace;
    let batches = is_recognized.then(|| batches(job, options));
    LoadDefinition {
        format_version: FORMAT_VERSION,
        server_version: server_version.to_owned(),
        chunk_rows,
        job: job_definition(job, servers),
        batches,
    }
}

fn batches(job: &BoundJob, options: &PipelineOptions) -> BatchDefinition {
    let source = job.source_columns.iter().map(|column| format!("source.{}", column.name));
    let lookup = job.lookup.iter().flat_map(|lookup| &lookup.columns);
    let lookup = lookup.map(|column| format!("lookup.{}", column.name));
    BatchDefinition {
        rows: options.batch_rows,
        bytes: options.batch_bytes,
        late_bytes: job.has_deferred_lookup().then_some(options.deferred.reader),
        columns: source.chain(lookup).collect(),
    }
}
