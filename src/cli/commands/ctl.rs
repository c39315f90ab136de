//! Both ends of the control socket: `clickhouse-backfill ctl`, which watches and controls a run from
//! another terminal, and [`operate`], which watches the server, keeps limits and listens for it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::notifier::RunContext;
use super::session::BoundSession;
use crate::cli::args::{CtlArguments, CtlCommand, ResultFormat, ThrottleArguments};
use crate::cli::failure::Failure;
use crate::cli::output::print;
use crate::control::monitor::{FullestPartition, MonitoredTable};
use crate::control::socket::{
    ClientError, ControlSocket, default_path, find_live, listen, send_request,
};
use crate::control::{
    Control, ControlRequest, HAS_NO_EFFECT, MaxParts, Subject, ThrottleQuery, Watch, local_zone,
    watch,
};
use crate::engine::stream::{Counters, Throttle};
use crate::plan::Partition;
use crate::stop::Stop;
use crate::units::{bytes, count, counted, duration, row_rate};

/// Runs the command to its end.
pub(crate) fn ctl(arguments: &CtlArguments) -> Result<ExitCode, Failure> {
    let socket = socket(arguments)?;
    let mut status = Value::default();
    for request in requests(&arguments.command) {
        let response = send_request(&socket, &request).map_err(failure)?;
        status = response.status.unwrap_or_default();
    }
    let text = if arguments.json || arguments.format == ResultFormat::Json {
        format!("{status:#}\n")
    } else {
        words(&arguments.command, &status)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The socket of the arguments, or of the only run in progress.
fn socket(arguments: &CtlArguments) -> Result<PathBuf, Failure> {
    if let Some(path) = &arguments.socket {
        return Ok(path.clone());
    }
    let folders = folders(arguments.log_file.as_deref());
    let mut found = find_live(&folders);
    match (found.pop(), found.pop()) {
        (Some(path), None) => Ok(path),
        (None, _) => {
            let name = |folder: &PathBuf| match folder.to_str() {
                Some(".") => "the current directory".to_owned(),
                _ => folder.display().to_string(),
            };
            let folders: Vec<_> = folders.iter().map(name).collect();
            Err(Failure::usage(format!("no run in progress found in {}", folders.join(", ")))
                .hint("--socket names the control socket of the run, clickhouse-backfill-PID.sock")
                .hint("--log-file names the run's log file; the socket is in the same directory"))
        }
        (Some(last), Some(other)) => {
            let mut failure =
                Failure::usage("several runs are in progress; choose one with --socket");
            for path in found.into_iter().chain([other, last]) {
                let of = send_request(&path, &ControlRequest::Status {})
                    .ok()
                    .and_then(|answer| answer.status)
                    .map(|status| headline(&status));
                failure = failure.hint(format!(
                    "--socket {}: {}",
                    path.display(),
                    of.unwrap_or_else(|| "no answer".to_owned())
                ));
            }
            Err(failure)
        }
    }
}

fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(words) => {
            Failure::usage(words).hint("`clickhouse-backfill ctl set --help` lists the settings and their values")
        }
        error => Failure::stopped(&error)
            .hint("`clickhouse-backfill status` reads the state of a load from the ledger, also after its run"),
    }
}

fn requests(command: &CtlCommand) -> Vec<ControlRequest> {
    match command {
        CtlCommand::Status => vec![ControlRequest::Status {}],
        CtlCommand::Pause => vec![ControlRequest::Pause {}],
        CtlCommand::Resume => vec![ControlRequest::Resume {}],
        CtlCommand::Stop => vec![ControlRequest::Stop {}],
        CtlCommand::Set { settings } => settings
            .iter()
            .map(|(name, value)| ControlRequest::Set { name: name.clone(), value: value.clone() })
            .collect(),
    }
}

/// The answer as text.
fn words(command: &CtlCommand, status: &Value) -> String {
    match command {
        CtlCommand::Status => text(status),
        CtlCommand::Pause => "paused: no new chunk starts, chunks in progress finish\n".to_owned(),
        CtlCommand::Resume => {
            let others: Vec<_> =
                reasons(status).into_iter().filter(|reason| *reason != "paused with ctl").collect();
            if others.is_empty() {
                "resumed\n".to_owned()
            } else {
                format!("resumed; still waiting: {}\n", others.join("; "))
            }
        }
        CtlCommand::Set { settings } => {
            let mut text: String = settings
                .iter()
                .flat_map(|(name, value)| [name.as_str(), "=", value.as_str(), "\n"])
                .collect();
            for name in without_effect(status)
                .into_iter()
                .filter(|name| settings.iter().any(|(set, _)| set == name))
            {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "note: {name} {HAS_NO_EFFECT}");
            }
            text
        }
        CtlCommand::Stop => {
            "stopping: inserts in flight finish, then the run exits with code 130\n".to_owned()
        }
    }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "–".to_owned(), count)
}

fn seconds(seconds: u64) -> String {
    duration(Duration::from_secs(seconds))
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or("–")
}

