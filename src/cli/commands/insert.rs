//! `clickhouse-backfill insert`: rows from stdin into a table.

use std::cell::Cell;
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::session::open_target;
use crate::cli::args::{CompressionChoice, InsertArguments};
use crate::cli::failure::{Failure, INTERRUPTED, check_format};
use crate::cli::output::{json, print};
use crate::cli::runtime::{Stopping, run_again, run_until_signalled};
use crate::clickhouse::{Error as ServerError, ErrorClass, TableName};
use crate::ingest::{
    CutError, IngestError, IngestOptions, Ingested, Limits, PINNED, TargetError, check_target,
    ingest,
};
use crate::load::new_id;
use crate::progress::Terminal;
use crate::retry::RetryPolicy;
use crate::stop::Stop;
use crate::units::{bytes, counted};

/// The most bytes of a batch, but for its last row.
const BATCH_BYTES: usize = 64 << 20;
/// The bytes that are read of stdin at once.
const PIECE_BYTES: usize = 1 << 20;
/// What helps where a format is unknown.
const FORMATS: &str =
    "set --format to an input format of ClickHouse, such as JSONEachRow or CSVWithNames";
/// The time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// Runs the command.
pub(crate) fn insert(
    arguments: &InsertArguments,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let first = "stopping after the batch in flight";
    let stopping = Stopping { first, second: &run_again };
    run_until_signalled(terminal, &stopping, |stop| insert_rows(arguments, terminal, stop))
}

async fn insert_rows(
    arguments: &InsertArguments,
    terminal: &Terminal,
    stop: Stop,
) -> Result<ExitCode, Failure> {
    check_arguments(arguments)?;
    if io::stdin().is_terminal() {
        return Err(Failure::usage("the rows are read from stdin, which is a terminal")
            .hint("add `< FILE`, or a pipe before the command"));
    }
    let (connection, _) = open_target(&arguments.server, CompressionChoice::Auto).await?;
    let table = TableName::parse(&arguments.table, connection.endpoint().database());
    let window = check_target(&connection, &table).await.map_err(|error| unfit(&error))?;
    let options = IngestOptions {
        table,
        format: arguments.format.clone(),
        load_id: arguments.load_id.clone().unwrap_or_else(new_id),
        window,
        // Without an identity of the user's own, nothing promises that the command can be repeated.
        is_repeatable: arguments.load_id.is_some(),
        limits: Limits { rows: arguments.batch_rows, bytes: BATCH_BYTES },
        settings: arguments.setting.clone(),
        retry: RetryPolicy { max_retries: arguments.retries.max_retries, ..RetryPolicy::default() },
        outage_wait: arguments.outage_wait,
        stop,
    };
    let mut inserted = Ingested::default();
    let shown = Cell::new(Instant::now());
    let progress = |inserted: &Ingested| {
        if shown.get().elapsed() >= PROGRESS {
            shown.set(Instant::now());
            terminal.say(&format!("inserted {}", amount(inserted)));
        }
    };
    let ended = ingest(&connection, &options, &mut stdin(), &mut inserted, &progress).await;
    ended.map_err(|error| failure(&error, arguments, &options, &inserted))?;
    report(arguments, &options, &inserted)?;
    Ok(ExitCode::from(if inserted.is_interrupted { INTERRUPTED } else { 0 }))
}

fn check_arguments(arguments: &InsertArguments) -> Result<(), Failure> {
    check_format(&arguments.format, FORMATS)?;
    if arguments.load_id.as_deref() == Some("") {
        return Err(Failure::usage("--load-id is empty"));
    }
    let is_pinned = |name: &str| PINNED.iter().any(|(pinned, _)| *pinned == name);
    let is_format = |name: &str| {
        name.starts_with("input_format_")
            || name.starts_with("format_")
            || name.starts_with("date_time_")
    };
    match arguments.setting.iter().find(|(name, _)| is_pinned(name) || !is_format(name)) {
        None => Ok(()),
        Some((name, _)) if is_pinned(name) => Err(Failure::usage(format!(
            "--setting {name} cannot be chosen: rows would be found at other places, or left out"
        ))),
        Some((name, _)) => {
            Err(Failure::usage(format!("--setting {name} is no setting of an input format")))
        }
    }
}

/// What is read from stdin, in a thread of its own.
fn stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = piece.is_err();
            // The receiver is gone when the load has failed.
            if sender.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// The result. Field names are a contract.
