//! The command line as clap reads it, with the environment variable of each flag. Pure: nothing
//! here looks at the world.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{
    ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};

use clap_complete::Shell;

use super::control_arguments::{CtlArguments, ThrottleArguments};
use super::dotenv::Environment;
use super::fault_arguments::FaultArguments;
use super::hook_arguments::HookArguments;
use super::ledger_arguments::{LedgerArguments, LedgerPlaceArguments};
use super::metrics_arguments::MetricsArguments;
use super::partition_arguments::{
    HistoryArguments, PartitionArguments, PartitionsArguments, ReportArguments,
};
use super::preflight_arguments::PreflightArguments;
use super::server_arguments::ServerArguments;
use super::size::{AtOnce, parse_at_once, parse_memory_size, parse_rows};
use super::status_arguments::StatusArguments;
use super::usage::usage;
use super::verify_arguments::{RepairArguments, VerifyArguments};
use crate::cli::failure::Failure;
use crate::duration::parse_duration;
use crate::engine::stream::DEFAULT_BATCH_ROWS;
use crate::plan::DEFAULT_CHUNK_ROWS;

/// Fill a ClickHouse table from another one, enriched by a third: streaming, flat in memory,
/// checked.
#[derive(Debug, Parser)]
#[command(name = "clickhouse-backfill", version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Examples:\n  clickhouse-backfill plan --partition 202511\n  clickhouse-backfill run --partition 202511 --dry-run\n  clickhouse-backfill run --partition 202511\n\n\
Every flag of `run` can be given in the environment or in a file `.env` of the current directory as well; the flag wins, \
then the environment, then `.env`.\n\nExit codes: 0 done, 1 stopped by a failure, 2 usage or configuration, 3 refused by a check before the first row, 4 verification found differences, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fill a partition of the target, or several of them one after another.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill run --partition 202511 --dry-run --sample 3\n  clickhouse-backfill run --partition 202511\n  clickhouse-backfill run --partitions 202401..202512 --order newest"
    )]
    Run(Box<RunArguments>),
    /// Show what a run would do, or the statements it would send; moves no data.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill plan --partition 202511\n  clickhouse-backfill plan --partition 202511 --sql\n  clickhouse-backfill plan --partition 202511 --out plan.json && clickhouse-backfill run --partition 202511 --plan plan.json\n\n\
Exit codes: 0 a run would begin, 3 a check forbids it."
    )]
    Plan(Box<PlanArguments>),
    /// Compare a partition of the target with what the job makes of the source, row by row; writes
    /// nothing.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill verify --partition 202511\n  clickhouse-backfill verify --partition 202511 --sample 1/100\n  clickhouse-backfill verify --partition 202511 --json > report.json\n\n\
Exit codes: 0 equal, 4 different, 130 interrupted (run it again to go on)."
    )]
    Verify(Box<VerifyArguments>),
    /// Verify a partition, fill the chunks again that hold rows which differ, and verify these rows
    /// again.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill repair --partition 202511\n  clickhouse-backfill repair --partition 202511 --remove\n\n\
A chunk that is filled again mends rows that are missing or differ, also those of an equal version: of equal versions, a \
ReplacingMergeTree keeps the one that was inserted last. Rows that should not be there are left, and said, unless --remove is given.\n\n\
Exit codes: 0 equal now, 4 still different, 130 interrupted (run it again to go on)."
    )]
    Repair(Box<RepairArguments>),
    /// Show where the load of a partition stands, from the ledger alone: on any host, for any user
    /// who may read it.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill status --partition 202511\n  clickhouse-backfill status --partition 202511 --watch\n  clickhouse-backfill status --partition 202511 --json\n\n\
Exit codes: 0 whenever the ledger could be read, whatever it says; 1 or 2 otherwise."
    )]
    Status(Box<StatusArguments>),
    /// Report on the run of a partition: how it went, whether the result is right; one page,
    /// Markdown or JSON.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill report --partition 202511 --out report.html\n  clickhouse-backfill report --partition 202511 --format json"
    )]
    Report(Box<ReportArguments>),
    /// List what was done of all partitions, and what is missing between them.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill history\n  clickhouse-backfill history --job langfuse-events --json"
    )]
    History(Box<HistoryArguments>),
    /// List the built-in jobs, or print one for copying.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill job list\n  clickhouse-backfill job show langfuse-events > my-job.toml"
    )]
    Job(JobArguments),
    /// Print the script that lets a shell complete commands, flags and values.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill completions bash > ~/.local/share/bash-completion/completions/clickhouse-backfill\n  clickhouse-backfill completions zsh > ~/.zfunc/_clickhouse-backfill\n  clickhouse-backfill completions fish > ~/.config/fish/completions/clickhouse-backfill.fish"
    )]
    Completions(CompletionsArguments),
    /// Print the man page, or write one for each command.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill man | man -l -\n  clickhouse-backfill man --out /usr/local/share/man/man1"
    )]
    Man(ManArguments),
    /// Look at a run from another terminal, pause it, change its settings, or stop it.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl status\n  clickhouse-backfill ctl pause\n  clickhouse-backfill ctl set inserters=4\n  clickhouse-backfill ctl stop --socket backfill.sock\n\n\
The run is the one whose control socket lies beside --log-file, in XDG_RUNTIME_DIR or in the current directory, if there is exactly one."
    )]
    Ctl(CtlArguments),
}

