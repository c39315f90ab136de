//! `clickhouse-backfill pack`: lists packs, shows one, creates its tables and views; and `query`: a query
//! of a pack, its rows streamed to stdout.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;

use super::session::open_target;
use crate::cli::args::{
    ApplyArguments, CompressionChoice, PackArguments, PackCommand, PackFolders, QueryArguments,
};
use crate::cli::config::ServerConfig;
use crate::cli::failure::{DIFFERENT, End, Failure, check_format, connecting};
use crate::cli::output::{json, print, print_document};
use crate::cli::runtime::run_to_end;
use crate::clickhouse::{BlockStream, Connection, Error as ServerError, Settings};
use crate::job::{Job, JobError};
use crate::load::new_id;
use crate::packs::{
    Applied, ObjectState, Pack, PackError, PackFile, apply, bind_parameters, object_names, open,
    query_parameters,
};
use crate::units::counted;

/// Runs the command.
pub(crate) fn pack(arguments: &PackArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        PackCommand::List { packs } => {
            let mut text = String::new();
            for pack in open(&packs.folders()).map_err(|error| failure(&error))? {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{:<24}{}", pack.name, pack.description);
            }
            print_document(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        PackCommand::Show { name, packs } => {
            print_document(&shown(&find(name, packs)?)?)?;
            Ok(ExitCode::SUCCESS)
        }
        PackCommand::Apply(arguments) => run_to_end(apply_pack(arguments)),
    }
}

/// The pack of this name.
pub(crate) fn find(name: &str, packs: &PackFolders) -> Result<Pack, Failure> {
    let packs = open(&packs.folders()).map_err(|error| failure(&error))?;
    let known = packs.iter().map(|pack| pack.name.clone()).collect();
    packs.into_iter().find(|pack| pack.name == name).ok_or_else(|| {
        let error = PackError::UnknownPack { name: name.to_owned(), known };
        failure(&error).hint("--pack names the folder of a pack of your own")
    })
}

/// The failure of a pack, with what helps.
pub(crate) fn failure(error: &PackError) -> Failure {
    match error.server() {
        _ if error.is_configuration() => Failure::misuse(error),
        Some(server) if server.is_access_denied() => Failure::stopped(error).hint(
            "grant the right that the message names; the schema is tried in a database of its own, clickhouse_backfill_pack_*, which needs CREATE DATABASE and DROP DATABASE",
        ),
        _ => Failure::stopped(error),
    }
}

fn shown(pack: &Pack) -> Result<String, Failure> {
    let mut text = format!("{}: {}\n", pack.name, pack.description);
    let mut block = |title: &str, lines: Vec<String>| {
        for (number, line) in lines.iter().enumerate() {
            let title = if number == 0 { title } else { "" };
            let _ = writeln!(text, "  {title:<10}{line}");
        }
    };
    let wrong = |error: PackError| failure(&error);
    if let Some(schema) = &pack.schema {
        block("schema", object_names(schema).map_err(wrong)?);
    }
    let job = |file: &PackFile| -> Result<String, JobError> {
        let job = Job::parse(&file.path, &file.text)?;
        Ok(format!("{}/{}: {}", pack.name, file.name, job.description))
    };
    block("jobs", pack.jobs.iter().map(job).collect::<Result<_, _>>()?);
    block("sets", pack.sets.iter().map(|set| format!("{}/{}", pack.name, set.name)).collect());
    let query = |file: &PackFile| {
        let parameters = query_parameters(file)
            .iter()
            .map(|parameter| format!(" {}={}", parameter.name, parameter.type_name))
            .collect::<Vec<_>>();
        format!("{}/{}{}", pack.name, file.name, parameters.concat())
    };
    block("queries", pack.queries.iter().map(query).collect());
    if let Some(schema) = &pack.schema {
        let _ = write!(text, "\n{}", schema.text);
    }
    Ok(text)
}

async fn apply_pack(arguments: &ApplyArguments) -> Result<ExitCode, Failure> {
    let pack = find(&arguments.name, &arguments.packs)?;
    let Some(schema) = &pack.schema else {
        let message = format!("the pack {} has no schema.sql: it creates no tables", pack.name);
        return Err(Failure::usage(message));
    };
    let (connection, _) = open_target(&arguments.server, CompressionChoice::None).await?;
    let applied = apply(&connection, schema).await.map_err(|error| failure(&error))?;
    if arguments.format.is_json() {
        print(&json(&applied))?;
    } else {
        print(&text(&pack, &connection, &applied))?;
    }
    let is_different = applied.iter().any(|object| object.state == ObjectState::Different);
    Ok(ExitCode::from(if is_different { DIFFERENT } else { 0 }))
}

fn text(pack: &Pack, connection: &Connection, applied: &[Applied]) -> String {
    let count = |state| applied.iter().filter(|object| object.state == state).count() as u64;
    let different = count(ObjectState::Different);
    let mut text = format!(
        "pack {} in the database {}: {} created, {} as in the pack, {} different\n",
        pack.name,
        connection.endpoint().database(),
        count(ObjectState::Created),
        count(ObjectState::Equal),
        different,
    );
    for object in applied {
        let state = match object.state {
            ObjectState::Created => "created",
            ObjectState::Equal => "equal",
            ObjectState::Different => "different",
        };
        let _ = writeln!(text, "  {state:<11}{}", object.name);
        for difference in &object.differences {
            let words =
                |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
            let (found, expected) = (words(&difference.found), words(&difference.expected));
            let _ = writeln!(text, "    {}: {found}; the pack has {expected}", difference.what);
        }
        for source in &object.filled_sources {
            let _ = writeln!(
                text,
                "    rows that {source} had before are not in it{}",
                if pack.jobs.is_empty() { "" } else { ": a job of the pack fills them" }
            );
        }
    }
    if different > 0 {
        let _ = writeln!(
            text,
            "{} left as {}: alter by hand what is to change, or correct the pack",
            counted(different, "definition"),
            if different == 1 { "it is" } else { "they are" }
        );
    }
    text
}

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
    let format = format(if arguments.json { Some("json") } else { arguments.format.as_deref() })?;
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
        Some("json") => Ok("JSONEachRow"),
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
