//! `clickhouse-backfill init`: writes a job file and `.env` from what the server says about the tables.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use super::session::greet;
use crate::cli::args::{CompressionChoice, InitArguments, command, env_value};
use crate::cli::config::{NextCommand, ServerConfig};
use crate::cli::failure::{Failure, quoted};
use crate::cli::output::print;
use crate::cli::runtime::run_to_end;
use crate::clickhouse::{Connection, Password, Servers, TableName};
use crate::job::{
    BindOptions, BoundJob, Draft, DraftError, DraftRequest, DraftTable, Job, bind, suggestion,
    table_names,
};
use crate::load::new_id;
use crate::plan::{Partition, StoredPartition, partitions};
use crate::progress::{Terminal, counted};

/// The file of the connection.
const ENV_FILE: &str = ".env";
/// Tables that a message names.
const TABLES_NAMED: usize = 20;

/// The tables of the draft, as they are named.
struct Chosen {
    source: (String, DraftTable),
    lookup: Option<(String, DraftTable)>,
    target: (String, DraftTable),
}

/// Runs the command.
pub(crate) fn init(arguments: &InitArguments, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let output = &arguments.output;
    if output.exists() {
        let message = format!("the file {} exists, and init overwrites nothing", output.display());
        return Err(Failure::usage(message).hint("--output names another file"));
    }
    let config = ServerConfig::resolve(&arguments.server)?;
    let written = run_to_end(async {
        let servers = config.connect(CompressionChoice::None, &new_id())?;
        greet(&servers).await?;
        let chosen = choose(arguments, &servers, terminal).await?;
        write_all(arguments, &servers, &chosen).await
    })?;
    print(&written)?;
    Ok(ExitCode::SUCCESS)
}

/// Drafts the job, binds it, writes the files; returns what to tell.
async fn write_all(
    arguments: &InitArguments,
    servers: &Servers,
    chosen: &Chosen,
) -> Result<String, Failure> {
    let output = &arguments.output;
    let draft = draft(arguments, chosen)?;
    let job = Job::parse(&output.display().to_string(), &draft.text)?;
    let bound = bind(servers, &job, &BindOptions::default()).await;
    write_new(output, &draft.text, 0o666)?;
    let text = env_text(arguments);
    let env = match write_new(Path::new(ENV_FILE), &text, 0o600) {
        Ok(()) => format!("wrote {ENV_FILE}, readable by this user alone\n"),
        Err(_) if Path::new(ENV_FILE).exists() => {
            format!("{ENV_FILE} exists and stays as it is\n")
        }
        Err(failure) => return Err(failure),
    };
    let bound = bound.map_err(|error| {
        Failure::from(error)
            .refused_as(&format!(
                "wrote {}, but the draft does not fit its tables yet",
                output.display()
            ))
            .hint(format!(
                "change {}, then `clickhouse-backfill plan --job {}` checks it",
                output.display(),
                quoted(&output.display().to_string())
            ))
    })?;
    if !draft.unfilled_key.is_empty() {
        let message = format!(
            "wrote {}, but nothing fills {}, of the sorting key of {}: rows would collapse",
            output.display(),
            draft.unfilled_key.join(", "),
            bound.target.name
        );
        return Err(
            Failure::refused(message).hint("give these columns an expression under [columns]")
        );
    }
    let mut text = format!(
        "wrote {}: {} into {}, {}\n{env}",
        output.display(),
        bound.source.name,
        bound.target.name,
        counted(bound.columns.len() as u64, "column")
    );
    for guess in &draft.guesses {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "guess: {guess}");
    }
    text.push_str(&next(arguments, servers, &bound).await);
    Ok(text)
}

fn draft(arguments: &InitArguments, chosen: &Chosen) -> Result<Draft, Failure> {
    let Chosen { source, lookup, target } = chosen;
    let name = target.0.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let request = DraftRequest {
        name: &name,
        source: (&source.0, &source.1),
        lookup: lookup.as_ref().map(|(name, table)| (name.as_str(), table)),
        target: (&target.0, &target.1),
        join: &arguments.join,
    };
    request.draft().map_err(|error| {
        let hint = match &error {
            DraftError::Unjoined { key, .. } => {
                format!("--join COLUMN={key} names the column of the source")
            }
            DraftError::UnknownColumn { .. } => {
                "--join SOURCE=LOOKUP names a column of each".to_owned()
            }
            DraftError::Unfilled(_) => {
                "`clickhouse-backfill job show langfuse-events` prints a job to start from"
                    .to_owned()
            }
        };
        Failure::usage(error.to_string()).hint(hint)
    })
}

/// The command to go on with, for the partition with the fewest rows.
async fn next(arguments: &InitArguments, servers: &Servers, job: &BoundJob) -> String {
    let mut command =
        NextCommand::new("plan").value("--job", &arguments.output.display().to_string());
    let found = partitions(&servers.source, &job.source.name).await.unwrap_or_default();
    let mut text = String::new();
    if let Some(StoredPartition { id, rows }) = found.iter().min_by_key(|partition| partition.rows)
    {
        let name =
            id.parse::<Partition>().map_or_else(|_| format!("id:{id}"), |month| month.to_string());
        let (all, rows) = (counted(found.len() as u64, "partition"), counted(*rows, "row"));
        text = format!("{} has {all}; the smallest is {name}, with {rows}\n", job.source.name);
        command = command.value("--partition", &name);
    }
    let _ = writeln!(text, "next: {}", command.text());
    text
}

