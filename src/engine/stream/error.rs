//! Why a pipeline stopped.

use crate::causes::error_chain;
use crate::clickhouse::{Error as ServerError, ErrorClass, TableName};
use crate::formats::native::{BlockError, ExtendError, MalformedColumn, MalformedRow};
use crate::formats::rowbinary::FramingError;
use crate::job::OBJECT_CHANGED;
use crate::lookup::LookupError;
use crate::plan::ChunkId;
use crate::retry::FailureKind;
use crate::units::{bytes as size, counted};

/// A pipeline that stopped before its work was done. What was acknowledged until then stays, and
/// may be inserted again.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Attributes could not be loaded.
    #[error("loading attributes from {table} failed after {}", counted((*attempts).into(), "attempt"))]
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
    #[error("reading chunk {chunk} of {table} failed after {}", counted((*attempts).into(), "attempt"))]
    Read {
        /// The source table.
        table: TableName,
        /// Which chunk.
        chunk: ChunkId,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<ReadError>,
    },
    /// A batch could not be inserted.
    #[error("inserting a batch of {} ({}) of chunk {chunk} into {table} failed after {}", counted(*rows, "row"), size(*bytes), counted((*attempts).into(), "attempt"))]
    Insert {
        /// The target table.
        table: TableName,
        /// Which chunk.
        chunk: ChunkId,
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
    /// A chunk could not be filled by the server.
    #[error("filling chunk {chunk} of {table} failed after {}", counted((*attempts).into(), "attempt"))]
    Fill {
        /// The target table.
        table: TableName,
        /// Which chunk.
        chunk: ChunkId,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<FillError>,
    },
    /// Some chunks could not be done. The others were, if there are any, unless more failed than
    /// are allowed.
    #[error("{} of {} failed{}", failed.len(), counted(*chunks as u64, "chunk"), if *.gave_up { ", more than are allowed: the run was stopped" } else { others(failed.len(), *chunks) })]
    Chunks {
        /// Which, in the order in which they failed.
        failed: Vec<FailedChunk>,
        /// How many were to be done.
        chunks: usize,
        /// Whether the run was stopped because of them.
        gave_up: bool,
    },
    /// The attributes of a single chunk do not fit the memory, and dividing its keys would make
    /// other batches of it.
    #[error(
        "the attributes of one chunk do not fit into the memory, and its keys cannot be divided: {table} recognizes repeated batches only if they have the same rows every time"
    )]
    DividedKeys {
        /// The target table.
        table: TableName,
    },
    /// The attributes of a single key do not fit the memory.
    #[error(
        "the attributes of one key of {table} have {} or more, and --memory leaves {} for attributes that are in memory at once",
        size(*bytes),
        size(*limit)
    )]
    LongAttributes {
        /// The lookup table.
        table: TableName,
        /// The bytes of the attributes, as far as they were read.
        bytes: u64,
        /// The most bytes of a wave's attributes.
        limit: u64,
    },
    /// A server stayed away.
    #[error("the server could not be reached for {seconds} s")]
    Lost {
        /// How long it was waited for.
        seconds: u64,
        /// What the last attempt to reach it met.
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
    /// Deletions that came while the load was on could not be read.
    #[error("reading what was deleted in {table} meanwhile failed")]
    Deletions {
        /// The source table.
        table: TableName,
        /// The last failure.
        #[source]
        source: Box<ReadError>,
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

/// A chunk that could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedChunk {
    /// Which one.
    pub chunk: ChunkId,
    /// Why, in one line.
    pub reason: String,
    /// The class of the error.
    pub class: ErrorClass,
    /// ClickHouse's error code, if the server reported the error.
    pub code: Option<u32>,
}

impl FailedChunk {
    pub(super) fn of(chunk: ChunkId, error: &PipelineError) -> Self {
        Self { chunk, reason: error.reason(), class: error.class(), code: error.code() }
    }
}

/// What became of the chunks that did not fail.
fn others(failed: usize, chunks: usize) -> &'static str {
    match chunks.saturating_sub(failed) {
        0 => "",
        1 => "; the other is done",
        _ => "; the others are done",
    }
}

