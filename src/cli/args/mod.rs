//! The command line as clap reads it, with the environment variable of each flag, and `.env`.

mod command;
mod dotenv;
mod load;
mod observe;
mod reference;
mod server;
mod subcommands;
mod usage;
mod values;

pub use command::command;
pub(crate) use command::{Command, Parsed, parse, reads_environment};
pub(crate) use dotenv::{Environment, bad_line, line_of_variable, load, without_mark};
pub(crate) use load::{
    CompressionChoice, FaultArguments, FormatChoice, LedgerArguments, LedgerStatusArguments, Order,
    PartitionsArguments, RecordingArguments, ThrottleArguments, ThroughputArguments, WhatArguments,
};
pub(crate) use observe::{HookArguments, LogFormat, OutputArguments};
pub use reference::references;
pub(crate) use reference::variable_names;
pub(crate) use server::{ServerArguments, SourceArguments, TlsArguments};
pub(crate) use subcommands::{
    CompareArguments, CompletionsArguments, CtlArguments, CtlCommand, HistoryArguments,
    JobArguments, JobCommand, ManArguments, PlanArguments, RepairArguments, ReportArguments,
    ReportFormat, RunArguments, StatusArguments, VerifyArguments,
};
pub(crate) use values::{AtOnce, Event, Hook, parse_at_once, parse_memory_size, parse_rows};
