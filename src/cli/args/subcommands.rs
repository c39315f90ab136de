//! The flags of each command. Pure: nothing here looks at the world.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::load::{
    FaultArguments, LedgerArguments, LedgerPlaceArguments, PartitionArguments, PartitionsArguments,
    PreflightArguments, ThrottleArguments, ThroughputArguments, WhatArguments,
};
use super::observe::{HookArguments, MetricsArguments, OutputArguments};
use super::server::ServerArguments;
use super::values::{parse_memory_size, parse_pair, parse_share};
use crate::duration::parse_duration;
use crate::ledger::LedgerLocation;
use crate::verify::Share;

/// `run`
#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub which: PartitionsArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Do everything but write: every row is read, enriched, sent, parsed and evaluated, and
    /// nothing is kept anywhere.
    #[arg(long, env = "DRY_RUN", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true,
        help_heading = "Job")]
    pub dry_run: bool,
    /// Print the first N finished rows on stdout, as names and values.
    #[arg(long, value_name = "N", env = "SAMPLE", default_value = "0", value_parser = clap::value_parser!(u16).range(0..=1000), help_heading = "Job")]
    pub sample: u16,
    /// Do what this file of `plan --out` says, or nothing: where server, schema, job or settings
    /// have changed since, it is refused.
    #[arg(long, value_name = "FILE", env = "PLAN", help_heading = "Preflight")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub preflight: PreflightArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub ledger: LedgerArguments,
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
    /// Print the summary as JSON on stdout, as its last line.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
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
    #[arg(long)]
    pub sql: bool,
    /// How long a dry run over a few chunks is measured for the estimate, such as 5s; 0s for no
    /// estimate.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration, conflicts_with = "sql")]
    pub measure: Duration,
    /// Print the plan as JSON.
    #[arg(long, conflicts_with = "sql")]
    pub json: bool,
    /// Write the plan to this file, for `run --plan`.
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub ledger: LedgerPlaceArguments,
    #[command(flatten)]
    pub preflight: PreflightArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub throughput: ThroughputArguments,
    #[command(flatten)]
    pub faults: FaultArguments,
}

/// How the comparison is made.
#[derive(Args, Debug)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct CompareArguments {
    /// Name at most so many differing rows.
    #[arg(long, value_name = "N", env = "MAX_DIFFERENCES", default_value = "20", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub max_differences: u32,
    /// Memory that a query may take on the server, such as 4GiB; chunks that need more are halved
    /// [default: the server's own limit].
    #[arg(long, value_name = "SIZE", env = "MAX_SERVER_MEMORY", value_parser = parse_memory_size)]
    pub max_server_memory: Option<u64>,
    /// File that keeps what was compared when it is interrupted [default: one named after target
    /// and partition in the current directory].
    #[arg(long, value_name = "FILE", env = "VERIFY_STATE")]
    pub state: Option<PathBuf>,
    /// Where loads are recorded: a row that was added since the load began is a live writer's.
    #[arg(long, value_name = "PLACE", env = "LEDGER", default_value = "tables")]
    pub ledger: LedgerLocation,
    /// Database of the ledger's tables [default: the target's].
    #[arg(long, value_name = "NAME", env = "LEDGER_DB")]
    pub ledger_db: Option<String>,
}

/// `verify`
#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
    /// Compare only a share of the keys, such as 1/100, chosen by their hash.
    #[arg(long, value_name = "PARTS/OF", env = "VERIFY_SAMPLE", value_parser = parse_share, help_heading = "Comparison")]
    pub sample: Option<Share>,
    /// How often a failed query is tried again.
    #[arg(long, value_name = "N", env = "MAX_RETRIES", default_value = "3", value_parser = clap::value_parser!(u32).range(0..=1000),
        help_heading = "Comparison")]
    pub max_retries: u32,
    #[command(flatten)]
    pub compare: CompareArguments,
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
    /// Remove rows that should not be there; without it they are named and left.
    #[arg(long)]
    pub remove: bool,
    /// Print what was found and done as JSON.
    #[arg(long)]
    pub json: bool,
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