impl PipelineError {
    /// A panic ends its task, and is a failure like any other: the run stops, says so, and can be
    /// run again.
    pub(super) fn of_task(error: &tokio::task::JoinError) -> Self {
        Self::Task(error.to_string())
    }

    /// The class of the error: whether the same command may succeed later.
    pub fn class(&self) -> ErrorClass {
        match (self, self.server_error()) {
            (_, Some(error)) => error.class(),
            (Self::DividedKeys { .. } | Self::LongAttributes { .. }, None) => ErrorClass::Fatal,
            (Self::Read { source, .. } | Self::Lookup { source, .. }, None)
                if matches!(**source, ReadError::Lookup(_) | ReadError::LongAnswer { .. }) =>
            {
                ErrorClass::Fatal
            }
            (_, None) => ErrorClass::Retry,
        }
    }

    /// Whether attributes do not fit the memory.
    pub(crate) fn needs_memory(&self) -> bool {
        match self {
            Self::LongAttributes { .. } => true,
            Self::Read { source, .. } => matches!(**source, ReadError::LongAnswer { .. }),
            _ => false,
        }
    }

    /// ClickHouse's error code, if the server reported the error.
    pub fn code(&self) -> Option<u32> {
        self.server_error().and_then(ServerError::code)
    }

    fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Lookup { source, .. }
            | Self::Read { source, .. }
            | Self::Deletions { source, .. } => source.server_error(),
            Self::Fill { source, .. } => source.server_error(),
            Self::Insert { source, .. }
            | Self::Query { source, .. }
            | Self::Lost { source, .. } => Some(source),
            Self::Chunks { .. }
            | Self::DividedKeys { .. }
            | Self::LongAttributes { .. }
            | Self::Count { .. }
            | Self::Task(_) => None,
        }
    }

    /// Whether other chunks would meet the same: the server has refused what all of them have in
    /// common.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Read { source, .. } => FailureKind::from(&**source).class == ErrorClass::Fatal,
            Self::Insert { source, .. } => source.class() == ErrorClass::Fatal,
            Self::Fill { source, .. } => {
                source.is_of_object() || FailureKind::from(&**source).class == ErrorClass::Fatal
            }
            _ => true,
        }
    }

    /// The error and its causes in one line.
    pub(super) fn reason(&self) -> String {
        error_chain(self)
    }
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
    /// The bytes are not blocks of the columns that the schema says, or a block is too large.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// A column of a block contradicts itself.
    #[error(transparent)]
    Column(#[from] MalformedColumn),
    /// A row could not be put into a block.
    #[error(transparent)]
    Row(#[from] MalformedRow),
    /// Keys could not be looked up outside of the window.
    #[error("looking up keys in {table}, outside of the window, failed after {}", counted((*attempts).into(), "attempt"))]
    Late {
        /// The lookup table.
        table: TableName,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<ReadError>,
    },
    /// The attributes of a key outside of the window do not fit the memory.
    #[error(
        "the attributes of {table} with {key}, outside of the window, have {} or more, and --memory leaves {} for attributes that are looked up there",
        size(*bytes),
        size(*limit)
    )]
    LongAnswer {
        /// The lookup table.
        table: TableName,
        /// The key.
        key: String,
        /// The bytes of the attributes, as far as they are known.
        bytes: u64,
        /// The most bytes that fit.
        limit: u64,
    },
    /// The server stayed away while keys were looked up.
    #[error("the server could not be reached")]
    Lost(#[source] ServerError),
    /// A task beside the reader ended without a result, which is a defect of this program.
    #[error("a part of the pipeline ended unexpectedly: {0}")]
    Task(String),
    /// The map cannot take the row.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

impl ReadError {
    fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) | Self::Lost(error) => Some(error),
            Self::Late { source, .. } => source.server_error(),
            Self::Framing(_)
            | Self::Blocks(_)
            | Self::Column(_)
            | Self::Row(_)
            | Self::Task(_)
            | Self::LongAnswer { .. }
            | Self::Lookup(_) => None,
        }
    }
}

