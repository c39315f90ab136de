//! The file `.env` of the current directory, and the origin of each value.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;

use crate::cli::failure::Failure;
use crate::job::suggestion;

/// The file's name. Only the current directory is searched: a file further up would be a surprise.
const FILE: &str = ".env";

/// What `.env` contains.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// The line of each name, the first if several lines have it.
    lines: BTreeMap<String, usize>,
    /// The names that were not set in the environment.
    used: BTreeSet<String>,
}

/// Adds the variables of `.env` to the environment, except those that are already set.
///
/// Must be called while the process has only one thread.
///
/// # Errors
/// The file cannot be read, or has a line that is not `NAME=value`. Then no variable is set.
pub(crate) fn load() -> Result<Environment, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(match error.kind() {
            std::io::ErrorKind::InvalidData => format!("the file {FILE} is not UTF-8"),
            _ => format!("cannot read the file {FILE}: {error}"),
        })
    };
    let text = match std::fs::read_to_string(Path::new(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Environment::default());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let text = without_mark(&text);
    let mut environment = Environment::default();
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, _) = entry.map_err(|_| Failure::usage(bad_line(text)))?;
        if std::env::var_os(&name).is_none() {
            environment.used.insert(name.clone());
        }
        environment.lines.entry(name).or_insert_with_key(|name| line_of_variable(text, name));
    }
    dotenvy::from_read(text.as_bytes()).map_err(|_| Failure::usage(bad_line(text)))?;
    Ok(environment)
}

/// The text without the byte order mark that editors on Windows put first.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Names the wrong line without its content, which may be a password.
pub(crate) fn bad_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let reads = |count: &usize| {
        let head = lines.iter().take(*count).flat_map(|line| [*line, "\n"]).collect::<String>();
        dotenvy::from_read_iter(head.as_bytes()).all(|entry| entry.is_ok())
    };
    // A quoted value may span lines, so a part that cannot be read may begin one that can.
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

/// The origin of a value, in ascending order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueOrigin {
    /// The file `.env`.
    File,
    /// The environment.
    Environment,
    /// A flag.
    Flag,
}

impl Environment {
    /// Notes about names in `.env` that are not among the known ones. A name similar to a known one
    /// is probably misspelled; the others may belong to other programs.
    pub(crate) fn notes(&self, known: &[&str]) -> Vec<String> {
        const LISTED: usize = 3;
        let (mut notes, mut others) = (Vec::new(), Vec::new());
        for (name, line) in self.lines.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            match suggestion(name, known.iter().copied()) {
                Some(meant) => notes.push(format!(
                    "note: {FILE}, line {line}: {name} is not known; did you mean {meant}?"
                )),
                None => others.push(name.as_str()),
            }
        }
        let listed = others.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        match others.len() {
            0 => {}
            1 => notes.push(format!("note: {FILE}: {listed} is not known, and is ignored")),
            2..=LISTED => {
                notes.push(format!("note: {FILE}: {listed} are not known, and are ignored"));
            }
            many => notes.push(format!(
                "note: {FILE}: {listed} and {} more are not known, and are ignored",
                many - LISTED
            )),
        }
        notes
    }

    /// The origin of an argument with this variable, if it is given.
    pub(crate) fn origin_of(
        &self,
        source: Option<ValueSource>,
        variable: &str,
    ) -> Option<ValueOrigin> {
        match source? {
            ValueSource::CommandLine => Some(ValueOrigin::Flag),
            ValueSource::EnvVariable if self.lines.contains_key(variable) => {
                Some(ValueOrigin::File)
            }
            ValueSource::EnvVariable => Some(ValueOrigin::Environment),
            _ => None,
        }
    }

    /// The text of an error of clap, with the variable that contains the wrong value.
    pub(crate) fn explain(&self, error: &clap::Error, command: &clap::Command) -> String {
        let text = error.render().to_string();
        match self.origin(error, command, &std::env::args_os().collect::<Vec<_>>()) {
            Some(origin) => format!(
                "{}\n\nnote: the value comes from {origin}",
                text.trim_start_matches("error: ").trim_end()
            ),
            None => text.trim_start_matches("error: ").to_owned(),
        }
    }

    /// The origin of the value that an error is about, unless it is a flag.
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
        Some(match self.lines.get(&variable).filter(|_| self.used.contains(&variable)) {
            Some(line) => format!("{variable} in {FILE}, line {line}"),
            None => format!("the environment variable {variable}"),
        })
    }
}
