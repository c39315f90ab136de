//! Arguments, configuration, commands and exit codes: the only room that knows the terminal, the environment and the home of files.
//!
//! Parsing (`arguments`, `server_arguments`) is apart from resolving (`config`, `connect`), and each command has a file of its own.

mod arguments;
mod config;
mod connect;
mod describe;
mod dotenv;
mod duration;
mod estimate;
mod failure;
mod fault_arguments;
mod figures;
#[doc(hidden)]
pub mod fuzzing;
mod job;
mod ledger_arguments;
mod load_failure;
mod logging;
mod output;
mod panics;
mod plan;
mod repair;
mod report;
mod resources;
mod run;
mod sample;
mod server_arguments;
mod session;
mod signals;
mod size;
mod summary_file;
mod verify;
mod verify_arguments;

use std::process::ExitCode;

use crate::progress::{Terminal, TerminalOptions};
pub use arguments::command;
use arguments::{Command, LogFormat, OutputArguments};
use failure::Failure;

/// Runs the program and says what it exits with: 0 done, 1 stopped by a failure, 2 usage or configuration, 3 refused by a check
/// before the first row, 4 verification found differences, 130 interrupted.
pub fn main() -> ExitCode {
    panics::install();
    match run_command() {
        Ok(code) => code,
        Err(failure) => {
            Terminal::new(TerminalOptions::default()).insist(&failure.text());
            failure.exit_code()
        }
    }
}

fn run_command() -> Result<ExitCode, Failure> {
    let environment = dotenv::load()?;
    let Some(command) = arguments::parse(&environment)? else { return Ok(ExitCode::SUCCESS) };
    match command {
        Command::Run(arguments) => {
            let OutputArguments { quiet, no_progress, log_format, .. } = arguments.output;
            let json = log_format == LogFormat::Json;
            run::run(&arguments, &Terminal::new(TerminalOptions { quiet, no_progress, json }))
        }
        Command::Plan(arguments) => plan::plan(&arguments),
        Command::Verify(arguments) => {
            let OutputArguments { quiet, no_progress, log_format, .. } = arguments.output;
            let json = log_format == LogFormat::Json;
            verify::verify(&arguments, &Terminal::new(TerminalOptions { quiet, no_progress, json }))
        }
        Command::Repair(arguments) => {
            let OutputArguments { quiet, no_progress, log_format, .. } = arguments.output;
            let json = log_format == LogFormat::Json;
            repair::repair(&arguments, &Terminal::new(TerminalOptions { quiet, no_progress, json }))
        }
        Command::Job(arguments) => job::job(&arguments),
    }
}