fn reasons(status: &Value) -> Vec<&str> {
    texts(&status["waiting"])
}

/// Limits of unknown figures.
fn without_effect(status: &Value) -> Vec<&str> {
    texts(&status["rules_without_effect"])
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Which run answers.
fn headline(status: &Value) -> String {
    let what = if status["dry_run"] == true { "dry run" } else { "run" };
    let id = status["run_id"].as_str().map(|id| format!(" {id}")).unwrap_or_default();
    format!(
        "{what}{id}, process {}: {}, partition {} into {}",
        status["process"],
        string(&status["job"]),
        string(&status["partition"]),
        string(&status["target"])
    )
}

fn text(status: &Value) -> String {
    let mut text = format!("{}\n", headline(status));
    for (name, value) in progress_lines(status).into_iter().chain(limit_lines(status)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    }
    text
}

/// What the run does now.
fn progress_lines(status: &Value) -> [(&'static str, String); 3] {
    let progress = &status["progress"];
    let waits = reasons(status);
    let state = match string(&status["phase"]) {
        _ if status["stopping"] == true => "stopping".to_owned(),
        _ if !waits.is_empty() => format!("waiting: {}", waits.join("; ")),
        "plan" => "planning".to_owned(),
        "lookup" => "loading attributes".to_owned(),
        "stream" => "filling".to_owned(),
        other => other.to_owned(),
    };
    let rows = progress["rows"].as_u64().unwrap_or_default();
    let expected = progress["rows_expected"].as_u64().filter(|&expected| expected > 0);
    let share = expected.map_or_else(String::new, |expected| {
        format!(" of {} ({:.1} %)", count(expected), rows as f64 * 100.0 / expected as f64)
    });
    let inserts = number(&progress["inserts_in_flight"]);
    let done = progress["rows_done"].as_u64().filter(|done| *done < rows);
    let done =
        done.map_or_else(String::new, |done| format!(", {} of them in chunks done", count(done)));
    let chunks = format!(
        "{} of {} done, {} failed; retries: {}",
        number(&progress["chunks_done"]),
        number(&progress["chunks"]),
        number(&progress["chunks_failed"]),
        number(&progress["retries"])
    );
    [
        ("state", state),
        ("rows", format!("{}{share}{done}, inserts in flight: {inserts}", count(rows))),
        ("chunks", chunks),
    ]
}

/// What limits the run, and the server.
fn limit_lines(status: &Value) -> [(&'static str, String); 5] {
    let (limits, server) = (&status["limits"], &status["server"]);
    let level = |name: &str| {
        let (most, auto) = (&limits[format!("{name}_most")], &limits[format!("{name}_auto")]);
        let auto = if *auto == true { ", auto" } else { "" };
        format!("{}{auto} (at most {})", number(&limits[name]), number(most))
    };
    let rate = limits["max_rows_per_second"]
        .as_u64()
        .map_or_else(|| "no limit".to_owned(), |rate| format!("at most {}", row_rate(rate as f64)));
    let blind = without_effect(status);
    let blind = if blind.is_empty() {
        String::new()
    } else {
        format!("; without effect, the figure is unknown: {}", blind.join(", "))
    };
    let is_planning = status["phase"] == "plan";
    [
        ("inserters", level("inserters")),
        ("readers", level("readers")),
        ("rate", rate),
        ("limits", format!("{}{blind}", limits_in_words(&status["rules"]))),
        ("server", server_in_words(server, is_planning)),
    ]
}

fn limits_in_words(rules: &Value) -> String {
    let mut limits = Vec::new();
    limits.extend(rules["parts_limit"].as_u64().map(|limit| counted(limit, "part")));
    limits.extend(rules["max_merges"].as_u64().map(|limit| counted(limit, "merge")));
    limits.extend(
        rules["max_server_memory_used"]
            .as_u64()
            .map(|percent| format!("{percent} % of the server's memory")),
    );
    limits.extend(
        rules["max_replica_delay_seconds"]
            .as_u64()
            .map(|limit| format!("replica {} behind", seconds(limit))),
    );
    limits.extend(rules["window"].as_str().map(|window| format!("window {window}")));
    if limits.is_empty() { "no limit".to_owned() } else { limits.join(", ") }
}

fn server_in_words(server: &Value, is_planning: bool) -> String {
    let mut figures = Vec::new();
    figures.extend(
        FullestPartition::deserialize(&server["parts"]).ok().map(|parts| parts.to_string()),
    );
    figures.extend(server["merges"].as_u64().map(|merges| counted(merges, "merge")));
    if let (Some(used), Some(total)) =
        (server["memory_used"].as_u64(), server["memory_total"].as_u64())
    {
        figures.push(format!("{} of {} memory", bytes(used), bytes(total)));
    }
    figures.extend(
        server["replica_delay_seconds"]
            .as_u64()
            .map(|delay| format!("replica {} behind", seconds(delay))),
    );
    figures.extend(
        server["mutations"]
            .as_u64()
            .filter(|&mutations| mutations > 0)
            .map(|mutations| counted(mutations, "mutation")),
    );
    match figures.as_slice() {
        [] if is_planning => "not known yet".to_owned(),
        [] => "unknown".to_owned(),
        figures => figures.join(", "),
    }
}

/// What runs beside a load; it ends when this is dropped.
pub(crate) struct Operation {
    /// The handle of the run.
    pub control: Arc<Control>,
    /// What holds it back.
    pub throttle: Arc<Throttle>,
    _watch: Watch,
    _socket: Option<ControlSocket>,
}

/// Starts to watch the server and to listen for `ctl`. When this returns, it is decided whether the
/// run has to wait.
pub(crate) async fn operate(
    context: &RunContext<'_>,
    partition: &Partition,
    session: &BoundSession,
    counters: Arc<Counters>,
    stop: Stop,
) -> Result<Operation, Failure> {
    let config = context.config;
    if let Some(text) = limits(&config.throttle)? {
        context.terminal.say(&format!("throttling: {text}"));
    }
    let (job, target) = (&session.job, &session.servers.target);
    let subject = Subject {
        job: job.name.clone(),
        source: job.source.name.to_string(),
        target: job.target.name.to_string(),
        partition: partition.to_string(),
        dry_run: config.dry_run,
    };
    let throttle = session.resources().throttle(job.target.is_replacing());
    let overrides = context.overrides.clone();
    let control = Control::new(subject, counters, stop, throttle.clone(), overrides);
    let ThrottleArguments { throttle_query, control_socket, .. } = &config.throttle;
    let log_file = config.output.log_file.as_deref();
    let socket = listen_for_ctl(control_socket.as_deref(), log_file, &control)?;
    // Tables with the same partition key have partitions of the same ids.
    let has_same_partitions = job.source.partition_key == job.target.partition_key;
    let watched = MonitoredTable {
        table: job.target.name.clone(),
        engine: job.target.engine.clone(),
        partition_id: has_same_partitions.then(|| partition.id().to_owned()),
    };
    let query = throttle_query.as_ref().map(|sql| ThrottleQuery::new(target.clone(), sql));
    let watch = watch(control.clone(), target.clone(), watched, query).await.map_err(|error| {
        Failure::refused_because("the throttle query fails, tested before the first row", &error)
            .hint("correct --throttle-query; its value is the reason to wait, and 0 or an empty string is none")
    })?;
    Ok(Operation { control, throttle, _watch: watch, _socket: socket })
}

/// The control socket. Without `--control-socket` a failure to create it is only logged.
fn listen_for_ctl(
    asked: Option<&Path>,
    log_file: Option<&Path>,
    control: &Arc<Control>,
) -> Result<Option<ControlSocket>, Failure> {
    if let Some(path) = asked {
        let listening = listen(control.clone(), path);
        return listening
            .map(Some)
            .map_err(|error| Failure::misuse(&error).hint("--control-socket names another path"));
    }
    let folder = folders(log_file).into_iter().next().unwrap_or_default();
    match listen(control.clone(), &default_path(&folder)) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(
                cause,
                "{error}: ctl cannot reach this run; --control-socket names another path"
            );
            Ok(None)
        }
    }
}

/// The folders of control sockets without `--control-socket`; new sockets are created in the first.
pub(crate) fn folders(log_file: Option<&Path>) -> Vec<PathBuf> {
    let beside = log_file.map(|file| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    });
    let of_user =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    beside.into_iter().chain(of_user).chain([PathBuf::from(".")]).collect()
}

