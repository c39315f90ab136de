//! Flags of the output: log lines, summary, metrics and hooks. Pure: nothing here reads the
//! environment or a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};

use super::values::{Hook, parse_address};
use crate::units::parse_timeout;

/// Log lines, the summary and the progress display.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArguments {
    /// Write the summary as JSON to this file.
    #[arg(long, value_name = "FILE", env = "SUMMARY_JSON")]
    pub summary_json: Option<PathBuf>,
    /// Format of log lines.
    #[arg(long, value_name = "FORM", env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Also append log lines, in more detail, to this file.
    #[arg(long, value_name = "FILE", env = "LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// Show more detail in log lines; -vv shows everything.
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Show only errors.
    #[arg(short, long)]
    pub quiet: bool,
    /// Show no progress display, terminal title or progress lines.
    #[arg(long, env = "NO_PROGRESS", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub no_progress: bool,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The export of metrics.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsArguments {
    /// Serve Prometheus metrics at this address, such as 127.0.0.1:9464, or at this port of
    /// localhost.
    #[arg(long, value_name = "ADDRESS", env = "METRICS_LISTEN", value_parser = parse_address)]
    pub metrics_listen: Option<SocketAddr>,
    /// Write metrics to this file every 10 s, for the textfile collector of `node_exporter`.
    ///
    /// The collector reads only files with the extension .prom.
    #[arg(long, value_name = "FILE", env = "METRICS_FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// Commands to run at events.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Hooks")]
pub(crate) struct HookArguments {
    /// Run a shell command at an event: on-start=CMD, on-failure=CMD or on-finish=CMD.
    ///
    /// The command is run by `sh -c` and receives the event as JSON on stdin. The flag can be
    /// repeated; the variable takes one hook per line.
    #[arg(long, value_name = "EVENT=CMD", env = "HOOK", value_delimiter = '\n')]
    pub hook: Vec<Hook>,
    /// Maximum time for a hook; a hook that takes longer is killed.
    #[arg(long, value_name = "TIME", env = "HOOK_TIMEOUT", default_value = "60s", value_parser = parse_timeout)]
    pub hook_timeout: Duration,
}
