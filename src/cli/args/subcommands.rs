//! The flags of each command, and the flags of the output: log lines, summary, metrics and hooks. Pure:
//! nothing here reads the environment or a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::load::{
    FaultArguments, LedgerArguments, LedgerStatusArguments, PartitionArguments,
    PartitionsArguments, PreflightArguments, RecordingArguments, RetryArguments, ThrottleArguments,
    ThroughputArguments, WhatArguments,
};
use super::packs::PackFolders;
use super::server::ServerArguments;
use super::values::{
    FormatArguments, Hook, ResultFormat, parse_address, parse_join, parse_memory_size, parse_pair,
    parse_rows, parse_share,
};
use crate::units::{parse_duration, parse_timeout};
use crate::verify::Share;

/// `run`
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub which: PartitionsArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Read, enrich and evaluate every row, but write nothing.
    ///
    /// The server parses the rows and evaluates the expressions of the job; it discards the result.
    #[arg(long, env = "DRY_RUN", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true,
        help_heading = "Job")]
    pub dry_run: bool,
    /// Print the first N finished rows on stdout, as names and values.
    #[arg(long, alias = "sample", value_name = "N", env = "SHOW_ROWS", default_value = "0", value_parser = clap::value_parser!(u16).range(0..=1000), help_heading = "Job")]
    pub show_rows: u16,
    /// Fill only a share of the chunks, such as 1% or 1/100, and compare their rows.
    ///
    /// The chunks are spread over the partition, at least one; the same share chooses the same chunks again. The run then stops. A
    /// run without this flag continues with the other chunks.
    #[arg(long, value_name = "SHARE", value_parser = parse_share, help_heading = "Job")]
    pub canary: Option<Share>,
    /// Do not ask before the first row is written.
    ///
    /// A run asks only where stdin and stderr are a terminal.
    #[arg(long, help_heading = "Job")]
    pub yes: bool,
    /// Run exactly the plan in this file, which `plan --out` wrote.
    ///
    /// The run is refused if the server, the schema, the job or the settings have changed since.
    #[arg(long, value_name = "FILE", env = "PLAN", help_heading = "Preflight")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub preflight: PreflightArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub ledger: RecordingArguments,
    #[command(flatten)]
    pub throughput: ThroughputArguments,
    #[command(flatten)]
    pub faults: FaultArguments,
    #[command(flatten)]
    pub throttle: ThrottleArguments,
    #[command(flatten)]
    pub metrics: MetricsArguments,
    #[command(flatten)]
    pub hooks: HookArguments,
    #[command(flatten)]
    pub format: FormatArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `plan`
#[derive(Args, Debug)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Print the statements that a run would send, and the equivalent join.
    #[arg(long, conflicts_with_all = ["json", "format"])]
    pub sql: bool,
    /// Time to measure a dry run of a few chunks for the estimate, such as 5s; 0s skips the
    /// estimate.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration, conflicts_with = "sql")]
    pub measure: Duration,
    #[command(flatten)]
    pub format: FormatArguments,
    /// Write the plan to this file, for `run --plan`.
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub ledger: LedgerStatusArguments,
    #[command(flatten)]
    pub preflight: PreflightArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub throughput: ThroughputArguments,
    #[command(flatten)]
    pub faults: FaultArguments,
}

/// How to compare.
#[derive(Args, Debug)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct CompareArguments {
    /// Maximum number of different rows to name.
    ///
    /// All different rows are counted.
    #[arg(long, value_name = "N", env = "MAX_DIFFERENCES", default_value = "20", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub max_differences: u32,
    /// Maximum memory per query on the server, such as 4GiB [default: the server's limit].
    ///
    /// A chunk that needs more is halved.
    #[arg(long, value_name = "SIZE", env = "MAX_SERVER_MEMORY", value_parser = parse_memory_size)]
    pub max_server_memory: Option<u64>,
    /// File that keeps the state of an interrupted comparison [default: named after command, job,
    /// target and partition, in the current directory].
    ///
    /// The next run of the same command resumes from it.
    #[arg(long, value_name = "FILE", env = "VERIFY_STATE")]
    pub state: Option<PathBuf>,
    /// Age at which such a file is discarded.
    ///
    /// The comparison then starts over.
    #[arg(long, value_name = "TIME", env = "VERIFY_STATE_MAX_AGE", default_value = "1h", value_parser = parse_duration)]
    pub state_max_age: Duration,
    #[command(flatten)]
    pub ledger: LedgerArguments,
}

