//! Errors in a job, by itself or together with its tables, with suggestions for mistyped names.

use crate::clickhouse::{Error as ServerError, ProfileSetting, TableName, quote_literal};

/// A job that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No built-in job of that name and no such file.
    #[error("there is no built-in job {name:?} and no file of that name ({reason})")]
    NotFound {
        /// The given name.
        name: String,
        /// The file system's message.
        reason: String,
        /// A built-in job with a similar name.
        suggestion: Option<&'static str>,
    },
    /// The name of a set where a single job is needed.
    #[error("{name} is a set of jobs: {}", jobs.join(", "))]
    IsSet {
        /// The given name.
        name: String,
        /// Its jobs.
        jobs: Vec<String>,
    },
    /// The file is not TOML, or not a job. The message names and shows the line.
    #[error("the job file {origin} cannot be read:\n{message}")]
    Syntax {
        /// The file or the built-in job.
        origin: String,
        /// The parser's message.
        message: String,
        /// A key that is similar to an unknown one.
        suggestion: Option<String>,
    },
    /// Parts of the file contradict each other.
    #[error("{origin}, line {line}: {message}")]
    Invalid {
        /// The file or the built-in job.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An exclusion or a filter that the job does not have.
    #[error("{origin}: there is no {name:?} in [{table}]{}", known_names(known))]
    UnknownPredicate {
        /// The file or the built-in job.
        origin: String,
        /// The table of the file.
        table: &'static str,
        /// The given name.
        name: String,
        /// The names of the job's predicates.
        known: Vec<String>,
        /// A predicate with a similar name.
        suggestion: Option<String>,
    },
    /// A moment for a job without a column for it.
    #[error("{origin}: --before {moment} needs a column of times, and [source] has no before")]
    NoCutoff {
        /// The file or the built-in job.
        origin: String,
        /// The given moment.
        moment: String,
    },
    /// An expression that the server or the engine rejects.
    #[error("{origin}, line {line}: the expression of column {column} {message}")]
    Expression {
        /// The file or the built-in job.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// The target column.
        column: String,
        /// What is wrong.
        message: String,
    },
    /// ClickHouse settings that the server rejects.
    #[error("{origin}: the server rejects [settings.{statement}]: {message}")]
    Settings {
        /// The file or the built-in job.
        origin: String,
        /// `source`, `lookup` or `insert`.
        statement: &'static str,
        /// The server's message.
        message: String,
    },
    /// The user's profile has settings under which the result would be wrong, and forbids to
    /// override them.
    #[error(
        "the profile of the user {user} fixes {}, under which rows, types or errors would not be those of the equivalent join",
        fixed_settings(settings)
    )]
    Profile {
        /// Whose profile it is.
        user: String,
        /// The settings that it fixes.
        settings: Vec<ProfileSetting>,
    },
    /// A table that does not exist, or that the user may not see.
    #[error("the {role} table {table} does not exist, or the user has no right to see it")]
    MissingTable {
        /// `source`, `lookup` or `target`.
        role: &'static str,
        /// The table.
        table: TableName,
    },
    /// A column that the job names does not exist.
    #[error(
        "the {role} table {table} cannot be used: it has no column {column}, which the job names"
    )]
    MissingColumn {
        /// `source`, `lookup` or `target`.
        role: &'static str,
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// A column with a similar name.
        suggestion: Option<String>,
    },
    /// A column that exists, but that the user may not read, or of the target, not write.
    #[error(
        "the {role} table {table} cannot be used: the user may not {} its column {column}",
        if *role == "target" { "write" } else { "read" }
    )]
    DeniedColumn {
        /// `source`, `lookup` or `target`.
        role: &'static str,
        /// Which table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// A table or a column that cannot serve as what the job wants of it.
    #[error("the {role} table {table} cannot be used: {message}")]
    Unfit {
        /// `source`, `lookup` or `target`.
        role: &'static str,
        /// The table.
        table: TableName,
        /// Why.
        message: String,
    },
    /// Objects that cannot serve as the source.
    #[error("the objects {objects} cannot be used: {message}")]
    Objects {
        /// Their pattern in the job.
        objects: String,
        /// Why.
        message: String,
    },
    /// Objects that the server cannot read.
    #[error("the objects {objects} cannot be read: {what} failed")]
    UnreadableObjects {
        /// Their pattern in the job.
        objects: String,
        /// What was tried.
        what: String,
        /// The server's message.
        #[source]
        source: ServerError,
    },
    /// A query of PostgreSQL that cannot serve as the source.
    #[error("the rows of {name} cannot be used: {message}")]
    Postgres {
        /// How people call the source.
        name: String,
        /// Why.
        message: String,
    },
    /// A query of PostgreSQL that the server cannot read.
    #[error("the rows of {name} cannot be read: {what} failed")]
    UnreadablePostgres {
        /// How people call the source.
        name: String,
        /// What was tried.
        what: String,
        /// The server's message.
        #[source]
        source: ServerError,
    },
    /// A table in which the groups of a job would not stay what they are.
    #[error(
        "the target table {table} cannot hold the groups of the job exactly: {}",
        sentences(findings)
    )]
    Inexact {
        /// The target.
        table: TableName,
        /// What is wrong, all of it.
        findings: Vec<Inexact>,
    },
    /// A query failed.
    #[error("{what} failed")]
    Server {
        /// What the query was for.
        what: &'static str,
        /// The server's message.
        #[source]
        source: ServerError,
    },
}

