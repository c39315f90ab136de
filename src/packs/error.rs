//! What can be wrong with a pack, its files and its tables.

use std::io;

use crate::clickhouse::Error as ServerError;

/// A pack that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// No pack of that name.
    #[error("there is no pack {name:?}; there are {}", known.join(", "))]
    UnknownPack {
        /// The given name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A reference that has no slash.
    #[error("{reference:?} does not name a query: write PACK/NAME")]
    NotAQuery {
        /// As given.
        reference: String,
    },
    /// No query of that name.
    #[error("the pack {pack} has no query {name:?}{}", listed("; it has ", known))]
    UnknownQuery {
        /// The pack's name.
        pack: String,
        /// The given name.
        name: String,
        /// The names of the pack's queries.
        known: Vec<String>,
    },
    /// A file that cannot be read.
    #[error("the file {path} of the pack cannot be read: {source}")]
    Unreadable {
        /// Its path.
        path: String,
        /// The file system's error.
        source: io::Error,
    },
    /// A `pack.toml` that is not TOML, or has other keys.
    #[error("the file {path} cannot be read:\n{message}")]
    Syntax {
        /// Its path.
        path: String,
        /// The parser's message.
        message: String,
    },
    /// A statement of `schema.sql` that a pack may not have.
    #[error("{path}, line {line}: {message}")]
    Statement {
        /// The path of the file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A statement of `schema.sql` that the server refuses.
    #[error("{path}, line {line}: {doing} {object} failed")]
    Refused {
        /// The path of the file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// `trying` before anything was changed, `creating` afterwards.
        doing: &'static str,
        /// The object that it creates.
        object: String,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
    /// Another question to the server failed.
    #[error("{what} failed")]
    Server {
        /// What it was for.
        what: &'static str,
        /// The server's words.
        #[source]
        source: ServerError,
    },
    /// Parameters of a query that are missing, unknown or given twice.
    #[error("the query {query} cannot be run: {}", problems.join("; "))]
    Parameters {
        /// As `PACK/NAME`.
        query: String,
        /// Each of them.
        problems: Vec<String>,
    },
}

impl PackError {
    /// Whether the command line or a file is wrong, not the server.
    pub(crate) fn is_configuration(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Server { .. })
    }

    /// The server's error, if it is one.
    pub(crate) fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Refused { source, .. } => Some(&**source),
            Self::Server { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn listed(head: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{head}{}", names.join(", ")) }
}
