//! Arguments, configuration, commands and exit codes: the only room that reads the environment and
//! the command line.
//!
//! `args` reads the command line, the environment and `.env`; `commands` has a file for each
//! command; `output` is what they print.

mod args;
mod commands;
mod config;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod output;
mod runtime;

use std::process::ExitCode;

use crate::progress::{Terminal, TerminalOptions};
use args::{Command, LogFormat, OutputArguments};
pub use args::{command, references};
use commands::{ctl, documents, history, job, plan, repair, report, run, status, verify};
use failure::Failure;

/// Runs the program. Exit codes: 0 success, 1 failure during the work, 2 usage or configuration, 3
/// blocked by a check before the first row, 4 differences found by `verify`, 130 interrupted.
pub fn main() -> ExitCode {
    runtime::install_panic_hook();
    // A panic of the program or of a library, for example when no file descriptors are left, ends it
    // like any failure. The hook has reported it.
    match std::panic::catch_unwind(run_command) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => {
            Terminal::new(TerminalOptions::default()).insist(&failure.text());
            failure.exit_code()
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn run_command() -> Result<ExitCode, Failure> {
    let environment = args::load()?;
    let Some(command) = args::parse(&environment)? else { return Ok(ExitCode::SUCCESS) };
    match command {
        Command::Run(arguments) => run::run(&arguments, &terminal(&arguments.output)),
        Command::Plan(arguments) => plan::plan(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments, &terminal(&arguments.output)),
        Command::Repair(arguments) => repair::repair(&arguments, &terminal(&arguments.output)),
        Command::Status(arguments) => status::status(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::History(arguments) => history::history(&arguments),
        Command::Job(arguments) => job::job(&arguments),
        Command::Completions(arguments) => documents::completions(&arguments),
        Command::Man(arguments) => documents::man(&arguments),
        Command::Ctl(arguments) => ctl::ctl(&arguments),
    }
}

fn terminal(output: &OutputArguments) -> Terminal {
    let OutputArguments { quiet, no_progress, log_format, .. } = *output;
    Terminal::new(TerminalOptions { quiet, no_progress, json: log_format == LogFormat::Json })
}
