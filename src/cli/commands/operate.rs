//! What runs beside a load: watching the server, keeping limits, and listening for `ctl`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::RunContext;
use super::session::BoundSession;
use crate::cli::args::ThrottleArguments;
use crate::cli::failure::Failure;
use crate::control::monitor::MonitoredTable;
use crate::control::socket::{ControlSocket, default_path, listen};
use crate::control::{Control, MaxParts, Subject, ThrottleQuery, Watch, local_zone, watch};
use crate::engine::stream::{Counters, Throttle};
use crate::plan::Partition;
use crate::stop::Stop;
use crate::units::{counted, duration, row_rate};

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
    let throttle = session.resources.throttle(job.target.is_replacing());
    let overrides = context.overrides.clone();
    let control = Control::new(subject, counters, stop, throttle.clone(), overrides);
    let ThrottleArguments { throttle_query, control_socket, .. } = &config.throttle;
    let log_file = config.output.log_file.as_deref();
    let socket = socket(control_socket.as_deref(), log_file, &control)?;
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
    })?;
    Ok(Operation { control, throttle, _watch: watch, _socket: socket })
}

/// The control socket. Without `--control-socket` a failure to create it is only logged.
fn socket(
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
