//! `clickhouse-backfill query`: a query of a pack, its rows streamed to stdout.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::pack::{failure, find};
use crate::cli::args::{CompressionChoice, QueryArguments};
use crate::cli::config::ServerConfig;
use crate::cli::failure::{End, Failure, check_format, connecting};
use crate::cli::runtime::run_to_end;
use crate::clickhouse::{BlockStream, Error as ServerError, Settings};
use crate::load::new_id;
use crate::packs::{PackError, bind_parameters};

/// What helps where a format is unknown.
const FORMATS: &str = "set --format to an output format of ClickHouse, such as JSONEachRow or CSV";

/// Runs the command.
pub(crate) fn query(arguments: &QueryArguments) -> Result<ExitCode, Failure> {
    run_to_end(run(arguments)).map(|()| ExitCode::SUCCESS)
}

async fn run(arguments: &QueryArguments) -> Result<(), Failure> {
    let reference = &arguments.query;
    let (pack, name) = reference.split_once('/').ok_or_else(|| {
        failure(&PackError::NotAQuery { reference: reference.clone() })
            .hint("`clickhouse-backfill pack list` lists the packs")
    })?;
    let pack = find(pack, &arguments.packs)?;
    let query = pack.query(name).map_err(|error| failure(&error))?;
    let parameters = bind_parameters(&pack.name, query, &arguments.param)
        .map_err(|error| failure(&error).hint("give each parameter once, as --param NAME=VALUE"))?;
    let format = format(arguments.format.as_deref())?;
    let config = ServerConfig::resolve(&arguments.server)?;
    let connection = config.connect(CompressionChoice::None, &new_id())?.source;
    connection.hello().await.map_err(|error| connecting(&error, End::Target))?;
    let settings = Settings::read().with_all(parameters);
    let stream = connection.stream_format(format, "query", &query.text, &settings);
    let mut stream = stream.map_err(|error| Failure::stopped(&error))?;
    let mut printed = 0;
    print_all(&mut stream, &mut printed).await.map_err(|error| match error {
        PrintError::Output(error) => Failure::stopped(&error),
        PrintError::Server(error) => refused(reference, &error, printed),
    })
}

/// The name of the output format.
fn format(given: Option<&str>) -> Result<&str, Failure> {
    match given {
        Some(name) => check_format(name, FORMATS).map(|()| name),
        None if io::stdout().is_terminal() => Ok("PrettyCompact"),
        None => Ok("JSONEachRow"),
    }
}

enum PrintError {
    Output(io::Error),
    Server(ServerError),
}

/// Prints the rows as they arrive. A closed pipe (`| head`) ends the query.
async fn print_all(stream: &mut BlockStream, printed: &mut usize) -> Result<(), PrintError> {
    let mut stdout = io::stdout().lock();
    while let Some(piece) = stream.next().await.map_err(PrintError::Server)? {
        match stdout.write_all(&piece) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(PrintError::Output)?,
        }
        *printed += piece.len();
    }
    match stdout.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(PrintError::Output(error)),
        _ => Ok(()),
    }
}

/// The failure of the query.
fn refused(reference: &str, error: &ServerError, printed: usize) -> Failure {
    const UNKNOWN_TABLE: u32 = 60;
    let message = format!("the query {reference} failed");
    let is_parameter = matches!(error, ServerError::Server { message, .. }
        if message.contains("for query parameter") || message.contains("BAD_QUERY_PARAMETER"));
    if is_parameter && printed == 0 {
        return Failure::misuse_because(&message, error)
            .hint("correct the value of --param that the server names");
    }
    if error.is_unknown_format() {
        return Failure::misuse_because(&message, error).hint(FORMATS);
    }
    let failure = Failure::stopped_because(&message, error);
    match error.code() {
        _ if printed > 0 => failure.hint("the rows on stdout are incomplete: discard them"),
        Some(UNKNOWN_TABLE) => failure.hint(
            "`clickhouse-backfill pack apply` creates the tables of a pack; --clickhouse-db says where they are",
        ),
        _ => failure,
    }
}
