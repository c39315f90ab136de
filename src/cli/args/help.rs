//! What `-h`, `--help` and a call without a command show, and in which order: examples first, flags for
//! experts last, and with `-h` only the flags that most calls need.

use clap::builder::Resettable;
use clap::{Arg, Command};

/// The heading of the flags that few calls need.
pub(super) const EXPERT: &str = "Expert: wire format, TLS and timeouts";

/// The flags that `-h` shows.
const COMMON: &[&str] = &[
    "partition",
    "partitions",
    "job",
    "target_table",
    "filters",
    "source",
    "lookup",
    "join",
    "target",
    "output",
    "dry_run",
    "canary",
    "show_rows",
    "sql",
    "measure",
    "out",
    "sample",
    "max_differences",
    "remove",
    "yes",
    "watch",
    "run",
    "table",
    "load_id",
    "param",
    "clickhouse_url",
    "clickhouse_user",
    "clickhouse_password_file",
    "clickhouse_db",
    "restart",
    "engine",
    "memory",
    "max_rows_per_second",
    "socket",
    "format",
    "json",
    "log_file",
    "verbose",
    "quiet",
];

/// The text for a call without a command.
pub(super) const FIRST_STEPS: &str = "\
Fill partitions of a ClickHouse table from another table, with attributes from
a third.

First steps:
  # Write a job file from the server's tables.
  clickhouse-backfill init
  # Check the servers, rights and this machine.
  clickhouse-backfill doctor --job job.toml
  # Show what a run would do.
  clickhouse-backfill plan --job job.toml --partition P
  # Fill the partition.
  clickhouse-backfill run --job job.toml --partition P
  # Compare the result with the job.
  clickhouse-backfill verify --job job.toml --partition P

`clickhouse-backfill --help` lists all commands, and `-h` behind a command its
common flags.
";

/// The command and those below it, as their help shows them.
pub(super) fn arranged(command: Command) -> Command {
    let command = command.mut_subcommands(arranged);
    with_examples_first(with_experts_last(command)).mut_args(|argument| {
        if is_common(&argument) { argument } else { argument.hide_short_help(true) }
    })
}

fn is_common(argument: &Arg) -> bool {
    argument.is_positional() || COMMON.contains(&argument.get_id().as_str())
}

/// Groups of flags are shown in the order in which the flags are defined.
fn with_experts_last(command: Command) -> Command {
    let is_expert = |argument: &Arg| argument.get_help_heading() == Some(EXPERT);
    let mut arguments: Vec<_> = command.get_arguments().cloned().collect();
    arguments.sort_by_key(is_expert);
    let mut arguments = arguments.into_iter();
    command.mut_args(|argument| arguments.next().unwrap_or(argument))
}

fn with_examples_first(command: Command) -> Command {
    const TEMPLATE: &str =
        "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, rest) = match after.split_once("\n\n") {
        Some((examples, rest)) => (examples.to_owned(), Some(rest.to_owned())),
        None => (after, None),
    };
    if !examples.starts_with("Examples:") {
        return command;
    }
    let command = command.help_template(TEMPLATE).before_help(examples);
    match rest {
        Some(rest) => command.after_help(rest),
        None => command.after_help(Resettable::Reset),
    }
}