/// The limits as text.
fn limits(arguments: &ThrottleArguments) -> Result<Option<String>, Failure> {
    let mut texts = Vec::new();
    if let Some(rows) = arguments.max_rows_per_second {
        texts.push(format!("at most {}", row_rate(rows as f64)));
    }
    match arguments.max_parts {
        MaxParts::Limit(parts) => {
            texts.push(format!("at most {} in a partition", counted(parts, "part")));
        }
        MaxParts::None => texts.push("no limit of parts".to_owned()),
        MaxParts::Auto => {}
    }
    if let Some(merges) = arguments.max_merges {
        texts.push(format!("at most {}", counted(merges, "merge")));
    }
    if let Some(percent) = arguments.max_server_memory_used {
        texts.push(format!("at most {percent} % of the server's memory"));
    }
    if let Some(delay) = arguments.max_replica_delay {
        texts.push(format!("replica at most {} behind", duration(delay)));
    }
    if arguments.throttle_query.is_some() {
        texts.push("a throttle query".to_owned());
    }
    if let Some(window) = arguments.window {
        let zone = local_zone().map_err(|error| {
            Failure::misuse(&error).hint("set TZ to a zone, such as TZ=Europe/Berlin")
        })?;
        texts.push(format!("window {window} ({zone})"));
    }
    Ok((!texts.is_empty()).then(|| texts.join(", ")))
}
