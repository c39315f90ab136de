//! Why a comparison did not come to its end.

use std::path::PathBuf;

use crate::clickhouse::{Error as ServerError, TableName};
use crate::plan::PlanError;
use crate::units::counted;

/// A comparison that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Stopping was asked for; what was compared is kept in the state file.
    #[error("stopped before all was compared")]
    Stopped,
    /// A table that cannot be compared.
    #[error("the target table {table} cannot be verified: {message}")]
    Unfit {
        /// The target.
        table: TableName,
        /// Why.
        message: String,
    },
    /// A query failed, also after retries.
    #[error("{what} of {table} failed after {}", counted((*attempts).into(), "attempt"))]
    Query {
        /// What was asked.
        what: String,
        /// Of which table.
        table: TableName,
        /// How often.
        attempts: u32,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
    /// The server's answer does not have the form that was asked for.
    #[error("the answer of the server about {table} was not understood: {message}")]
    Answer {
        /// The table.
        table: TableName,
        /// What is wrong.
        message: String,
    },
    /// The ranges of a table could not be found.
    #[error("{0}")]
    Plan(#[source] Box<PlanError>),
    /// The state file.
    #[error("the state file {}: {message}", path.display())]
    State {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl VerifyError {
    /// The table that was asked for, where it is one.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Query { table, .. } | Self::Answer { table, .. } | Self::Unfit { table, .. } => {
                Some(table)
            }
            Self::Plan(error) => error.table(),
            Self::Stopped | Self::State { .. } => None,
        }
    }
}
