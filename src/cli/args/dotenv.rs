//! The file `.env`, and saying where a malformed value came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;

use crate::cli::failure::Failure;

/// The file's name, looked for in the current directory only: a file further up would be a
/// surprise.
const FILE: &str = ".env";

/// Which variables came from `.env`, and from which line.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    lines: BTreeMap<String, usize>,
}

/// Puts the variables of `.env` into the environment, where they are not set already.
///
/// Must be called while the process has one thread only.
pub(crate) fn load() -> Result<Environment, Failure> {
    let path = Path::new(FILE);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Environment::default());
        }
        Err(error) => {
            return Err(Failure::usage(format!("the file {FILE} cannot be read: {error}")));
        }
    };
    let mut environment = Environment::default();
    for entry in dotenvy::from_path_iter(path)
        .map_err(|error| Failure::usage(format!("the file {FILE} cannot be read: {error}")))?
    {
        let (name, _) = entry.map_err(|_| Failure::usage(bad_line(&text)))?;
        if std::env::var_os(&name).is_none() {
            environment.lines.insert(name.clone(), line_of_variable(&text, &name));
        }
    }
    // The file was read once without an error; what can fail now is only that it changed in
    // between.
    dotenvy::from_path(path).map_err(|_| Failure::usage(bad_line(&text)))?;
    Ok(environment)
}

/// Names the line and not its content, which may be a password.
pub(crate) fn bad_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let reads = |count: &usize| {
        let head = lines.iter().take(*count).flat_map(|line| [*line, "\n"]).collect::<String>();
        dotenvy::from_read_iter(head.as_bytes()).all(|entry| entry.is_ok())
    };
    // A quoted value may go over several lines, so a beginning that does not read may be the
    // beginning of one that does.
    let good = (0..lines.len()).rev().find(reads).unwrap_or_default();
    format!(
        "{FILE}, line {}: this is not NAME=value\nhint: values with blanks, quotes, # or $ need single quotes around them",
        good + 1
    )
}

/// The first line that sets the variable, counted from 1.
pub(crate) fn line_of_variable(text: &str, name: &str) -> usize {
    let sets = |line: &str| {
        line.trim_start()
            .trim_start_matches("export ")
            .trim_start()
            .split('=')
            .next()
            .is_some_and(|left| left.trim() == name)
    };
    text.lines().position(sets).map_or(1, |line| line + 1)
}

/// How a value was given, the greater winning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueOrigin {
    /// In `.env`.
    File,
    /// In the environment.
    Environment,
    /// As a flag.
    Flag,
}

impl Environment {
    /// How the argument was given that is read from this variable, if it was.
    pub fn origin_of(&self, source: Option<ValueSource>, variable: &str) -> Option<ValueOrigin> {
        match source? {
            ValueSource::CommandLine => Some(ValueOrigin::Flag),
            ValueSource::EnvVariable if self.lines.contains_key(variable) => {
                Some(ValueOrigin::File)
            }
            ValueSource::EnvVariable => Some(ValueOrigin::Environment),
            _ => None,
        }
    }

    /// The text of an error of clap, with the variable that the bad value came from.
    pub fn explain(&self, error: &clap::Error, command: &clap::Command) -> String {
        let text = error.render().to_string();
        match self.origin(error, command, &std::env::args_os().collect::<Vec<_>>()) {
            Some(origin) => format!(
                "{}\n\nnote: the value comes from {origin}",
                text.trim_start_matches("error: ").trim_end()
            ),
            None => text.trim_start_matches("error: ").to_owned(),
        }
    }

    /// Where the value of the argument that the error is about came from, unless it was given as a
    /// flag.
    fn origin(
        &self,
        error: &clap::Error,
        command: &clap::Command,
        arguments: &[OsString],
    ) -> Option<String> {
        let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
            return None;
        };
        let flag = argument.split([' ', '=', '[']).next()?.trim_start_matches("--");
        let given = |argument: &OsString| {
            let argument = argument.to_string_lossy();
            argument == format!("--{flag}") || argument.starts_with(&format!("--{flag}="))
        };
        if arguments.iter().any(given) {
            return None;
        }
        let all = command.get_subcommands().flat_map(clap::Command::get_arguments);
        let variable = all
            .filter(|argument| argument.get_long() == Some(flag))
            .find_map(clap::Arg::get_env)?
            .to_string_lossy()
            .into_owned();
        std::env::var_os(&variable)?;
        Some(match self.lines.get(&variable) {
            Some(line) => format!("{variable} in {FILE}, line {line}"),
            None => format!("the environment variable {variable}"),
        })
    }
}
