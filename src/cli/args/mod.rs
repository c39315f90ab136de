//! The command line as clap reads it, with the environment variable of each flag, `.env` and the config
//! file: the commands with their descriptions and examples, and parsing.

mod config_file;
mod dotenv;
mod given;
mod help;
mod layers;
mod load;
mod packs;
mod parse;
mod parse_error;
mod reference;
mod server;
mod shown;
mod subcommands;
mod values;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, CommandFactory, Parser, Subcommand};

use crate::cli::failure::Failure;

use config_file::{CONFIG, CONNECTION};
use layers::Resolved;

pub(crate) use config_file::ConfigFile;
pub(crate) use dotenv::{Environment, bad_line, line_of_variable, load, without_mark};
pub(crate) use given::Given;
pub(crate) use layers::Layers;
pub(crate) use load::{
    CompressionChoice, EngineChoice, FaultArguments, FormatChoice, LedgerArguments,
    LedgerStatusArguments, Order, PartitionsArguments, ReadFormatChoice, RecordingArguments,
    RootArguments, ThrottleArguments, ThroughputArguments, WhatArguments,
};
pub(crate) use packs::{
    ApplyArguments, HealthArguments, PackArguments, PackCommand, PackFolders, QueryArguments,
};
pub(crate) use parse::{
    Incomplete, Parsed, ParsedCall, incomplete, parse, reads_environment, settings,
};
pub(crate) use reference::quoted as env_value;
pub use reference::references;
pub(crate) use server::{ServerArguments, SourceArguments, TlsArguments};
pub(crate) use shown::{ShownOrigin, ShownSetting};
pub(crate) use subcommands::{
    CompareArguments, CompletionsArguments, ConfigArguments, ConfigCommand, CtlArguments,
    CtlCommand, DoctorArguments, HistoryArguments, HookArguments, InitArguments, InsertArguments,
    JobArguments, JobCommand, LogFormat, ManArguments, OutputArguments, PlanArguments,
    RepairArguments, ReportArguments, ReportFormat, RollbackArguments, RunArguments,
    StatusArguments, VerifyArguments,
};
pub(crate) use values::{
    AtOnce, Event, Hook, ResultFormat, parse_at_once, parse_memory_size, parse_rows,
};

/// Fill partitions of a ClickHouse table from another table, with attributes from a third.
#[derive(Debug, Parser)]
#[command(name = "clickhouse-backfill", version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Examples:\n  clickhouse-backfill plan --partition 202511\n  clickhouse-backfill run --partition 202511 --dry-run\n  clickhouse-backfill run --partition 202511\n\n\
Most flags can also be set by an environment variable, by a line of the file .env in the current directory, and all of them by the \
config file clickhouse-backfill.toml. A flag overrides the environment, the environment .env, and .env the config file.\n\nExit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 blocked by a check before the first row, 4 differences found, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fill one partition of the target, or several in sequence.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill run --partition 202511 --dry-run --show-rows 3\n  clickhouse-backfill run --partition 202511 --canary 1%\n  clickhouse-backfill run --partition 202511\n  clickhouse-backfill run --partitions 202401..202512 --order newest\n\n\
Exit codes: 0 all that was asked is done, 4 --canary found differences, 130 interrupted (the same command resumes); else 1, 2 or 3."
    )]
    Run(Box<RunArguments>),
    /// Show what `run` would do, without moving data.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill plan --partition 202511\n  clickhouse-backfill plan --partition 202511 --sql\n  clickhouse-backfill plan --partition 202511 --out plan.json && clickhouse-backfill run --partition 202511 --plan plan.json\n\n\
Exit codes: 0 the run can start, 3 a check blocks it."
    )]
    Plan(Box<PlanArguments>),
    /// Compare a partition of the target with the result of the job, without writing.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill verify --partition 202511\n  clickhouse-backfill verify --partition 202511 --sample 1/100\n  clickhouse-backfill verify --partition 202511 --json > report.json\n\n\
Exit codes: 0 equal, 4 different, 130 interrupted (the same command resumes)."
    )]
    Verify(Box<VerifyArguments>),
    /// Verify a partition, fill the chunks that contain different rows again, and verify those rows.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill repair --partition 202511\n  clickhouse-backfill repair --partition 202511 --remove\n\n\
Filling a chunk again corrects missing and different rows, including rows of an equal version: of two equal versions, a \
ReplacingMergeTree keeps the row that was inserted last. Rows that should not be in the target are reported; only --remove removes them.\n\n\
Exit codes: 0 equal now, 4 still different, 130 interrupted (the same command resumes)."
    )]
    Repair(Box<RepairArguments>),
    /// Put back what a load has replaced, with `publish = "replace"` and `keep_versions`.
    ///
    /// Without --yes it only shows what it would do.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill rollback --job sales.toml --partition 202511\n  clickhouse-backfill rollback --job sales.toml --partition 202511 --yes\n\n\
