//! `clickhouse-backfill rollback`: puts back what a load has replaced.

use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::advice::{Continuation, load_failure};
use super::status::key;
use crate::cli::args::{CompressionChoice, RollbackArguments};
use crate::cli::config::LoadConfig;
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::load::{Rollback, RollbackRequest, new_id};
use crate::progress::counted;

/// Runs the command.
pub(crate) fn rollback(arguments: &RollbackArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    runtime.block_on(put_back(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn put_back(arguments: &RollbackArguments) -> Result<(), Failure> {
    let RollbackArguments { which, what, server, ledger, yes, format } = arguments;
    let config = LoadConfig::resolve(what, &which.partition, server, ledger)?;
    let servers = config.servers.connect(CompressionChoice::None, &new_id())?;
    let key = key(&config, &servers)?;
    let ledger = config.ledger.open(&servers.target);
    let request = RollbackRequest { ledger: &ledger, key: &key, servers: &servers };
    let found = if *yes { request.carry_out().await } else { request.plan().await };
    let rollback = found.map_err(|error| load_failure(error, &Continuation::of_read()))?;
    if format.is_json() {
        // This structure always serializes.
        let text = serde_json::to_string(&rollback).unwrap_or_default();
        return print(&format!("{text}\n"));
    }
    print(&text(&rollback, &config.next("rollback").flag("--yes").text()))
}

fn text(rollback: &Rollback, next: &str) -> String {
    let Rollback { target, partition, run_id, rows_now, rows_kept, done, .. } = rollback;
    let from = match &rollback.kept {
        Some(kept) => format!("the {} of {kept}", counted(*rows_kept, "row")),
        None => "no rows: the partition had none".to_owned(),
    };
    let current = match &rollback.current_run_id {
        Some(run_id) => format!("run {run_id} is current afterwards"),
        None => "no version of the load is current afterwards".to_owned(),
    };
    let since = match rollback.rows_published {
        Some(published) if published != *rows_now => {
            format!(
                "; the run published {}, and the partition was written to since",
                counted(published, "row")
            )
        }
        _ => String::new(),
    };
    let now = counted(*rows_now, "row");
    if *done {
        return format!(
            "rolled back: partition {partition} of {target} has {from}\n  removed   {now} of run {run_id}{since}\n  ledger    {current}\n"
        );
    }
    format!(
        "dry run, nothing was changed: partition {partition} of {target} gets {from}\n  removes   {now} of run {run_id}{since}\n  ledger    {current}\n  next      {next}\n"
    )
}
