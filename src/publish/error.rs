//! Why a partition is not replaced.

use crate::clickhouse::{Error as ServerError, TableName};
use crate::units::counted;

/// A partition that is not replaced.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The target, or the job, is not such that a partition can be replaced.
    #[error("the partition of {table} cannot be replaced: {message}")]
    Unfit {
        /// The target.
        table: TableName,
        /// Why.
        message: String,
    },
    /// There is nothing to put back.
    #[error("nothing can be put back into {table}: {message}")]
    Nothing {
        /// The target.
        table: TableName,
        /// Why.
        message: String,
    },
    /// Rows came into the target's partition while the load was built.
    #[error(
        "{} into partition {partition} of {table} since the load began, and replacing the partition would remove {}: nothing is published",
        if *rows == 1 { "1 row was written".to_owned() } else { format!("{} were written", counted(*rows, "row")) },
        if *rows == 1 { "it" } else { "them" }
    )]
    Written {
        /// The target.
        table: TableName,
        /// The id of its partition.
        partition: String,
        /// How many.
        rows: u64,
    },
    /// The stage does not have the rows that its chunks had.
    #[error(
        "the stage {table} has {found} of the completed chunks, which had {expected}: nothing is published",
        found = counted(*.found, "row"), expected = counted(*.expected, "row")
    )]
    Stage {
        /// The stage.
        table: TableName,
        /// Rows that it has.
        found: u64,
        /// Rows that the chunks had when they were staged.
        expected: u64,
    },
    /// What was built is not what the job makes of the source.
    #[error(
        "the rows that were built for partition {partition} of {table} are not what the job makes of the source: {differences}; nothing is published"
    )]
    Differs {
        /// The target.
        table: TableName,
        /// The id of its partition.
        partition: String,
        /// What differs, in words.
        differences: String,
    },
    /// A statement failed.
    #[error("{what} {table} failed")]
    Server {
        /// What it was for.
        what: &'static str,
        /// The table.
        table: TableName,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
    /// Stopping was asked for.
    #[error("stopped before the partition was published")]
    Stopped,
}

impl PublishError {
    /// Adds to a server's error what the statement was for.
    pub(crate) fn of(what: &'static str, table: &TableName) -> impl FnOnce(ServerError) -> Self {
        let table = table.clone();
        move |source| Self::Server { what, table, source: Box::new(source) }
    }
}
