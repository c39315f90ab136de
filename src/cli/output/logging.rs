//! Log lines: to stderr above the screen, and to the file of `--log-file`.

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::cli::args::{LogFormat, OutputArguments};
use crate::cli::failure::Failure;
use crate::files;
use crate::progress::Terminal;

/// Starts logging for the whole process.
pub(crate) fn start(arguments: &OutputArguments, terminal: &Terminal) -> Result<(), Failure> {
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => "error",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let to_terminal = layer(arguments.log_format, terminal.clone(), terminal.has_color())
        .with_filter(filter(level, arguments.verbose));
    let to_file = match &arguments.log_file {
        Some(path) => {
            let file = files::open_for_append(path).map_err(|error| {
                let message = format!("cannot open the log file {}: {error}", path.display());
                Failure::usage(message).hint(
                    "set --log-file to a file in an existing directory that this user can write to",
                )
            })?;
            Some(
                layer(arguments.log_format, std::sync::Arc::new(file), false)
                    .with_filter(filter("debug", arguments.verbose)),
            )
        }
        None => None,
    };
    let layers: Vec<_> = to_file.into_iter().chain([to_terminal]).collect();
    tracing_subscriber::registry().with(layers).try_init().map_err(|error| Failure::stopped(&error))
}

/// This program's events at `level`; those of libraries only as warnings, or with `-vv` at debug.
fn filter(level: &str, verbose: u8) -> EnvFilter {
    let libraries = if verbose > 1 { "debug" } else { "warn" };
    // The client's events repeat messages of servers and proxies, which may contain a password.
    EnvFilter::new(format!("{libraries},clickhouse=warn,clickhouse_backfill={level}"))
}

fn layer<W>(format: LogFormat, writer: W, color: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => {
            fmt::layer().with_writer(writer).with_ansi(color).with_target(false).boxed()
        }
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    }
}
