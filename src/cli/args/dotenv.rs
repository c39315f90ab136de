//! The file `.env` of the current directory, and the origin of each value.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli::failure::Failure;
use crate::job::suggestion;

/// The file's name. Only the current directory is searched: a file further up would be a surprise.
const FILE: &str = ".env";

/// What `.env` contains.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// The line of each name, the first if several lines have it.
    lines: BTreeMap<String, usize>,
    /// The names that were not set in the environment.
    used: BTreeSet<String>,
    /// The names with a value that is not empty.
    filled: BTreeSet<String>,
    /// The permissions of the file.
    mode: u32,
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
    let mode = std::fs::metadata(FILE).map_or(0, |found| found.permissions().mode());
    let mut environment = Environment { mode, ..Environment::default() };
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = entry.map_err(|_| Failure::usage(bad_line(text)))?;
        if !value.is_empty() {
            environment.filled.insert(name.clone());
        }
        if std::env::var_os(&name).is_none() {
            environment.used.insert(name.clone());
        }
        environment.lines.entry(name).or_insert_with_key(|name| line_of_variable(text, name));
    }
    dotenvy::from_read(text.as_bytes()).map_err(|_| Failure::usage(bad_line(text)))?;
    Ok(environment)
}

/// A note if others than the owner can read a file with a password.
pub(super) fn exposed(path: &Path, mode: u32) -> Option<String> {
    (mode & 0o077 != 0).then(|| {
        let (path, mode) = (path.display(), mode & 0o777);
        format!("note: {path} has a password, and other users can read it (mode {mode:04o}): `chmod 600 {path}`")
    })
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
///
/// A named connection counts a little less than the values beside which it is named, and more than
/// all that is below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ValueOrigin {
    /// The config file.
    Config,
    /// A connection that `.env` names.
    ConnectionOfFile,
    /// The file `.env`.
    File,
    /// A connection that the environment names.
    ConnectionOfEnvironment,
    /// The environment.
    Environment,
    /// A connection that a flag names.
    ConnectionOfFlag,
    /// A flag.
    Flag,
}

impl Environment {
    /// Notes about the file: that others can read a password in it, and names that are not among the
    /// known ones. A name similar to a known one is probably misspelled; the others may belong to other
    /// programs.
    pub(super) fn notes(&self, known: &[&str], secrets: &[&str]) -> Vec<String> {
        let has_secret = secrets.iter().any(|name| self.filled.contains(*name));
        let exposed = has_secret.then(|| exposed(Path::new(FILE), self.mode)).flatten();
        exposed.into_iter().chain(self.unknown_names(known)).collect()
    }

    fn unknown_names(&self, known: &[&str]) -> Vec<String> {
        const LISTED: usize = 3;
        let (mut notes, mut others) = (Vec::new(), Vec::new());
        let is_known = |name: &str| {
            known.contains(&name) || cfg!(feature = "otlp") && name.starts_with("OTEL_")
        };
        for (name, line) in self.lines.iter().filter(|(name, _)| !is_known(name)) {
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

    /// Where the value of a variable that is set comes from.
    pub(super) fn origin_of(&self, variable: &str) -> ValueOrigin {
        if self.used.contains(variable) { ValueOrigin::File } else { ValueOrigin::Environment }
    }

    /// The same for a message.
    pub(super) fn place_of(&self, variable: &str) -> String {
        match self.line_of(variable) {
            Some(line) => format!("{variable} in {FILE}, line {line}"),
            None => format!("the environment variable {variable}"),
        }
    }

    /// The line of `.env` that sets the variable, unless the environment does.
    pub(super) fn line_of(&self, variable: &str) -> Option<usize> {
        self.lines.get(variable).filter(|_| self.used.contains(variable)).copied()
    }
}
