//! `clickhouse-backfill status`: the state of a load, from the ledger alone.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::cli::args::{CompressionChoice, StatusArguments};
use crate::cli::config::LoadConfig;
use crate::cli::failure::{End, Failure, connecting};
use crate::cli::output::load_status;
use crate::cli::output::next_command::NextCommand;
use crate::cli::output::{print, print_raw};
use crate::clickhouse::{Servers, TableName};
use crate::escape::escape;
use crate::job::load;
use crate::ledger::status::{LoadStatus, read};
use crate::ledger::{Ledger, LedgerError, LoadKey};
use crate::load::new_id;
use crate::progress::{Terminal, TerminalOptions};
use crate::state::LoadState;

/// How long the ledger is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command.
pub(crate) fn status(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    runtime.block_on(look(arguments))?;
    // A query that has timed out may still be in flight.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn look(arguments: &StatusArguments) -> Result<(), Failure> {
    let StatusArguments { which, what, server, ledger, .. } = arguments;
    let config = LoadConfig::resolve(what, &which.partition, server, ledger)?;
    let servers = config.servers.connect(CompressionChoice::None, &new_id())?;
    let key = key(&config, &servers)?;
    let ledger = config.ledger.open(&servers.target);
    let once = async || {
        let read = timeout(PATIENCE, read(&ledger, &key, config.claim_timeout)).await;
        read.unwrap_or(Err(LedgerError::Silent { after: PATIENCE }))
            .map_err(|error| failure(&error))
    };
    let mut standing = once().await?;
    show(arguments, &config, &ledger, &standing)?;
    let Some(seconds) = arguments.watch else { return Ok(()) };
    while standing.state != LoadState::Completed {
        sleep(Duration::from_secs(seconds)).await;
        match once().await {
            Ok(now) => {
                standing = now;
                show(arguments, &config, &ledger, &standing)?;
            }
            // Watching continues after a failure: it may pass.
            Err(failure) => {
                Terminal::new(TerminalOptions::default())
                    .insist(&format!("cannot read the ledger now: {}", failure.one_line()));
            }
        }
    }
    Ok(())
}

/// The load that `run` would work on with the same flags. The tables are not queried, so no right on
/// them is needed.
pub(crate) fn key(config: &LoadConfig, servers: &Servers) -> Result<LoadKey, Failure> {
    let job = load(&config.job.reference)?;
    let (source, target) =
        (servers.source.endpoint().database(), servers.target.endpoint().database());
    let target_table = config.job.options.target_table.as_deref().unwrap_or(&job.target.table);
    Ok(LoadKey {
        job: job.name.clone(),
        source_table: TableName::parse(&job.source.table, source).to_string(),
        target_table: TableName::parse(target_table, target).to_string(),
        partition_id: config.partition.id().to_owned(),
    })
}

fn show(
    arguments: &StatusArguments,
    config: &LoadConfig,
    ledger: &Ledger,
    standing: &LoadStatus,
) -> Result<(), Failure> {
    let next = next_command(config, standing.state);
    if arguments.json {
        return print(&load_status::json(standing, &next));
    }
    let text = load_status::text(standing, &ledger.describe(), &next);
    match arguments.watch {
        None => print(&text),
        Some(_) if io::stdout().is_terminal() => print_raw(&load_status::in_place(&escape(&text))),
        Some(_) => print(&format!("{text}\n")),
    }
}

/// The command to run for a load in this state.
fn next_command(config: &LoadConfig, state: LoadState) -> String {
    let command = match state {
        LoadState::NotStarted | LoadState::Interrupted | LoadState::Failed => "run",
        LoadState::Started => "status",
        LoadState::Completed => "verify",
    };
    let next = NextCommand::new(command)
        .servers(&config.servers)
        .job(&config.job)
        .ledger(&config.ledger, &config.servers)
        .partition(&config.partition);
    if state == LoadState::Started { next.flag("--watch").text() } else { next.text() }
}

fn failure(error: &LedgerError) -> Failure {
    match error {
        LedgerError::Server { source, .. } if source.is_no_response() => {
            connecting(source, End::Target)
        }
        LedgerError::Server { table, .. } if error.is_access_denied() => {
            Failure::stopped(error).hint(format!("the user needs SELECT ON {table}"))
        }
        LedgerError::Server { source, .. } if source.code().is_some() => {
            connecting(source, End::Target)
        }
        LedgerError::File { .. } => Failure::misuse(error)
            .hint("--ledger names the folder; this user must be able to read it"),
        _ => Failure::stopped(error),
    }
}