/// Why groups would not stay what they are in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inexact {
    /// What is wrong with the target.
    pub what: String,
    /// What makes it right.
    pub remedy: String,
}

fn sentences(findings: &[Inexact]) -> String {
    findings.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>().join("; ")
}

fn fixed_settings(settings: &[ProfileSetting]) -> String {
    let each = settings
        .iter()
        .map(|setting| format!("{} = {}", setting.name, quote_literal(&setting.value)));
    each.collect::<Vec<_>>().join(", ")
}

impl JobError {
    /// Whether the job file or the command line is wrong, not the tables.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::IsSet { .. }
                | Self::Syntax { .. }
                | Self::Invalid { .. }
                | Self::UnknownPredicate { .. }
                | Self::NoCutoff { .. }
                | Self::Expression { .. }
                | Self::Settings { .. }
        )
    }
}

/// The names that exist, as the end of a message.
fn known_names(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
}

/// Adds to a server's error what the query was for.
pub(super) fn asking(what: &'static str) -> impl FnOnce(ServerError) -> JobError {
    move |source| JobError::Server { what, source }
}

/// Names are similar if at most this share of the longer one differs.
const ALIKE: f64 = 0.34;

/// Of the names that exist, the one that is most like this, if any is.
pub(crate) fn suggestion<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance =
        |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let (known, distance) = names
        .into_iter()
        .map(|known| (known, distance(known)))
        .min_by_key(|(_, distance)| *distance)?;
    let length = known.chars().count().max(name.chars().count());
    (distance as f64 <= ALIKE * length as f64).then_some(known)
}

/// The suggestion for the parser's "unknown field `tabel`, expected one of `table`, `final`".
pub(super) fn suggested_key(message: &str) -> Option<&str> {
    let mut quoted = quoted(message)?;
    let name = quoted.next()?;
    suggestion(name, quoted)
}

/// The key in the parser's "unknown field `tabel`, expected …".
pub(super) fn unknown_key(message: &str) -> Option<&str> {
    quoted(message)?.next()
}

/// The quoted parts of a message about an unknown key.
fn quoted(message: &str) -> Option<impl Iterator<Item = &str>> {
    let (_, names) = message.split_once("unknown field ")?;
    // Every second part is quoted.
    Some(names.split('`').skip(1).step_by(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_recognized_and_other_names_are_not() {
        let names = ["table", "final", "version", "join_key"];
        for (name, expected) in [
            ("tabel", "table"),
            ("Table", "table"),
            ("versoin", "version"),
            ("joinkey", "join_key"),
            ("finals", "final"),
        ] {
            assert_eq!(suggestion(name, names), Some(expected), "{name}");
        }
        for name in ["", "x", "tags", "lookup", "a_name_of_another_kind"] {
            assert_eq!(suggestion(name, names), None, "{name}");
        }
        assert_eq!(suggestion("x", []), None);
        assert_eq!(
            suggested_key("unknown field `tabel`, expected one of `table`, `final`"),
            Some("table")
        );
        assert_eq!(
            suggested_key("unknown field `tabel`, expected `table` or `final`"),
            Some("table")
        );
        assert_eq!(suggested_key("missing field `table`"), None);
    }
}
