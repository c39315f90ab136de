//! `clickhouse-backfill history`: the loads of all partitions, and the partitions without one.

use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::advice::{Continuation, load_failure};
use super::session::greet;
use crate::cli::args::{CompressionChoice, HistoryArguments};
use crate::cli::config::{LedgerConfig, ServerConfig};
use crate::cli::failure::Failure;
use crate::cli::output::{json, print};
use crate::clickhouse::{Servers, TableName};
use crate::job::load;
use crate::load::new_id;
use crate::report::history::{HistoryOptions, JobTables, gather, text};

/// Prints the history.
pub(crate) fn history(arguments: &HistoryArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    runtime.block_on(list(arguments))
}

async fn list(arguments: &HistoryArguments) -> Result<ExitCode, Failure> {
    let config = ServerConfig::resolve(&arguments.server)?;
    let servers = config.connect(CompressionChoice::None, &new_id())?;
    let only = arguments
        .job
        .as_deref()
        .map(|job| filling(job, arguments.target_table.as_deref(), &servers))
        .transpose()?;
    greet(&servers).await?;
    let ledger = LedgerConfig::resolve(&arguments.ledger.place, config.target_database())
        .open(&servers.target);
    let options = HistoryOptions { only, claim_timeout: arguments.ledger.claim_timeout };
    let mut histories = gather(&ledger, &servers.source, &options)
        .await
        .map_err(|error| load_failure(error.into(), &Continuation::of_read()))?;
    if let (None, Some(target)) = (&arguments.job, &arguments.target_table) {
        let target = TableName::parse(target, servers.target.endpoint().database()).to_string();
        histories.retain(|history| history.target == target);
    }
    if arguments.json {
        print(&json(&histories))?;
    } else if histories.is_empty() {
        print(&format!(
            "the ledger, {}, has no loads\nhint: --job lists the partitions of a job that are not started\n",
            ledger.describe()
        ))?;
    } else {
        print(&text(&histories))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The tables of a job, from its file alone: they need not fit the job.
fn filling(job: &str, target_table: Option<&str>, servers: &Servers) -> Result<JobTables, Failure> {
    let job = load(job)?;
    let target = target_table.unwrap_or(&job.target.table);
    Ok(JobTables {
        source: TableName::parse(&job.source.table, servers.source.endpoint().database())
            .to_string(),
        target: TableName::parse(target, servers.target.endpoint().database()).to_string(),
        job: job.name,
    })
}
