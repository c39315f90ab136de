//! From arguments to what the library takes.

use std::fs;
use std::path::Path;

use super::arguments::{RunArguments, ServerArguments, ThroughputArguments, WhatArguments};
use super::failure::{Failure, connecting};
use crate::clickhouse::{Connection, Endpoint, Password, QueryPrefix, Timeouts};
use crate::job::BindOptions;
use crate::pipeline::{PipelineOptions, RetryPolicy};
use crate::plan::{MemoryDemand, MemoryPlan};
use crate::progress::available_memory_bytes;

/// A row that is longer than this is taken for a broken stream.
const MAX_ROW_BYTES: usize = 1 << 30;

/// Where the machine does not say how much memory is free.
const MEMORY_UNKNOWN: u64 = 4 << 30;

/// Where the server does not say how many cores it has.
const INSERTERS_UNKNOWN: u16 = 2;
/// More inserters than this help only against many disks; they can be asked for.
const INSERTERS_MOST: u64 = 8;

/// Prepares the connection; nothing is sent yet.
pub(super) fn connection(arguments: &ServerArguments, run_id: &str) -> Result<Connection, Failure> {
    let password = match &arguments.clickhouse_password_file {
        Some(path) => Some(password_from(path)?),
        None => arguments.clickhouse_password.as_ref().map(Password::new),
    };
    if arguments.clickhouse_db.is_empty() {
        return Err(Failure::usage("the database is empty; set --clickhouse-db or CLICKHOUSE_DB"));
    }
    let endpoint = Endpoint::new(&arguments.clickhouse_url, arguments.clickhouse_user.as_deref(), password, &arguments.clickhouse_db);
    let endpoint = endpoint.map_err(|error| connecting(&error))?;
    Connection::new(endpoint, QueryPrefix::new(run_id), Timeouts::default()).map_err(|error| connecting(&error))
}

fn password_from(path: &Path) -> Result<Password, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("the password file {} cannot be read: {error}", path.display())))?;
    Ok(Password::new(text.lines().next().unwrap_or_default()))
}

/// What the command line changes of the job.
pub(super) fn bind_options(arguments: &WhatArguments) -> BindOptions {
    let exclusions = if arguments.exclude_dataset_items { vec!["dataset-items".to_owned()] } else { Vec::new() };
    BindOptions { target_table: arguments.target_table.clone(), exclusions }
}

/// How the pipeline works.
pub(super) fn pipeline_options(arguments: &RunArguments, memory: &MemoryPlan, inserters: u16) -> PipelineOptions {
    let ThroughputArguments { batch_size, stream_block_size, readers, max_retries, .. } = arguments.throughput;
    PipelineOptions {
        dry_run: arguments.dry_run,
        batch_rows: batch_size,
        batch_bytes: memory.batch_bytes,
        stream_block_rows: stream_block_size,
        readers: usize::from(readers),
        inserters: usize::from(inserters),
        queue_bytes: memory.queue,
        max_row_bytes: MAX_ROW_BYTES,
        retry: RetryPolicy { max_retries, ..RetryPolicy::default() },
    }
}

/// Batches inserted at once; asks the server for its cores where that was left to it.
pub(super) async fn inserters(arguments: &ThroughputArguments, connection: &Connection) -> u16 {
    match arguments.inserters {
        Some(inserters) => inserters,
        None => server_cores(connection).await,
    }
}

/// Divides the memory that was given, or half of what is free.
pub(super) fn memory(arguments: &ThroughputArguments, inserters: u16) -> Result<MemoryPlan, Failure> {
    let total = arguments.memory.unwrap_or_else(|| available_memory_bytes().map_or(MEMORY_UNKNOWN, |available| available / 2));
    let demand =
        MemoryDemand { total, readers: u64::from(arguments.readers), inserters: u64::from(inserters), batch_bytes: arguments.batch_bytes };
    MemoryPlan::divide(demand).map_err(|error| Failure::usage(error.to_string()).hint("raise --memory, or lower --readers and --inserters"))
}

/// `max_threads`, which the server sets to the number of its cores.
async fn server_cores(connection: &Connection) -> u16 {
    #[derive(serde::Deserialize)]
    struct Threads {
        threads: u64,
    }
    let asked = connection.row::<Threads>("cores", "SELECT toUInt64(getSetting('max_threads')) AS threads").await;
    match asked {
        Ok(Threads { threads }) => u16::try_from(threads.clamp(1, INSERTERS_MOST)).unwrap_or(INSERTERS_UNKNOWN),
        Err(error) => {
            tracing::debug!(%error, "the server does not say how many cores it has");
            INSERTERS_UNKNOWN
        }
    }
}
