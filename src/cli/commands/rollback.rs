//! `clickhouse-backfill rollback`: puts back what a load has replaced; and `undo`: removes what loads
//! have inserted.

use std::fmt::Write;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::advice::{Continuation, ledger_failure, load_failure};
use super::session::greet;
use super::status::key;
use crate::cli::args::{CompressionChoice, RollbackArguments};
use crate::cli::config::{JobConfig, LoadConfig};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::job::{Publish, bind, load};
use crate::ledger::partitions_in_words;
use crate::load::{Rollback, RollbackRequest, Undo, UndoError, UndoRequest, new_id};
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

/// Runs the command `undo`.
pub(crate) fn undo(arguments: &RollbackArguments) -> Result<ExitCode, Failure> {
    let reference = JobConfig::resolve(&arguments.what)?.reference;
    if load(&reference)?.target.publish == Publish::Replace {
        return rollback(arguments);
    }
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    runtime.block_on(remove(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn remove(arguments: &RollbackArguments) -> Result<(), Failure> {
    let RollbackArguments { which, what, server, ledger, yes, format } = arguments;
    let config = LoadConfig::resolve(what, &which.partition, server, ledger)?;
    let servers = config.servers.connect(CompressionChoice::None, &new_id())?;
    greet(&servers).await?;
    let job = bind(&servers, &config.job.load()?, &config.job.options).await?;
    let key = key(&config, &servers)?;
    let ledger = config.ledger.open(&servers.target);
    let request = UndoRequest { ledger: &ledger, key: &key, servers: &servers, job: &job };
    let found = if *yes { request.carry_out().await } else { request.plan().await };
    let undo = found.map_err(|error| undo_failure(&error, &job.name))?;
    if format.is_json() {
        // This structure always serializes.
        let text = serde_json::to_string(&undo).unwrap_or_default();
        return print(&format!("{text}\n"));
    }
    let next = if undo.done {
        config.next("run").flag("--restart").text()
    } else {
        config.next("undo").flag("--yes").text()
    };
    print(&undo_text(&undo, &next))
}

fn undo_failure(error: &UndoError, job: &str) -> Failure {
    match error {
        UndoError::NoLoad(_) => Failure::refusal(error)
            .hint("`clickhouse-backfill history` lists the loads; --job, --target-table, --ledger and --ledger-db choose one"),
        UndoError::NoOwner { .. } => Failure::refusal(error).hint(format!(
            "`owned` under [target] of the job is a condition on its rows, such as owned = \"source = '{job}'\""
        )),
        UndoError::Unattributed { .. } => Failure::refusal(error)
            .hint("remove the rows by hand, then `run --restart` fills the partition again"),
        UndoError::Ledger(error) => ledger_failure(error, &Continuation::of_read()),
        UndoError::Published(_) => Failure::refusal(error)
            .hint("set publish = \"replace\" under [target] of the job again and use `rollback`"),
        UndoError::NotRemovable { .. } => Failure::refusal(error).hint(
            "grant ALTER DELETE on the target to this user; the engine must be a MergeTree. Nothing was changed",
        ),
        error => Failure::stopped(error).hint("run the same command again; it removes what is left"),
    }
}

fn undo_text(undo: &Undo, next: &str) -> String {
    let Undo { target, partition, run_id, state, rows, other_rows, views, done } = undo;
    let rows = counted(*rows, "row");
    let mut text = if *done {
        format!("undone: {rows} of partition {partition} removed from {target}\n")
    } else {
        format!(
            "dry run, nothing was changed: {rows} of partition {partition} would be removed from {target}\n"
        )
    };
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<10}{value}");
    };
    line("load", &format!("run {run_id}, {} before", state.text()));
    if *other_rows > 0 {
        line("stay", &format!("{} that the job does not own", counted(*other_rows, "row")));
    }
    for view in views {
        line("stay", &format!("rows that a view has written into {view}"));
    }
    line("next", next);
    text
}

fn text(rollback: &Rollback, next: &str) -> String {
    let Rollback { target, partitions, run_id, rows_now, rows_kept, done, .. } = rollback;
    let partition = partitions_in_words(partitions.iter().map(String::as_str));
    let [has, gets, had, was] = if partitions.len() == 1 {
        ["has", "gets", "the partition had", "the partition was"]
    } else {
        ["have", "get", "the partitions had", "the partitions were"]
    };
    let from = match &rollback.kept {
        Some(kept) => format!("the {} of {kept}", counted(*rows_kept, "row")),
        None => format!("no rows: {had} none"),
    };
    let current = match &rollback.current_run_id {
        Some(run_id) => format!("run {run_id} is current afterwards"),
        None => "no version of the load is current afterwards".to_owned(),
    };
    let since = match rollback.rows_published {
        Some(published) if published != *rows_now => {
            format!("; the run published {}, and {was} written to since", counted(published, "row"))
        }
        _ => String::new(),
    };
    let now = counted(*rows_now, "row");
    if *done {
        return format!(
            "rolled back: {partition} of {target} {has} {from}\n  removed   {now} of run {run_id}{since}\n  ledger    {current}\n"
        );
    }
    format!(
        "dry run, nothing was changed: {partition} of {target} {gets} {from}\n  removes   {now} of run {run_id}{since}\n  ledger    {current}\n  next      {next}\n"
    )
}
