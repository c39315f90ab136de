//! The command line as clap reads it: the commands, and their words. Pure: nothing here looks at the
//! world.

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::dotenv::Environment;
use super::server::ServerArguments;
use super::subcommands::{
    CompletionsArguments, CtlArguments, HistoryArguments, JobArguments, ManArguments,
    PlanArguments, RepairArguments, ReportArguments, RunArguments, StatusArguments,
    VerifyArguments,
};
use super::usage::usage;
use crate::cli::failure::Failure;

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