/// `verify`
#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    #[command(flatten)]
    pub format: FormatArguments,
    /// Compare only a share of the keys, such as 1/100, chosen by hash.
    #[arg(long, value_name = "PARTS/OF", env = "VERIFY_SAMPLE", value_parser = parse_share, help_heading = "Comparison")]
    pub sample: Option<Share>,
    #[command(flatten)]
    pub compare: CompareArguments,
    #[command(flatten)]
    pub retries: RetryArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `repair`
#[derive(Args, Debug)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Remove rows that should not be in the target; without this flag they are only reported.
    #[arg(long)]
    pub remove: bool,
    #[command(flatten)]
    pub format: FormatArguments,
    #[command(flatten)]
    pub compare: CompareArguments,
    #[command(flatten)]
    pub preflight: PreflightArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub throughput: ThroughputArguments,
    #[command(flatten)]
    pub faults: FaultArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `insert`
#[derive(Args, Debug)]
pub(crate) struct InsertArguments {
    /// Table that receives the rows, as TABLE or DATABASE.TABLE.
    #[arg(long, value_name = "TABLE")]
    pub table: String,
    /// Input format of ClickHouse.
    ///
    /// JSON lines, CSV and TSV, with and without names, are streamed in batches. Any other format, such as
    /// Parquet, is inserted whole, up to 256 MiB.
    #[arg(long, value_name = "FORMAT")]
    pub format: String,
    /// Identity of the input [default: a random one].
    ///
    /// The same input with the same identity, format and batch size counts once, however often it is sent.
    #[arg(long, value_name = "ID")]
    pub load_id: Option<String>,
    /// Rows per insert.
    #[arg(long, value_name = "ROWS", default_value = "100000", value_parser = parse_rows)]
    pub batch_rows: u64,
    /// Setting of the input format, such as `date_time_input_format=best_effort`; may be given several
    /// times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub setting: Vec<(String, String)>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub retries: RetryArguments,
    /// Maximum time to wait for a server that cannot be reached.
    ///
    /// Waiting for a server does not use up retries.
    #[arg(long, value_name = "TIME", env = "OUTAGE_WAIT", default_value = "5m", value_parser = parse_duration, help_heading = "Faults")]
    pub outage_wait: Duration,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `status`
#[derive(Args, Debug)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    #[command(flatten)]
    pub format: FormatArguments,
    /// Refresh every N seconds, 2 without a value, until the load completes.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    #[command(flatten)]
    pub ledger: LedgerStatusArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `rollback` and `undo`
#[derive(Args, Debug)]
pub(crate) struct RollbackArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Change the target. Without it the command only shows what it would do.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub format: FormatArguments,
    #[command(flatten)]
    pub ledger: LedgerStatusArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `history`
#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    /// Built-in job, or path of a job file [default: all jobs in the ledger].
    #[arg(long, value_name = "NAME|FILE", env = "JOB", help_heading = "Job")]
    pub job: Option<String>,
    /// Show only loads of this target table [default: all target tables in the ledger].
    #[arg(long, value_name = "TABLE", env = "TARGET_TABLE", help_heading = "Job")]
    pub target_table: Option<String>,
    #[command(flatten)]
    pub format: FormatArguments,
    #[command(flatten)]
    pub ledger: LedgerStatusArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `report`
#[derive(Args, Debug)]
pub(crate) struct ReportArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Report on this run, as listed by `history` [default: the current run].
    #[arg(long, value_name = "ID", help_heading = "Report")]
    pub run: Option<String>,
    /// Write the report to this file [default: stdout].
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub out: Option<PathBuf>,
    /// Format of the report [default: by the file's extension; md on stdout].
    #[arg(long, value_name = "FORM", help_heading = "Report")]
    pub format: Option<ReportFormat>,
    /// Short for `--format json`.
    #[arg(long, conflicts_with = "format", help_heading = "Report")]
    pub json: bool,
    #[command(flatten)]
    pub ledger: LedgerStatusArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One self-contained page.
    Html,
    /// Markdown.
    Md,
    /// All figures as JSON.
    Json,
}