/// What to fill.
#[derive(Args, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct WhatArguments {
    /// Built-in job, or the file of a job.
    #[arg(long, value_name = "NAME|FILE", env = "JOB", default_value = "langfuse-events")]
    pub job: String,
    /// Another target table than the job's, such as `events_full`.
    #[arg(long, value_name = "TABLE", env = "TARGET_TABLE")]
    pub target_table: Option<String>,
    /// Leave out observations of traces that `dataset_run_items_rmt` references (the job's
    /// exclusion `dataset-items`).
    #[arg(long, env = "EXCLUDE_DATASET_ITEMS", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub exclude_dataset_items: bool,
}

/// How fast, how much at once.
#[derive(Args, Debug)]
#[command(next_help_heading = "Throughput")]
pub(crate) struct ThroughputArguments {
    /// Memory that the whole process may take, such as 4GiB [default: half of what the machine has
    /// free].
    #[arg(long, value_name = "SIZE", env = "MEMORY", value_parser = parse_memory_size)]
    pub memory: Option<u64>,
    /// About how many rows a chunk has, the unit that is retried and resumed; every cut costs a
    /// granule or two of each part.
    #[arg(long, value_name = "ROWS", env = "CHUNK_ROWS", default_value_t = DEFAULT_CHUNK_ROWS, value_parser = parse_rows)]
    pub chunk_rows: u64,
    /// Rows of an insert.
    #[arg(long, value_name = "ROWS", env = "BATCH_SIZE", default_value_t = DEFAULT_BATCH_ROWS, value_parser = parse_rows)]
    pub batch_size: u64,
    /// Bytes of an insert at most, such as 128MiB.
    #[arg(long, value_name = "SIZE", env = "BATCH_BYTES", default_value = "128MiB", value_parser = parse_memory_size)]
    pub batch_bytes: u64,
    /// Rows of the blocks in which the server reads [default: the server's].
    #[arg(long, value_name = "ROWS", env = "STREAM_BLOCK_SIZE", value_parser = parse_rows)]
    pub stream_block_size: Option<u64>,
    /// Chunks read at once, or auto: as many as bring something, at most a third of the server's
    /// cores.
    #[arg(long, value_name = "N|auto", env = "READERS", default_value = "auto", value_parser = parse_at_once)]
    pub readers: AtOnce,
    /// Batches inserted at once, or auto: as many as bring something, at most one and a half times
    /// the server's cores.
    #[arg(long, value_name = "N|auto", env = "INSERTERS", default_value = "auto", value_parser = parse_at_once)]
    pub inserters: AtOnce,
    /// Format of inserts; auto: native, unless a type has no place in it.
    #[arg(long, value_name = "FORMAT", env = "INSERT_FORMAT", default_value = "auto")]
    pub insert_format: FormatChoice,
    /// Compression of rows on the network; auto: none on this machine, lz4 elsewhere.
    #[arg(long, value_name = "METHOD", env = "COMPRESSION", default_value = "auto")]
    pub compression: CompressionChoice,
    /// How often a failed statement is tried again.
    #[arg(long, value_name = "N", env = "MAX_RETRIES", default_value = "3", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub max_retries: u32,
}

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

/// In which format rows are inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatChoice {
    /// Native, unless a type has no place in it.
    Auto,
    /// Blocks of columns, which the server parses in half the time.
    Native,
    /// Rows.
    Rowbinary,
}

/// How rows are compressed on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionChoice {
    /// None on this machine, lz4 elsewhere.
    Auto,
    /// For networks that are no limit.
    None,
    /// Fast.
    Lz4,
    /// Smaller and slower.
    Zstd,
}

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

impl Command {
    fn server(&mut self) -> Option<&mut ServerArguments> {
        match self {
            Self::Run(arguments) => Some(&mut arguments.server),
            Self::Plan(arguments) => Some(&mut arguments.server),
            Self::Verify(arguments) => Some(&mut arguments.server),
            Self::Repair(arguments) => Some(&mut arguments.server),
            Self::Status(arguments) => Some(&mut arguments.server),
            Self::Report(arguments) => Some(&mut arguments.server),
            Self::History(arguments) => Some(&mut arguments.server),
            Self::Job(_) | Self::Ctl(_) | Self::Completions(_) | Self::Man(_) => None,
        }
    }

    /// Settles what can be given in two ways.
    fn choose(&mut self, matches: &ArgMatches, environment: &Environment) -> Result<(), Failure> {
        if let Self::Run(arguments) = self {
            arguments.which.choose(matches, environment)?;
        }
        self.server().map_or(Ok(()), |server| server.choose_passwords(matches, environment))
    }
}

/// The definition of the command line, for tests and generated documents.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the process's arguments; `None` where help or the version was printed.
pub(crate) fn parse(environment: &Environment) -> Result<Option<Command>, Failure> {
    let parsed = command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (cli, matches)));
    match parsed {
        Ok((mut cli, matches)) => {
            if let Some((_, matches)) = matches.subcommand() {
                cli.command.choose(matches, environment)?;
            }
            Ok(Some(cli.command))
        }
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            // Help goes to stdout; where that is closed, there is nothing to do.
            let _ = error.print();
            Ok(None)
        }
        Err(error) => Err(usage(&environment.explain(&error, &command()))),
    }
}