Exit codes: 0 shown or put back, 3 nothing is kept, or another process works on the load."
    )]
    Rollback(Box<RollbackArguments>),
    /// Remove what the loads of a partition have written.
    ///
    /// Removed are the rows that the job owns (`owned` under `[target]`); with `publish = "replace"`, the partition that the load
    /// has replaced is put back. Without --yes the command only shows what it would do.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill undo --partition 202511\n  clickhouse-backfill undo --partition 202511 --yes\n\n\
Exit codes: 0 shown or removed, 3 it is not known which rows to remove, or another process works on the load."
    )]
    Undo(Box<RollbackArguments>),
    /// Show the state of a partition's load.
    ///
    /// The state is read from the ledger alone, so the command works on any host and for every user
    /// who can read the ledger.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill status --partition 202511\n  clickhouse-backfill status --partition 202511 --watch\n  clickhouse-backfill status --partition 202511 --json\n\n\
Exit codes: 0 the ledger was read, whatever the state of the load; else 1 or 2."
    )]
    Status(Box<StatusArguments>),
    /// Write a report on the run of a partition, as HTML, Markdown or JSON.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill report --partition 202511 --out report.html\n  clickhouse-backfill report --partition 202511 --format json"
    )]
    Report(Box<ReportArguments>),
    /// List the loads of all partitions, and the partitions missing between them.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill history\n  clickhouse-backfill history --job langfuse-events --json"
    )]
    History(Box<HistoryArguments>),
    /// List the built-in jobs, or print one of them.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill job list\n  clickhouse-backfill job show langfuse-events > my-job.toml"
    )]
    Job(JobArguments),
    /// List packs, show one, or create its tables and views.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill pack list\n  clickhouse-backfill pack show optiinfra\n  clickhouse-backfill pack apply optiinfra --clickhouse-db metrics"
    )]
    Pack(PackArguments),
    /// Run a query of a pack, with parameters, and print its rows.
    ///
    /// The rows are streamed to stdout in any output format of ClickHouse; nothing else goes there.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill query optiinfra/table-sizes --format PrettyCompact\n  clickhouse-backfill query optiinfra/cost-hourly --param customer_id=11111111-1111-1111-1111-111111111111 \\\n    --param from=2026-10-01 --param to=2026-11-01 --format CSVWithNames > cost.csv\n\n\
Exit codes: 0 all rows were printed, 1 the query failed, 2 a parameter is missing, unknown or of another type."
    )]
    Query(Box<QueryArguments>),
    /// Insert rows from stdin into a table, in batches that count once.
    ///
    /// A batch is one block with a token, so a batch that is sent again after a failure counts once. With --load-id, the whole
    /// input may be sent again. The table needs a deduplication window; where it has none, the message has the statement to
    /// set it.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill insert --table cost_metrics_ts --format JSONEachRow < costs.jsonl\n  zcat costs.csv.gz | clickhouse-backfill insert --table cost_metrics_ts --format CSVWithNames --load-id costs-2026-10\n\n\
Exit codes: 0 all rows are inserted, 1 a row or the server stopped it, 2 usage or configuration, 3 the table would keep repeated rows, 130 interrupted."
    )]
    Insert(Box<InsertArguments>),
    /// Write a job file and `.env`, from what the server says about the tables.
    ///
    /// Columns are mapped by name and type, and lookup keys are guessed; each guess is named. On a terminal, the command asks
    /// for tables that are not given. No file is overwritten.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill init\n  clickhouse-backfill init --source visits --lookup users --target visits_enriched\n  clickhouse-backfill init --source visits --lookup users --join user_id=id --target visits_enriched --output visits.toml\n\n\
Exit codes: 0 the job fits its tables, 3 it is written and has to be changed, 2 usage or configuration."
    )]
    Init(Box<InitArguments>),
    /// Check this machine, the servers and the rights of their users, and show how to mend what is wrong.
    ///
    /// With --job, the job is held against its tables, and the rights are those on its tables.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill doctor\n  clickhouse-backfill doctor --job my-job.toml --format json\n\n\
Exit codes: 0 nothing is in the way, 3 a command would be refused, 2 usage."
    )]
    Doctor(Box<DoctorArguments>),
    /// Show the state of the server and of the tables of a database or a pack, and what is wrong.
    ///
    /// With a pack, the counts of its roll-ups are compared with those of their raw tables.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill health --clickhouse-db metrics\n  clickhouse-backfill health optiinfra --clickhouse-db metrics --json\n\n\
