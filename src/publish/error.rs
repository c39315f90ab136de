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
    /// An insert that began before late rows are caught does not end.
    #[error(
        "the insert {query_id}{} has been under way for {seconds:.0} s: rows of live writers cannot be told apart until it ends",
        table.as_ref().map(|table| format!(" into {table}")).unwrap_or_default()
    )]
    Inserting {
        /// Its query id.
        query_id: String,
        /// The table that it names.
        table: Option<String>,
        /// Since when, in seconds.
        seconds: f64,
    },
    /// Inserts were under way at every attempt.
    #[error(
        "inserts into {table} could not be paused: at each of {tries} attempts some had not ended after {seconds} s; {} came in meanwhile",
        counted(*rows, "row")
    )]
    Busy {
        /// The target.
        table: TableName,
        /// Attempts.
        tries: u32,
        /// How long each waited, in seconds.
        seconds: u64,
        /// Late rows until now.
        rows: u64,
    },
    /// The partition was replaced, and rows came in between each time.
    #[error(
        "the partition of {table} was replaced, and rows came in between each time: it lacks some of {} that came in meanwhile until the next run adds them",
        counted(*rows, "row")
    )]
    Behind {
        /// The target.
        table: TableName,
        /// Late rows until now.
        rows: u64,
    },
    /// What catches late rows was interrupted.
    #[error(
        "rows that were written into {table} meanwhile may be lost: {message}; the partition has to be built again"
    )]
    Lost {
        /// The target.
        table: TableName,
        /// Why.
        message: String,
    },
    /// No copy of the source's partition can be made.
    #[error("no snapshot of {table} can be read: {message}")]
    NoSnapshot {
        /// The source.
        table: TableName,
        /// Why.
        message: String,
    },
    /// The copy of the source's partition was dropped while the load was unfinished.
    #[error(
        "{table}, the copy of the source that the completed chunks were read from, is gone: the other chunks would be of another moment"
    )]
    SnapshotGone {
        /// The copy.
        table: TableName,
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
        "the rows that were built for {partitions} of {table} are not what the job makes of the source: {differences}; nothing is published"
    )]
    Differs {
        /// The target.
        table: TableName,
        /// Its partitions, in words.
        partitions: String,
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