/// The tables that are given, or chosen at the terminal.
async fn choose(
    arguments: &InitArguments,
    servers: &Servers,
    terminal: &Terminal,
) -> Result<Chosen, Failure> {
    let InitArguments { source, lookup, target, .. } = arguments;
    let asks = source.is_none() || target.is_none();
    if asks && !terminal.can_ask() {
        let message = "--source and --target are needed where there is no terminal to ask at";
        return Err(Failure::usage(message).hint(known_tables(&servers.source).await));
    }
    if asks {
        terminal.insist(&known_tables(&servers.source).await);
    }
    let (source, target) = (source.as_deref(), target.as_deref());
    let chosen_source = table(&servers.source, "source", source, true, terminal).await?;
    let lookup = match (lookup.as_deref(), asks) {
        (None, false) => None,
        (given, _) => table(&servers.source, "lookup", given, false, terminal).await?,
    };
    let target = table(&servers.target, "target", target, true, terminal).await?;
    let (Some(source), Some(target)) = (chosen_source, target) else {
        return Err(
            Failure::usage("no table is chosen").hint("--source and --target name the tables")
        );
    };
    Ok(Chosen { source, lookup, target })
}

/// What to do about a target that does not exist.
const CREATE: &str = "create the target with the columns that it is to have, as a ReplacingMergeTree, or with non_replicated_deduplication_window";

/// The table of a role; asked for until one exists, unless it is given.
async fn table(
    connection: &Connection,
    role: &str,
    given: Option<&str>,
    required: bool,
    terminal: &Terminal,
) -> Result<Option<(String, DraftTable)>, Failure> {
    loop {
        let name = if let Some(name) = given {
            name.to_owned()
        } else {
            let none = if required { "" } else { " (empty for none)" };
            match terminal.ask(&format!("{role} table{none}: ")) {
                Some(name) if !name.is_empty() => name,
                Some(_) if required => continue,
                _ => return Ok(None),
            }
        };
        let parsed = TableName::parse(&name, connection.endpoint().database());
        let found = DraftTable::read(connection, &parsed).await;
        if let Some(table) = found.map_err(|error| Failure::stopped(&error))? {
            return Ok(Some((name, table)));
        }
        let known = table_names(connection).await.unwrap_or_default();
        let meant = suggestion(&name, known.iter().map(String::as_str));
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        let message = format!("the {role} table {parsed} does not exist{meant}");
        let create = (role == "target" && meant.is_empty()).then_some(CREATE);
        if given.is_some() {
            let failure = Failure::usage(message).hint(known_tables(connection).await);
            return Err(create.into_iter().fold(failure, Failure::hint));
        }
        terminal.insist(&message);
        if let Some(create) = create {
            terminal.insist(&format!("hint: {create}"));
        }
    }
}

async fn known_tables(connection: &Connection) -> String {
    let mut names = table_names(connection).await.unwrap_or_default();
    let more = names.len().saturating_sub(TABLES_NAMED);
    names.truncate(TABLES_NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("tables of {}: {}{more}", connection.endpoint().database(), names.join(", "))
}

/// Creates a file that does not exist yet.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let message = match error.kind() {
            ErrorKind::AlreadyExists => format!("the file {} exists", path.display()),
            _ => format!("cannot write the file {}: {error}", path.display()),
        };
        Failure::usage(message)
            .hint("--output names a file in an existing directory that this user can write to")
    })
}

/// The connection and the job, as `.env` has them.
fn env_text(arguments: &InitArguments) -> String {
    let server = &arguments.server;
    let (source, tls) = (&server.source, &server.tls);
    let secret = |password: &Option<Password>| {
        password.as_ref().map(|password| password.reveal().to_owned())
    };
    let path =
        |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let variables = [
        ("CLICKHOUSE_URL", Some(server.clickhouse_url.clone())),
        ("CLICKHOUSE_USER", server.clickhouse_user.clone()),
        ("CLICKHOUSE_PASSWORD", secret(&server.clickhouse_password)),
        ("CLICKHOUSE_PASSWORD_FILE", path(&server.clickhouse_password_file)),
        ("CLICKHOUSE_DB", Some(server.clickhouse_db.clone())),
        ("SOURCE_URL", source.source_url.clone()),
        ("SOURCE_USER", source.source_user.clone()),
        ("SOURCE_PASSWORD", secret(&source.source_password)),
        ("SOURCE_PASSWORD_FILE", path(&source.source_password_file)),
        ("SOURCE_DB", source.source_db.clone()),
        ("SOURCE_NATIVE", source.source_native.clone()),
        ("CA_CERT", path(&tls.ca_cert)),
        ("CLIENT_CERT", path(&tls.client_cert)),
        ("CLIENT_KEY", path(&tls.client_key)),
        ("JOB", Some(arguments.output.display().to_string())),
    ];
    let flags = server.layers.flags().iter();
    let flags = flags
        .map(|(flag, value)| (flag.trim_start_matches('-').to_uppercase(), Some(value.clone())));
    let mut text = "# Written by `clickhouse-backfill init`. A flag overrides the environment, and the environment this file.\n\
        # .env.example of the program lists all variables.\n"
        .to_owned();
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    // The config file stays in use, so that its passwords are in one place.
    let configured = server.layers.configured(&command(), "run");
    for (name, value) in flags.chain(variables) {
        let is_configured = |value: &String| configured.get(&name) == Some(value);
        if let Some(value) = value.filter(|value| !value.is_empty() && !is_configured(value)) {
            let _ = writeln!(text, "{name}={}", env_value(&value));
        }
    }
    text
}
