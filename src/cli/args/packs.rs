//! Flags of the commands for packs. Pure: nothing here reads the environment or a file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::server::ServerArguments;
use super::values::{FormatArguments, parse_pair};
use crate::units::parse_duration;

/// The user's own packs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct PackFolders {
    /// Folder of a pack beside the built-in ones; may be given several times.
    ///
    /// A pack has pack.toml with its name, and schema.sql, jobs/*.toml and queries/*.sql. In the variable,
    /// folders are separated by commas.
    #[arg(long = "pack", value_name = "DIR", env = "PACK", value_delimiter = ',')]
    pub pack: Vec<PathBuf>,
}

impl PackFolders {
    /// The folders; an empty value counts as not given.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        self.pack.iter().filter(|path| !path.as_os_str().is_empty()).cloned().collect()
    }
}

/// `pack`
#[derive(Args, Debug)]
pub(crate) struct PackArguments {
    #[command(subcommand)]
    pub command: PackCommand,
}

/// What to do with packs.
#[derive(Debug, Subcommand)]
pub(crate) enum PackCommand {
    /// List the packs.
    #[command(after_help = "Examples:\n  clickhouse-backfill pack list")]
    List {
        #[command(flatten)]
        packs: PackFolders,
    },
    /// Show the tables, jobs and queries of a pack, and the SQL of its schema.
    #[command(after_help = "Examples:\n  clickhouse-backfill pack show optiinfra")]
    Show {
        /// Name of the pack.
        name: String,
        #[command(flatten)]
        packs: PackFolders,
    },
    /// Create the missing tables and views of a pack in the database, and report those that differ.
    ///
    /// Nothing that exists is altered or dropped. The schema is first created in a database of its own, which is dropped
    /// at the end: so the server checks all of it, and definitions are compared in the server's form.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill pack apply optiinfra --clickhouse-db metrics\n  clickhouse-backfill pack apply mine --pack packs/mine --json\n\n\
Exit codes: 0 all tables and views are as in the pack, 4 some differ, 1 the server refused a statement, 2 usage or configuration."
    )]
    Apply(Box<ApplyArguments>),
}

impl PackCommand {
    /// The server flags of the subcommand, if it connects to a server.
    pub(super) fn server(&mut self) -> Option<&mut ServerArguments> {
        match self {
            Self::Apply(arguments) => Some(&mut arguments.server),
            Self::List { .. } | Self::Show { .. } => None,
        }
    }
}

/// `pack apply`
#[derive(Args, Debug)]
pub(crate) struct ApplyArguments {
    /// Name of the pack.
    pub name: String,
    #[command(flatten)]
    pub format: FormatArguments,
    #[command(flatten)]
    pub packs: PackFolders,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `query`
#[derive(Args, Debug)]
pub(crate) struct QueryArguments {
    /// Query of a pack.
    #[arg(value_name = "PACK/NAME")]
    pub query: String,
    /// Value of a parameter of the query; may be given several times.
    ///
    /// `clickhouse-backfill pack show PACK` lists the parameters of each query with their types.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub param: Vec<(String, String)>,
    /// Output format of ClickHouse, or `json` for JSON lines [default: `PrettyCompact` on a terminal, else
    /// `json`].
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Short for `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub packs: PackFolders,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `health`
#[derive(Args, Debug)]
pub(crate) struct HealthArguments {
    /// Pack whose tables and roll-ups are looked at [default: all tables of the database].
    #[arg(value_name = "PACK")]
    pub name: Option<String>,
    /// Age from which a mutation or a merge counts as stuck. A replica counts as behind from 5 minutes on.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub stuck_after: Duration,
    #[command(flatten)]
    pub format: FormatArguments,
    #[command(flatten)]
    pub packs: PackFolders,
    #[command(flatten)]
    pub server: ServerArguments,
}
