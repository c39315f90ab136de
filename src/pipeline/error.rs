//! Why a pipeline stopped.

use crate::clickhouse::{Error as ServerError, TableName};
use crate::lookup::LookupError;
use crate::native::MalformedRow;
use crate::rowbinary::FramingError;

/// A pipeline that stopped before its work was done. What was acknowledged until then stays, and may be inserted again.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Attributes could not be loaded.
    #[error("loading attributes from {table} failed after {attempts} attempts")]
    Lookup {
        /// The lookup table.
        table: TableName,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<ReadError>,
    },
    /// A chunk could not be read.
    #[error("reading chunk {chunk} of {table} failed after {attempts} attempts")]
    Read {
        /// The source table.
        table: TableName,
        /// The chunk's number, from 1.
        chunk: usize,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<ReadError>,
    },
    /// A batch could not be inserted.
    #[error("inserting a batch of {rows} rows ({bytes} bytes) of chunk {chunk} into {table} failed after {attempts} attempts")]
    Insert {
        /// The target table.
        table: TableName,
        /// The chunk's number, from 1.
        chunk: usize,
        /// Rows of the batch.
        rows: u64,
        /// Its bytes.
        bytes: u64,
        /// How often it was tried.
        attempts: u32,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
    /// A query beside the stream failed.
    #[error("{what} of {table} failed")]
    Query {
        /// What was asked.
        what: &'static str,
        /// Of which table.
        table: TableName,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
    /// The chunks together gave another number of rows than the partition has.
    #[error(
        "the chunks gave {streamed} rows, and {table} counts {before} rows before and {after} after the run; the partition is not completely filled"
    )]
    Count {
        /// The source table.
        table: TableName,
        /// Rows that the chunks gave.
        streamed: u64,
        /// Rows counted before the run.
        before: u64,
        /// Rows counted after it.
        after: u64,
    },
    /// A task of the pipeline ended without a result, which is a defect of this program.
    #[error("a part of the pipeline ended unexpectedly: {0}")]
    Task(String),
}

/// A stream of rows that broke.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The server or the connection.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The bytes are not the rows that the schema says.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A row could not be put into a block.
    #[error(transparent)]
    Row(#[from] MalformedRow),
    /// The map cannot take the row.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}