Exit codes: 0 nothing is wrong, 1 something is wrong or the server cannot be asked, 2 usage or configuration."
    )]
    Health(Box<HealthArguments>),
    /// Show the settings of a command, and where each of them comes from.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill config show\n  clickhouse-backfill config show verify\n  clickhouse-backfill config show --json run --partition 202511"
    )]
    Config(ConfigArguments),
    /// Print a script that completes commands, flags and values in a shell.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill completions bash > ~/.local/share/bash-completion/completions/clickhouse-backfill\n  clickhouse-backfill completions zsh > ~/.zfunc/_clickhouse-backfill\n  clickhouse-backfill completions fish > ~/.config/fish/completions/clickhouse-backfill.fish"
    )]
    Completions(CompletionsArguments),
    /// Print the man page, or write a page for each command.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill man | man -l -\n  clickhouse-backfill man --out /usr/local/share/man/man1"
    )]
    Man(ManArguments),
    /// Inspect, pause, tune or stop a run from another terminal.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl status\n  clickhouse-backfill ctl pause\n  clickhouse-backfill ctl set inserters=4\n  clickhouse-backfill ctl stop --socket backfill.sock\n\n\
Without --socket, the run is found by its control socket: beside --log-file, in XDG_RUNTIME_DIR or in the current directory. \
It must be the only socket there."
    )]
    Ctl(CtlArguments),
}

impl Command {
    /// The command of this line, for tests.
    #[cfg(test)]
    pub fn of<'a>(line: impl Iterator<Item = &'a &'a str>) -> Result<Self, clap::Error> {
        Cli::try_parse_from(line).map(|cli| cli.command)
    }

    /// The flags of the command's log lines, if it has log lines.
    pub(crate) fn output(&self) -> Option<&OutputArguments> {
        match self {
            Self::Run(arguments) => Some(&arguments.output),
            Self::Verify(arguments) => Some(&arguments.output),
            Self::Repair(arguments) => Some(&arguments.output),
            _ => None,
        }
    }

    fn server(&mut self) -> Option<&mut ServerArguments> {
        match self {
            Self::Run(arguments) => Some(&mut arguments.server),
            Self::Plan(arguments) => Some(&mut arguments.server),
            Self::Verify(arguments) => Some(&mut arguments.server),
            Self::Repair(arguments) => Some(&mut arguments.server),
            Self::Rollback(arguments) | Self::Undo(arguments) => Some(&mut arguments.server),
            Self::Status(arguments) => Some(&mut arguments.server),
            Self::Report(arguments) => Some(&mut arguments.server),
            Self::History(arguments) => Some(&mut arguments.server),
            Self::Pack(arguments) => arguments.command.server(),
            Self::Insert(arguments) => Some(&mut arguments.server),
            Self::Health(arguments) => Some(&mut arguments.server),
            Self::Doctor(arguments) => Some(&mut arguments.server),
            Self::Init(arguments) => Some(&mut arguments.server),
            Self::Query(arguments) => Some(&mut arguments.server),
            Self::Job(_) | Self::Ctl(_) | Self::Config(_) | Self::Completions(_) | Self::Man(_) => {
                None
            }
        }
    }

    /// Chooses between flags that exclude each other, by precedence.
    fn choose(&mut self, matches: &ArgMatches, resolved: &Resolved) -> Result<(), Failure> {
        if let Self::Run(arguments) = self {
            arguments.which.choose(matches, resolved)?;
        }
        self.server().map_or(Ok(()), |server| server.choose_passwords(matches, resolved))
    }
}

/// The definition of the command line.
pub fn command() -> clap::Command {
    with_config(Cli::command())
}

/// Adds `--config` to the commands that read variables, and `--connection` to those with a server;
/// both to `config show`.
fn with_config(command: clap::Command) -> clap::Command {
    let has = |of: &dyn Fn(&Arg) -> bool| command.get_arguments().any(of);
    let shows = has(&|argument| argument.get_id() == "words");
    let connects = has(&|argument| argument.get_id() == "clickhouse_url");
    let reads_variables = has(&|argument| argument.get_env().is_some());
    let is_global = has(&Arg::is_global_set);
    let heading = connects.then_some("ClickHouse");
    let command = command.mut_subcommands(with_config);
    if !shows && !reads_variables {
        return command;
    }
    let file = Arg::new(CONFIG)
        .long("config")
        .value_name("FILE")
        .env("CONFIG")
        .value_parser(ValueParser::os_string())
        .help("Config file, with connections and with flags by command [default: clickhouse-backfill.toml in the current directory, if it exists]")
        .global(is_global)
        .help_heading(heading);
    let connection = Arg::new(CONNECTION)
        .long("connection")
        .value_name("NAME")
        .env("CONNECTION")
        .help("Connection of the config file, defined under [connections.NAME]")
        .long_help(
            "Connection of the config file, defined under [connections.NAME].\n\n\
             It replaces all variables of servers, such as CLICKHOUSE_URL, but for a password that it does not have. Flags \
             override it.",
        )
        .help_heading(heading);
    let command = command.arg(file);
    if connects || shows { command.arg(connection) } else { command }
}
