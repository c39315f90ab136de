//! Arguments, configuration, commands and exit codes: the only room that knows the terminal, the
//! environment and the home of files.
//!
//! `args` reads the command line, the environment and `.env`; `commands` has a file for each
//! command; `output` is what they print.

mod args;
mod commands;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod output;
mod panics;
mod signals;

use std::process::ExitCode;

use crate::progress::{Terminal, TerminalOptions};
pub use args::command;
use args::{Command, LogFormat, OutputArguments};
use commands::{ctl, documents, history, job, plan, repair, report, run, status, verify};
use failure::Failure;

/// Runs the program and says what it exits with: 0 done, 1 stopped by a failure, 2 usage or
/// configuration, 3 refused by a check before the first row, 4 verification found differences, 130
/// interrupted.
pub fn main() -> ExitCode {
    panics::install();
    // A fault of the program, or of a library when the process has no files left to open, stops it
    // like any failure; the hook has said it.
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