#[derive(Serialize)]
struct Report<'a> {
    table: String,
    format: &'a str,
    load_id: &'a str,
    batches: u64,
    rows: Option<u64>,
    bytes: u64,
    completed: bool,
}

fn report(
    arguments: &InsertArguments,
    options: &IngestOptions,
    inserted: &Ingested,
) -> Result<(), Failure> {
    let Ingested { batches, rows, bytes, is_interrupted } = *inserted;
    if arguments.json {
        let (format, load_id) = (&*options.format, &*options.load_id);
        let table = options.table.to_string();
        let completed = !is_interrupted;
        return print(&json(&Report { table, format, load_id, batches, rows, bytes, completed }));
    }
    let verb = if is_interrupted { "interrupted: inserted" } else { "inserted" };
    print(&format!(
        "{verb} {} into {}, load {}\n",
        amount(inserted),
        options.table,
        options.load_id
    ))
}

/// Rows, bytes and batches.
fn amount(inserted: &Ingested) -> String {
    let Ingested { batches, rows, bytes: size, .. } = *inserted;
    let batches = counted(batches, "batch");
    let rows = rows.map_or_else(|| "rows of one file".to_owned(), |rows| counted(rows, "row"));
    format!("{rows} ({}) in {batches}", bytes(size))
}

/// The refusal of a target that cannot be exact.
fn unfit(error: &TargetError) -> Failure {
    match error {
        TargetError::Missing(_) => Failure::misuse(error)
            .hint("set --table, and --clickhouse-db for tables without a database"),
        TargetError::Repeats { table, setting: Some(setting), .. } => Failure::refusal(error)
            .hint(format!("ALTER TABLE {table} MODIFY SETTING {setting} = 10000")),
        TargetError::Repeats { .. } => Failure::refusal(error)
            .hint("insert into a MergeTree table with a deduplication window instead"),
        TargetError::Server(_) => Failure::stopped(error),
    }
}

fn failure(
    error: &IngestError,
    arguments: &InsertArguments,
    options: &IngestOptions,
    inserted: &Ingested,
) -> Failure {
    let failure = match error {
        IngestError::Cut(CutError::Array) => {
            Failure::misuse(error).hint("write one object a line, as `jq -c '.[]'` does")
        }
        IngestError::Cut(CutError::TooLong) => Failure::misuse(error)
            .hint("divide the file, or let the server read it: INSERT INTO … SELECT … FROM file(), s3() or url()"),
        IngestError::Window { table, setting, inserts } => {
            let more = inserts.saturating_mul(10);
            Failure::stopped(error)
                .hint(format!("ALTER TABLE {table} MODIFY SETTING {setting} = {more}"))
        }
        IngestError::Row { .. } => Failure::stopped(error).hint("correct the line"),
        IngestError::Batch { source, .. } if source.is_unknown_format() => {
            Failure::misuse(error).hint(FORMATS)
        }
        IngestError::Cut(CutError::Endless { .. })
        | IngestError::Input(_)
        | IngestError::Batch { .. } => Failure::stopped(error),
    };
    failure.hint(what_is_safe(error, arguments, options, inserted))
}

/// What is in the table, and what to run next.
fn what_is_safe(
    error: &IngestError,
    arguments: &InsertArguments,
    options: &IngestOptions,
    inserted: &Ingested,
) -> String {
    let passes =
        |source: &ServerError| matches!(source.class(), ErrorClass::Retry | ErrorClass::Ambiguous);
    let (may_pass, is_unknown) = match error {
        IngestError::Batch { source, .. } => (passes(source), source.may_have_inserted()),
        IngestError::Input(_) => (true, false),
        _ => (false, false),
    };
    let kept = match (inserted.batches, is_unknown) {
        (0, false) if !may_pass => return "nothing was inserted".to_owned(),
        (0, false) => "nothing was inserted yet".to_owned(),
        (0, true) => "it is not known whether these rows arrived".to_owned(),
        (_, false) => format!("{} stay", amount(inserted)),
        (_, true) => format!("{} stay, and those of the next may", amount(inserted)),
    };
    let first = if may_pass { "" } else { "after the correction, " };
    let is_recognized =
        options.window.as_ref().is_none_or(|window| inserted.batches < window.inserts);
    match &arguments.load_id {
        Some(_) => format!("{kept}; {first}run the same command again: rows count once"),
        None if is_recognized => format!(
            "{kept}; {first}run the command again with --load-id {}: rows count once",
            options.load_id
        ),
        None => format!("{kept}; {first}insert the rows behind them"),
    }
}
