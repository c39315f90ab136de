//! The flags that say what is shown, kept, exported and told to other programs. Pure: nothing here
//! looks at the world.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};

use super::values::{Hook, parse_address};
use crate::duration::parse_timeout;

/// What is shown and kept.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArguments {
    /// Write the summary's figures to this file as JSON.
    #[arg(long, value_name = "FILE", env = "SUMMARY_JSON")]
    pub summary_json: Option<PathBuf>,
    /// Form of log lines.
    #[arg(long, value_name = "FORM", env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Append log lines to this file as well, in more detail.
    #[arg(long, value_name = "FILE", env = "LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// More detail in log lines; twice for everything.
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Nothing but errors.
    #[arg(short, long)]
    pub quiet: bool,
    /// No screen, no title and no lines of progress.
    #[arg(long, env = "NO_PROGRESS", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub no_progress: bool,
}

/// Log lines for people or for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where figures go.
#[derive(Args, Debug)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsArguments {
    /// Serve metrics for Prometheus at this address, such as 127.0.0.1:9464, or at this port of
    /// this machine only.
    #[arg(long, value_name = "ADDRESS", env = "METRICS_LISTEN", value_parser = parse_address)]
    pub metrics_listen: Option<SocketAddr>,
    /// Write metrics to this file every 10 s, for the textfile collector of `node_exporter`; its
    /// name must end in .prom there.
    #[arg(long, value_name = "FILE", env = "METRICS_FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// What is run when.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Hooks")]
pub(crate) struct HookArguments {
    /// Run a command by `sh -c` at an event: on-start=CMD, on-failure=CMD or on-finish=CMD, with
    /// what is known as JSON on its standard input. Can be given several times.
    #[arg(long, value_name = "EVENT=CMD", env = "HOOK", value_delimiter = '\n')]
    pub hook: Vec<Hook>,
    /// A hook that takes longer is killed.
    #[arg(long, value_name = "TIME", env = "HOOK_TIMEOUT", default_value = "60s", value_parser = parse_timeout)]
    pub hook_timeout: Duration,
}
