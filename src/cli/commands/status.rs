//! `clickhouse-backfill status`: the state of a load, from the ledger alone, as text and as JSON.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::advice::is_permanent;
use crate::causes::shortened;
use crate::cli::args::{CompressionChoice, StatusArguments};
use crate::cli::config::LoadConfig;
use crate::cli::failure::{End, Failure, connecting};
use crate::cli::output::{print, print_raw, terminal_width, wrap_block};
use crate::cli::runtime::run_to_end;
use crate::clickhouse::{Servers, TableName};
use crate::escape::{escape, escape_line};
use crate::ledger::status::{LoadStatus, Process, read};
use crate::ledger::{Ledger, LedgerError, LoadKey, Timestamp};
use crate::load::new_id;
use crate::progress::{Terminal, TerminalOptions};
use crate::state::LoadState;
use crate::units::{count, duration, row_rate};

/// How long the ledger is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command.
pub(crate) fn status(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    run_to_end(look(arguments)).map(|()| ExitCode::SUCCESS)
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
    let job = config.job.load()?;
    let (source, target) =
        (servers.source.endpoint().database(), servers.target.endpoint().database());
    let target_table = config.job.options.target_table.as_deref().unwrap_or(&job.target.table);
    Ok(LoadKey {
        job: job.name.clone(),
        source_table: job.relation.name(source).to_string(),
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
    if arguments.format.is_json() {
        return print(&json(standing, &next));
    }
    let text = text(standing, &ledger.describe(), &next);
    match arguments.watch {
        None => print(&text),
        Some(_) if io::stdout().is_terminal() => print_raw(&in_place(&escape(&text))),
        Some(_) => print(&format!("{text}\n")),
    }
}

/// The command to run for a load in this state.
fn next_command(config: &LoadConfig, state: LoadState) -> String {
    let command = match state {
        LoadState::NotStarted
        | LoadState::Interrupted
        | LoadState::Failed
        | LoadState::Staged
        | LoadState::Superseded => "run",
        LoadState::Started => "status",
        LoadState::Completed => "verify",
    };
    let next = config.next(command);
    match state {
        LoadState::Started => next.flag("--watch").text(),
        LoadState::Superseded => next.flag("--restart").text(),
        _ => next.text(),
    }
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
        LedgerError::Damaged { advice, .. } => Failure::stopped(error).hint(*advice),
        LedgerError::File { .. } => Failure::misuse(error)
            .hint("--ledger names the folder; this user must be able to read it"),
        _ => Failure::stopped(error),
    }
}

/// One line of JSON.
fn json(standing: &LoadStatus, next: &str) -> String {
    #[derive(Serialize)]
    struct WithNext<'a> {
        #[serde(flatten)]
        standing: &'a LoadStatus,
        next_command: &'a str,
    }
    // This structure always serializes.
    let mut text =
        serde_json::to_string(&WithNext { standing, next_command: next }).unwrap_or_default();
    text.push('\n');
    text
}

/// The column at which values begin.
const VALUES: usize = 14;

/// The text block.
fn text(standing: &LoadStatus, ledger: &str, next: &str) -> String {
    let LoadStatus { state, job, partition, source, target, .. } = standing;
    let state = state.text();
    let mut text = format!("{state}: partition {partition} of {source} into {target} by {job}\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    if let Some(run_id) = &standing.run_id {
        line("run", run_id);
        line("rows", &rows(standing));
        let (completed, failed, pending) =
            (standing.chunks_completed, standing.chunks_failed, standing.chunks_pending);
        let (total, failed, pending) = (count(standing.chunks), count(failed), count(pending));
        line(
            "chunks",
            &format!(
                "{} of {total} completed, {failed} failed, {pending} pending",
                count(completed)
            ),
        );
    }
    if let Some(rate) = standing.rows_per_second {
        let left = standing
            .remaining_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let left = left.map(|left| format!(", about {} left", duration(left))).unwrap_or_default();
        line("speed", &format!("{} over the last minutes{left}", row_rate(rate)));
    }
    if let Some(reasons) = &standing.waiting {
        line("waiting", &escape_line(reasons));
    }
    for process in &standing.processes {
        line("process", &process_words(process));
    }
    for (name, moment) in [
        ("began", standing.started_at),
        ("last chunk", standing.last_chunk_at),
        ("completed", standing.completed_at),
    ] {
        if let Some(moment) = moment {
            line(name, &to_the_second(moment));
        }
    }
    if let Some(error) = &standing.last_error {
        line("last error", &escape_line(&shortened(error)));
        if standing.state == LoadState::Failed && is_permanent(error) {
            line("hint", "correct the cause first: the next run would fail in the same way");
        }
    }
    if let Some(publication) = &standing.publication {
        line("published", &publication.words());
    }
    line("ledger", ledger);
    let mut text = wrap_block(&text, VALUES, terminal_width());
    // A command line is not wrapped, so that it can be pasted.
    let _ = writeln!(text, "  {:<12}{next}", "next");
    text
}

fn rows(standing: &LoadStatus) -> String {
    let done = count(standing.rows_inserted);
    let percentage = format!("{:.1} %", (standing.progress_ratio * 1000.0).floor() / 10.0);
    // Rows of chunks that are not completed may be there as well.
    let of_completed =
        if standing.chunks_completed < standing.chunks { " in completed chunks" } else { "" };
    match standing.rows_expected {
        Some(expected) => format!("{done} of {}{of_completed} ({percentage})", count(expected)),
        None => format!("{done}{of_completed}, about {percentage}"),
    }
}

/// A process: its host, its worker number, its last heartbeat.
pub(crate) fn process_words(process: &Process) -> String {
    let Process { host, pid, worker, alive, heartbeat_age_seconds, .. } = process;
    let part = if worker == "1/1" { String::new() } else { format!(", worker {worker}") };
    let age = duration(Duration::try_from_secs_f64(*heartbeat_age_seconds).unwrap_or_default());
    let fate = if *alive { "" } else { ", dead" };
    format!("{pid} on {host}{part}{fate}, last heartbeat {age} ago")
}

/// A time without fractions of a second.
pub(crate) fn to_the_second(moment: Timestamp) -> String {
    Timestamp(moment.0 - moment.0.rem_euclid(1_000_000)).to_string()
}

/// The sequences that redraw the text in place without flicker: they overwrite every line and clear its
/// rest. See
/// [ECMA-48](https://ecma-international.org/publications-and-standards/standards/ecma-48/) for CUP,
/// EL and ED.
fn in_place(text: &str) -> String {
    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}
