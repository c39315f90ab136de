//! Errors of a comparison.

use std::path::PathBuf;

use crate::clickhouse::{Error as ServerError, TableName};
use crate::plan::PlanError;
use crate::units::counted;

/// Why a comparison has no result.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A stop was requested; the sums so far are in the state file.
    #[error("stopped before the comparison was complete")]
    Stopped,
    /// A query failed after all retries.
    #[error("{what} of {table} failed after {}", counted((*attempts).into(), "attempt"))]
    Query {
        /// The purpose of the query.
        what: String,
        /// The table.
        table: TableName,
        /// Number of attempts.
        attempts: u32,
        /// The server's error.
        #[source]
        source: Box<ServerError>,
    },
    /// The server's answer does not have the requested form.
    #[error("cannot decode the server's answer about {table}: {message}")]
    Answer {
        /// The table.
        table: TableName,
        /// What is wrong.
        message: String,
    },
    /// The ranges of the target cannot be planned.
    #[error("{0}")]
    Plan(#[source] Box<PlanError>),
    /// The state file cannot be used.
    #[error("the state file {}: {message}", path.display())]
    State {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl VerifyError {
    /// The queried table, if the error is about one.
    pub(crate) fn table(&self) -> Option<&TableName> {
        match self {
            Self::Query { table, .. } | Self::Answer { table, .. } => Some(table),
            Self::Plan(error) => error.table(),
            Self::Stopped | Self::State { .. } => None,
        }
    }
}
