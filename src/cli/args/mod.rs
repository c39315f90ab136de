//! The command line as clap reads it, with the environment variable of each flag, and `.env`.

mod arguments;
pub(crate) mod connect;
mod control_arguments;
mod dotenv;
mod fault_arguments;
mod hook_arguments;
mod ledger_arguments;
mod metrics_arguments;
mod partition_arguments;
mod preflight_arguments;
mod server_arguments;
mod size;
mod status_arguments;
mod usage;
mod verify_arguments;

pub use arguments::command;
pub(crate) use arguments::{
    Command, CompletionsArguments, CompressionChoice, FormatChoice, JobArguments, JobCommand,
    LogFormat, ManArguments, OutputArguments, PlanArguments, RunArguments, ThroughputArguments,
    WhatArguments, parse,
};
pub(crate) use control_arguments::{CtlArguments, CtlCommand, ThrottleArguments};
pub(crate) use dotenv::{bad_line, line_of_variable, load};
pub(crate) use fault_arguments::FaultArguments;
pub(crate) use hook_arguments::{Event, Hook, HookArguments};
pub(crate) use ledger_arguments::LedgerPlaceArguments;
pub(crate) use partition_arguments::{
    HistoryArguments, Order, PartitionsArguments, ReportArguments, ReportFormat,
};
pub(crate) use server_arguments::ServerArguments;
pub(crate) use size::{AtOnce, parse_at_once, parse_memory_size, parse_rows};
pub(crate) use status_arguments::StatusArguments;
pub(crate) use verify_arguments::{CompareArguments, RepairArguments, VerifyArguments};
