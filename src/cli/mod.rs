//! Arguments, configuration, commands and exit codes: the only room that reads the environment and
//! the command line.
//!
//! `args` reads the command line, the environment, `.env` and the config file; `config` is what they resolve to;
//! `commands` has a file for each command, and `output` prints.

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
use args::{Command, Environment, LogFormat, OutputArguments, Parsed, ParsedCall};
pub use args::{command, references};
use commands::{
    complete, ctl, doctor, documents, health, init, insert, pack, report, rollback, run, sets,
};
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
    if complete::is_asked() {
        return complete::complete();
    }
    let environment = if args::reads_environment(std::env::args_os()) {
        args::load()
    } else {
        Ok(Environment::default())
    };
    let call = match args::parse(environment)? {
        Parsed::Call(call) => *call,
        Parsed::Printed => return Ok(ExitCode::SUCCESS),
        Parsed::Missing(help) => {
            Terminal::new(TerminalOptions::default()).insist(&help);
            return Ok(Failure::usage("no command is given").exit_code());
        }
    };
    let ParsedCall { command, given, layers, notes } = call;
    let terminal = match command.output() {
        Some(output) => terminal(output, matches!(command, Command::Run(_)))?,
        None => Terminal::new(TerminalOptions::default()),
    };
    for note in notes {
        terminal.say(&note);
    }
    let terminal = &terminal;
    match command {
        Command::Run(arguments) => run::run(&arguments, &given, terminal),
        Command::Plan(arguments) => sets::plan(arguments, &given, terminal),
        Command::Verify(arguments) => sets::verify(arguments, terminal),
        Command::Repair(arguments) => sets::repair(arguments, terminal),
        Command::Rollback(arguments) => rollback::rollback(&arguments),
        Command::Undo(arguments) => rollback::undo(&arguments),
        Command::Status(arguments) => sets::status(arguments, terminal),
        Command::Report(arguments) => sets::report(arguments, terminal),
        Command::History(arguments) => report::history(&arguments),
        Command::Job(arguments) => documents::job(&arguments),
        Command::Pack(arguments) => pack::pack(&arguments),
        Command::Query(arguments) => pack::query(&arguments),
        Command::Insert(arguments) => insert::insert(&arguments, terminal),
        Command::Health(arguments) => health::health(&arguments),
        Command::Init(arguments) => init::init(&arguments, terminal),
        Command::Doctor(arguments) => doctor::doctor(&arguments, terminal.width()),
        Command::Config(arguments) => documents::config(&arguments, &layers),
        Command::Completions(arguments) => documents::completions(&arguments),
        Command::Man(arguments) => documents::man(&arguments),
        Command::Ctl(arguments) => ctl::ctl(&arguments),
    }
}

/// The terminal of a command with log lines, which start here. `observed`: traces and metrics may be sent.
fn terminal(output: &OutputArguments, observed: bool) -> Result<Terminal, Failure> {
    let OutputArguments { quiet, no_progress, log_format, .. } = *output;
    let options = TerminalOptions { quiet, no_progress, json: log_format == LogFormat::Json };
    let terminal = Terminal::new(options);
    output::start_logging(output, &terminal, observed)?;
    Ok(terminal)
}