impl From<ExtendError> for ReadError {
    fn from(error: ExtendError) -> Self {
        match error {
            ExtendError::Row(error) => error.into(),
            ExtendError::Column(error) => error.into(),
        }
    }
}

/// A chunk that the server did not fill.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The server or the connection.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The source's server, which the target's reads from, stayed away for too long.
    #[error(transparent)]
    Lost(ServerError),
    /// The stage does not have the rows of the source, which may have been written to meanwhile.
    #[error(
        "the stage {table} got {} of the chunk, which has {} in the source",
        counted(*staged, "row"),
        counted(*expected, "row")
    )]
    Staged {
        /// The stage.
        table: TableName,
        /// Rows that were staged.
        staged: u64,
        /// Rows that the source has.
        expected: u64,
    },
}

impl FillError {
    fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            Self::Lost(_) | Self::Staged { .. } => None,
        }
    }

    /// Whether an object is not the one that was planned.
    fn is_of_object(&self) -> bool {
        matches!(self.server_error(), Some(ServerError::Server { message, .. }) if message.contains(OBJECT_CHANGED))
    }

    /// Whether an insert may still run, or have left rows.
    pub(in crate::engine) fn may_have_inserted(&self) -> bool {
        self.server_error().is_some_and(ServerError::may_have_inserted)
    }

    /// Whether the server had no memory for it.
    pub(in crate::engine) fn is_out_of_memory(&self) -> bool {
        self.server_error().is_some_and(ServerError::is_out_of_memory)
    }
}

impl From<&FillError> for FailureKind {
    fn from(error: &FillError) -> Self {
        match error {
            FillError::Server(error) => error.into(),
            FillError::Lost(_) => Self::of(ErrorClass::Fatal),
            FillError::Staged { .. } => Self::of(ErrorClass::Retry),
        }
    }
}

/// Bytes that cannot be framed may come from a connection that broke in a way that HTTP did not
/// notice, so they are read again.
impl From<&ReadError> for FailureKind {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Server(error) => error.into(),
            ReadError::Framing(_)
            | ReadError::Blocks(_)
            | ReadError::Column(_)
            | ReadError::Row(_) => Self::of(ErrorClass::Retry),
            // It was retried already.
            ReadError::Late { source, .. } if Self::from(&**source).class != ErrorClass::Fatal => {
                Self::of(ErrorClass::Rows)
            }
            ReadError::Lookup(_)
            | ReadError::Late { .. }
            | ReadError::LongAnswer { .. }
            | ReadError::Lost(_)
            | ReadError::Task(_) => Self::of(ErrorClass::Fatal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_chunks_that_did_not_fail_is_said_that_they_are_done_where_there_are_any() {
        let words = |failed: usize, chunks: usize| {
            let failed = (0..failed)
                .map(|number| {
                    let error = PipelineError::Task(String::new());
                    FailedChunk::of(ChunkId::planned(number), &error)
                })
                .collect();
            PipelineError::Chunks { failed, chunks, gave_up: false }.to_string()
        };
        assert_eq!(words(1, 1), "1 of 1 chunk failed");
        assert_eq!(words(3, 3), "3 of 3 chunks failed");
        assert_eq!(words(2, 3), "2 of 3 chunks failed; the other is done");
        assert_eq!(words(1, 3), "1 of 3 chunks failed; the others are done");
    }

    #[tokio::test]
    async fn a_panic_in_a_task_is_a_failure_that_says_why() {
        let ended = tokio::spawn(async { panic!("of a test") }).await;
        let error = PipelineError::of_task(&ended.unwrap_err());
        let text = error.to_string();
        assert!(
            text.starts_with("a part of the pipeline ended unexpectedly")
                && text.contains("of a test"),
            "{text}"
        );
        assert!(error.is_fatal());
    }
}
