//! `clickhouse-backfill history`: what was done of all partitions, and what is missing between
//! them.

use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::advice::load_failure;
use super::session::greet;
use crate::cli::args::{CompressionChoice, HistoryArguments, connect};
use crate::cli::failure::Failure;
use crate::cli::output::{comparison, print};
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
    let servers = connect::servers(&arguments.server, CompressionChoice::None, &new_id())?;
    let only = arguments
        .job
        .as_deref()
        .map(|job| filling(job, arguments.target_table.as_deref(), &servers))
        .transpose()?;
    greet(&servers).await?;
    let ledger = arguments.ledger.open(&servers.target);
    let options = HistoryOptions { only, claim_timeout: arguments.ledger.claim_timeout };
    let mut histories = gather(&ledger, &servers.source, &options)
        .await
        .map_err(|error| load_failure(error.into(), "nothing was changed; try again"))?;
    if let (None, Some(target)) = (&arguments.job, &arguments.target_table) {
        let target = TableName::parse(target, servers.target.endpoint().database()).to_string();
        histories.retain(|history| history.target == target);
    }
    if arguments.json {
        print(&comparison::json(&histories))?;
    } else if histories.is_empty() {
        print(&format!(
            "the ledger, {}, knows of no load\nhint: with --job, the partitions are listed that nothing was begun of\n",
            ledger.describe()
        ))?;
    } else {
        print(&text(&histories))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What this job fills, by its file alone: its tables need not be as it wants them.
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