/// `init`
#[derive(Args, Debug)]
pub(crate) struct InitArguments {
    /// Table whose rows are read, as TABLE or DATABASE.TABLE.
    #[arg(long, value_name = "TABLE", help_heading = "Job")]
    pub source: Option<String>,
    /// Table with attributes of each row [default: none].
    #[arg(long, value_name = "TABLE", help_heading = "Job")]
    pub lookup: Option<String>,
    /// Columns by which rows are looked up; may be given several times [default: guessed by names and types].
    #[arg(long, value_name = "SOURCE=LOOKUP", value_parser = parse_join, requires = "lookup", help_heading = "Job")]
    pub join: Vec<(String, String)>,
    /// Table that is filled.
    #[arg(long, value_name = "TABLE", help_heading = "Job")]
    pub target: Option<String>,
    /// Job file to write.
    #[arg(long, value_name = "FILE", default_value = "job.toml", help_heading = "Job")]
    pub output: PathBuf,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `doctor`
#[derive(Args, Debug)]
pub(crate) struct DoctorArguments {
    /// Built-in job, PACK/NAME of a pack's job, or path of a job file whose tables are looked at [default: all tables of the
    /// databases].
    #[arg(long, value_name = "NAME|FILE", env = "JOB", help_heading = "Job")]
    pub job: Option<String>,
    #[command(flatten)]
    pub packs: PackFolders,
    /// Look at this target table [default: the job's].
    #[arg(long, value_name = "TABLE", env = "TARGET_TABLE", help_heading = "Job")]
    pub target_table: Option<String>,
    #[command(flatten)]
    pub format: FormatArguments,
    #[command(flatten)]
    pub ledger: LedgerArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `job`
#[derive(Args, Debug)]
pub(crate) struct JobArguments {
    #[command(subcommand)]
    pub command: JobCommand,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List the built-in jobs.
    #[command(after_help = "Examples:\n  clickhouse-backfill job list")]
    List,
    /// Print the file of a job.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill job show langfuse-events > my-job.toml"
    )]
    Show {
        /// Built-in job, or path of a job file.
        name: String,
    },
    /// Print the JSON Schema of job files, for editors.
    #[command(after_help = "Examples:\n  clickhouse-backfill job schema > job.schema.json")]
    Schema,
}

/// `config`
#[derive(Args, Debug)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the value of each flag of a command, and where it comes from.
    ///
    /// Passwords and hooks are hidden.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill config show\n  clickhouse-backfill config show --connection prod verify\n  clickhouse-backfill config show --json run --partition 202511\n\n\
Exit codes: 0 shown, 2 the config file, the environment or a flag is wrong."
    )]
    Show {
        /// Command whose settings are shown, with flags of its own [default: run].
        #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
        #[command(flatten)]
        format: FormatArguments,
    },
}

/// `completions`
#[derive(Args, Debug)]
pub(crate) struct CompletionsArguments {
    /// Shell to complete in.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `man`
#[derive(Args, Debug)]
pub(crate) struct ManArguments {
    /// Write a page for each command to this directory [default: the main page on stdout].
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,
}

/// `ctl`
#[derive(Args, Debug)]
pub(crate) struct CtlArguments {
    /// Control socket of the run [default: the socket of the only run found].
    #[arg(long, value_name = "PATH", env = "CONTROL_SOCKET", global = true)]
    pub socket: Option<PathBuf>,
    /// Log file of the run; its socket is in the same directory.
    #[arg(long, value_name = "FILE", env = "LOG_FILE", global = true)]
    pub log_file: Option<PathBuf>,
    /// Format of the result on stdout; JSON has the full state of the run.
    #[arg(long, value_name = "FORM", default_value = "text", global = true)]
    pub format: ResultFormat,
    /// Short for `--format json`.
    #[arg(long, conflicts_with = "format", global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// A request to a run.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Show the run's progress, its reasons to wait, and its settings.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl status\n  clickhouse-backfill ctl status --json"
    )]
    Status,
    /// Start no new chunk; chunks in progress finish.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl pause")]
    Pause,
    /// Take a pause back; other reasons to wait remain.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl resume")]
    Resume,
    /// Change settings of the run.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl set inserters=4\n  clickhouse-backfill ctl set inserters=auto\n  \
clickhouse-backfill ctl set max-rows-per-second=50000\n  clickhouse-backfill ctl set max-rows-per-second=none max-parts=400\n\n\
Settings:\n  inserters, readers: a number, or auto\n  \
max-rows-per-second, max-merges, max-server-memory-used, max-replica-delay, window: a value as for the flag of run, or none\n  max-parts: a number, auto or none"
    )]
    Set {
        /// Settings with their new values.
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = parse_pair)]
        settings: Vec<(String, String)>,
    },
    /// Stop the run as the first Ctrl-C does: inserts in flight finish.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl stop")]
    Stop,
}

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
    /// Serve a live page of the run and Prometheus metrics at this address, such as 127.0.0.1:9464,
    /// or at this port of localhost.
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