/// `status`
#[derive(Args, Debug)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Print it as one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Look again every so many seconds, 2 unless said, until the load is completed.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// Where loads are recorded: tables of ClickHouse, or `file:DIR` for files in a folder.
    #[arg(
        long,
        value_name = "PLACE",
        env = "LEDGER",
        default_value = "tables",
        help_heading = "Ledger"
    )]
    pub ledger: LedgerLocation,
    /// Database of the ledger's tables [default: the target's].
    #[arg(long, value_name = "NAME", env = "LEDGER_DB", help_heading = "Ledger")]
    pub ledger_db: Option<String>,
    /// After how long without a heartbeat a process on another host is taken for dead.
    #[arg(long, value_name = "TIME", env = "CLAIM_TIMEOUT", default_value = "60s", value_parser = parse_duration, help_heading = "Ledger")]
    pub claim_timeout: Duration,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `history`
#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    /// Built-in job, or the file of a job [default: all jobs that the ledger knows].
    #[arg(long, value_name = "NAME|FILE", env = "JOB", help_heading = "Job")]
    pub job: Option<String>,
    /// Another target table than the job's [default: all that the ledger knows].
    #[arg(long, value_name = "TABLE", env = "TARGET_TABLE", help_heading = "Job")]
    pub target_table: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub ledger: LedgerPlaceArguments,
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
    /// A run that is not the current one, as `history` lists them [default: the current one].
    #[arg(long, value_name = "ID", help_heading = "Report")]
    pub run: Option<String>,
    /// Write it to this file [default: print it].
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub out: Option<PathBuf>,
    /// Form of the report [default: by the end of the file's name; printed, md].
    #[arg(long, value_name = "FORM", help_heading = "Report")]
    pub format: Option<ReportFormat>,
    #[command(flatten)]
    pub ledger: LedgerPlaceArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One page that needs nothing else.
    Html,
    /// Markdown.
    Md,
    /// All figures.
    Json,
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
        /// Built-in job, or the file of a job.
        name: String,
    },
}

/// `completions`
#[derive(Args, Debug)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `man`
#[derive(Args, Debug)]
pub(crate) struct ManArguments {
    /// Write one page for each command into this directory, instead of the main page to stdout.
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,
}

/// `ctl`
#[derive(Args, Debug)]
pub(crate) struct CtlArguments {
    /// The control socket of the run [default: that of the one run that is found].
    #[arg(long, value_name = "PATH", env = "CONTROL_SOCKET", global = true)]
    pub socket: Option<PathBuf>,
    /// The run's log file, beside which its socket lies.
    #[arg(long, value_name = "FILE", env = "LOG_FILE", global = true)]
    pub log_file: Option<PathBuf>,
    /// Print everything that the run says of itself as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What to say to a run.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Show how far the run is, why it waits, and what it is set to.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl status\n  clickhouse-backfill ctl status --json"
    )]
    Status,
    /// Begin no new chunk; those under way are finished.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl pause")]
    Pause,
    /// Take a pause back. Other reasons to wait stay.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl resume")]
    Resume,
    /// Change settings while the run is on.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl set inserters=4\n  clickhouse-backfill ctl set inserters=auto\n  \
clickhouse-backfill ctl set max-rows-per-second=50000\n  clickhouse-backfill ctl set max-rows-per-second=none max-parts=400\n\n\
Settings:\n  inserters, readers: a number, or auto for one that finds itself\n  \
max-rows-per-second, max-merges, max-server-memory-used, max-replica-delay, window: as run takes them, or none\n  max-parts: the same, or auto"
    )]
    Set {
        /// The settings, each with its new value.
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = parse_pair)]
        settings: Vec<(String, String)>,
    },
    /// End the run as the first Ctrl-C does: inserts in flight are finished.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl stop")]
    Stop,
}
