//! What can go wrong with a statement, and what may be done afterwards.

use std::error::Error as StdError;
use std::time::Duration;

use super::handshake::TlsProblem;
use super::url::UrlError;

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server rejected or ended a statement with an exception.
    #[error("{message}")]
    Server {
        /// ClickHouse's error code, parsed from the `Code: N.` that begins the message; `None`
        /// where a proxy answered instead.
        code: Option<u32>,
        /// The server's message.
        message: String,
        /// Whether rows had been received before. Such an error never stops a run before the
        /// statement was tried again.
        mid_stream: bool,
    },
    /// No connection could be made; nothing was sent.
    #[error("the connection to {url} failed: {message}")]
    Unreachable {
        /// The server's URL, without credentials.
        url: String,
        /// The chain of causes.
        message: String,
    },
    /// This machine has no resources for another connection.
    #[error(
        "the connection to {url} failed, because this machine has run out of a resource: {message}"
    )]
    Exhausted {
        /// The server's URL, without credentials.
        url: String,
        /// The chain of causes.
        message: String,
    },
    /// The connection was lost.
    #[error("the connection to {url} failed: {message}")]
    Network {
        /// The server's URL, without credentials.
        url: String,
        /// The chain of causes.
        message: String,
    },
    /// The connection could not be encrypted, or an unencrypted one was refused.
    #[error("the connection to {url} failed: {problem} ({message})")]
    Handshake {
        /// The server's URL, without credentials.
        url: String,
        /// What is wrong.
        problem: TlsProblem,
        /// The chain of causes.
        message: String,
    },
    /// There was no response in time.
    #[error("{}", took_longer(what, *after))]
    Timeout {
        /// What was expected.
        what: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The URL cannot be used.
    #[error("the ClickHouse URL {0}")]
    InvalidUrl(Box<UrlError>),
    /// The certificates needed for `https` cannot be loaded.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The response has an unexpected form.
    #[error("the response to a {what} query has an unexpected form: {message}")]
    Unexpected {
        /// The query's label.
        what: String,
        /// What is wrong with the response.
        message: String,
    },
    /// A proxy, a gateway or another server answered in ClickHouse's place: the answer does not have
    /// ClickHouse's own headers.
    #[error("{url} answered {status} without ClickHouse's headers{}{}", in_words(message), status.advice())]
    Proxy {
        /// The URL, without credentials.
        url: String,
        /// The HTTP status; 0 where it is not known.
        status: Status,
        /// The first of its words, without markup.
        message: String,
    },
    /// A piece of an insert could not be compressed.
    #[error("an insert could not be compressed: {0}")]
    Compression(String),
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::InvalidUrl(Box::new(error))
    }
}

impl Error {
    /// The first [`Error`] in a chain of causes.
    pub fn within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let boxed = || error.downcast_ref::<Box<Self>>().map(|error| &**error);
            if let Some(found) = error.downcast_ref::<Self>().or_else(boxed) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// What may be done after this error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Server { code: Some(code), mid_stream, message } => {
                if *mid_stream {
                    ErrorClass::Retry
                } else {
                    ErrorClass::of_exception(*code, message)
                }
            }
            Self::Server { code: None, .. } | Self::Unreachable { .. } | Self::Exhausted { .. } => {
                ErrorClass::Retry
            }
            Self::Handshake { problem, .. } if problem.is_lasting() => ErrorClass::Fatal,
            Self::Network { .. } | Self::Handshake { .. } | Self::Timeout { .. } => {
                ErrorClass::Ambiguous
            }
            Self::Proxy { status, .. } => status.class(),
            Self::InvalidUrl(_) | Self::Tls(_) | Self::Unexpected { .. } | Self::Compression(_) => {
                ErrorClass::Fatal
            }
        }
    }

    /// Whether an insert failed in a materialized view of the table. The table itself may have the
    /// rows.
    pub fn is_view_error(&self) -> bool {
        matches!(self, Self::Server { message, .. } if message.contains("while pushing to view"))
    }

    /// Whether an insert that failed with this error may have left rows in the table.
    pub fn may_have_inserted(&self) -> bool {
        let was_ended = |code: u32| ErrorClass::ended_from_outside(code);
        self.class() == ErrorClass::Ambiguous
            || self.is_view_error()
            || self.code().is_some_and(was_ended)
    }

    /// Whether a library of the server threw it, such as one that reads files or that asks PostgreSQL.
    pub fn is_of_library(&self) -> bool {
        self.code() == Some(STD_EXCEPTION)
    }

    /// Whether rows had been received before.
    pub fn is_mid_stream(&self) -> bool {
        matches!(self, Self::Server { mid_stream: true, .. })
    }

    /// Whether the server did not respond: it may be down. A proxy's response does not count.
    pub fn is_no_response(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Network { .. } | Self::Timeout { .. } => true,
            Self::Server { code, .. } => code.is_none(),
            Self::Handshake { problem, .. } => !problem.is_lasting(),
            Self::Proxy { status, .. } => status.is_outage(),
            Self::Exhausted { .. }
            | Self::InvalidUrl(_)
            | Self::Tls(_)
            | Self::Unexpected { .. }
            | Self::Compression(_) => false,
        }
    }

    /// Whether the host of the URL has no address.
    pub fn is_unresolved_host(&self) -> bool {
        // The HTTP client's error has no other mark.
        matches!(self, Self::Unreachable { message, .. } if message.starts_with("dns error") || message.contains(": dns error"))
    }

    /// Whether a disk of the server is full (`NOT_ENOUGH_SPACE`).
    pub fn is_out_of_space(&self) -> bool {
        const NOT_ENOUGH_SPACE: u32 = 243;
        match self {
            Self::Server { code: Some(NOT_ENOUGH_SPACE), .. } => true,
            Self::Server { code: Some(_), message, mid_stream: false } => {
                message.contains("No space left on device")
            }
            _ => false,
        }
    }

    /// Whether the server does not know the name of a format.
    pub fn is_unknown_format(&self) -> bool {
        const UNKNOWN_FORMAT: u32 = 73;
        self.code() == Some(UNKNOWN_FORMAT)
    }

    /// Whether [the user lacks a right](https://clickhouse.com/docs/operations/access-rights)
    /// (`ACCESS_DENIED`).
    pub fn is_access_denied(&self) -> bool {
        self.code() == Some(497)
    }

    /// Whether more statements run at once than [the user may
    /// have](https://clickhouse.com/docs/operations/settings/settings#max_concurrent_queries_for_user)
    /// or the server allows (`TOO_MANY_SIMULTANEOUS_QUERIES`).
    pub fn is_too_many_queries(&self) -> bool {
        self.code() == Some(202)
    }

    /// Whether the server had no memory for the statement (`CANNOT_ALLOCATE_MEMORY`,
    /// `MEMORY_LIMIT_EXCEEDED`).
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self.code(), Some(173 | 241))
    }

    /// Whether what it had no memory for is all statements together, of the server or of the user:
    /// there may be memory when others have ended.
    pub fn is_short_of_memory(&self) -> bool {
        let shared = |message: &str| {
            ["(total) memory limit", "(for user)", "User memory limit"]
                .iter()
                .any(|words| message.contains(words))
        };
        self.is_out_of_memory() && matches!(self, Self::Server { message, .. } if shared(message))
    }

    /// ClickHouse's error code where the server gave one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Server { code, .. } => *code,
            _ => None,
        }
    }
}

/// The message of an expired timeout.
pub(super) fn took_longer(what: &str, limit: Duration) -> String {
    format!("{what} took longer than {} s", limit.as_secs_f64())
}

/// The HTTP status of an answer that is not ClickHouse's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    fn class(self) -> ErrorClass {
        match self.0 {
            // A success that ClickHouse does not confirm: it may have the rows.
            200..300 => ErrorClass::Ambiguous,
            408 | 425 | 429 | 500.. | 0 => ErrorClass::Retry,
            _ => ErrorClass::Fatal,
        }
    }

    /// What would help, as the end of a message.
    fn advice(self) -> &'static str {
        match self.0 {
            413 => {
                "; a proxy bounds the size of a request, and --batch-bytes makes inserts smaller"
            }
            300..400 => "; the URL must be the one that it redirects to",
            _ => "",
        }
    }

    /// Whether a gateway did not reach the server.
    pub fn is_gateway(self) -> bool {
        matches!(self.0, 502..=504)
    }

    fn is_outage(self) -> bool {
        self.0 == 0 || self.is_gateway()
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match hyper::StatusCode::from_u16(self.0) {
            Ok(status) if self.0 != 0 => write!(formatter, "{status}"),
            _ => formatter.write_str("an error"),
        }
    }
}

fn in_words(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// What may be done after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The statement had no effect, or may be repeated; it can succeed later.
    Retry,
    /// It is unknown whether the statement took effect. The same bytes with the same token may be
    /// sent again.
    Ambiguous,
    /// The server rejects these rows, but may accept others.
    Rows,
    /// The statement fails again with any rows.
    Fatal,
}

impl ErrorClass {
    /// The class of an exception of the server.
    pub(crate) fn of_exception(code: u32, message: &str) -> Self {
        if code == TOO_MANY_PARTS && message.contains(PARTITIONS_OF_A_BLOCK) {
            return Self::Fatal;
        }
        if code == STD_EXCEPTION && is_refusal_of_postgres(message) {
            return Self::Fatal;
        }
        Self::of_code(code)
    }

    /// The class of an error code of the server.
    fn of_code(code: u32) -> Self {
        if RETRY.contains(&code) {
            Self::Retry
        } else if AMBIGUOUS.contains(&code) {
            Self::Ambiguous
        } else if ROWS.contains(&code) {
            Self::Rows
        } else {
            Self::Fatal
        }
    }
}

impl ErrorClass {
    /// Whether an error of this code can end a statement at any moment, even after its rows were
    /// written.
    pub(super) fn ended_from_outside(code: u32) -> bool {
        // TIMEOUT_EXCEEDED, ABORTED, QUERY_WAS_CANCELLED, THREAD_WAS_CANCELED,
        // QUERY_WAS_CANCELLED_BY_CLIENT
        [159, 236, 394, 677, 735].contains(&code)
    }
}

/// This code has two meanings: too many parts, which merges reduce, and one block with rows of too
/// many partitions, which has them again in every attempt.
const TOO_MANY_PARTS: u32 = 252;
const PARTITIONS_OF_A_BLOCK: &str = "Too many partitions for single INSERT block";

/// Codes of errors that pass with time or with another attempt. Names from ClickHouse's
/// [ErrorCodes.cpp](https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp).
const RETRY: &[u32] = &[
    3,   // UNEXPECTED_END_OF_FILE: the request was cut
    23,  // CANNOT_READ_FROM_ISTREAM: the request was cut
    24,  // CANNOT_WRITE_TO_OSTREAM
    32,  // ATTEMPT_TO_READ_AFTER_EOF: the request was cut
    33,  // CANNOT_READ_ALL_DATA: the request was cut
    40,  // CHECKSUM_DOESNT_MATCH: the request was damaged
    75,  // CANNOT_WRITE_TO_FILE_DESCRIPTOR: the disk is full
    76,  // CANNOT_OPEN_FILE: too many open files
    86,  // RECEIVED_ERROR_FROM_REMOTE_IO_SERVER
    95,  // CANNOT_READ_FROM_SOCKET
    96,  // CANNOT_WRITE_TO_SOCKET
    159, // TIMEOUT_EXCEEDED
    173, // CANNOT_ALLOCATE_MEMORY
    198, // DNS_ERROR
    201, // QUOTA_EXCEEDED
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    232, // NO_SUCH_DATA_PART: it was merged away
    234, // NO_REPLICA_HAS_PART
    236, // ABORTED: the server is shutting down
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY: a replica lost its keeper
    243, // NOT_ENOUGH_SPACE
    TOO_MANY_PARTS,
    254,  // NO_ACTIVE_REPLICAS
    271,  // CANNOT_DECOMPRESS: the request was damaged
    279,  // ALL_CONNECTION_TRIES_FAILED
    285,  // TOO_FEW_LIVE_REPLICAS
    286,  // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289,  // REPLICA_IS_NOT_IN_QUORUM
    290,  // LIMIT_EXCEEDED
    364,  // RECEIVED_ERROR_TOO_MANY_REQUESTS
    373,  // SESSION_IS_LOCKED
    384,  // PART_IS_TEMPORARILY_LOCKED
    394,  // QUERY_WAS_CANCELLED
    425,  // SYSTEM_ERROR
    432,  // UNKNOWN_CODEC: the request was damaged
    439,  // CANNOT_SCHEDULE_TASK
    473,  // DEADLOCK_AVOIDED
    499,  // S3_ERROR
    500,  // AZURE_BLOB_STORAGE_ERROR
    519,  // NO_REMOTE_SHARD_AVAILABLE
    614,  // POSTGRESQL_CONNECTION_FAILURE
    677,  // THREAD_WAS_CANCELED
    693,  // AWS_ERROR
    700,  // USER_SESSION_LIMIT_EXCEEDED
    733,  // TABLE_IS_BEING_RESTARTED
    734,  // CANNOT_WRITE_AFTER_BUFFER_CANCELED
    735,  // QUERY_WAS_CANCELLED_BY_CLIENT
    745,  // SERVER_OVERLOADED
    749,  // TCP_CONNECTION_LIMIT_REACHED
    762,  // HTTP_CONNECTION_LIMIT_REACHED
    776,  // RESOURCE_LIMIT_EXCEEDED
    777,  // MEMORY_RESERVATION_KILLED
    778,  // MEMORY_RESERVATION_FAILED
    999,  // KEEPER_EXCEPTION
    1000, // POCO_EXCEPTION: a network error inside the server
    1001, // STD_EXCEPTION: of the C++ library, such as one for a full disk or a failed allocation
];

/// An exception of a library, whose name its text has.
const STD_EXCEPTION: u32 = 1001;

/// Whether PostgreSQL, which the server asks by the library pqxx, has refused a statement, as it would again. Its other errors are
/// a lost connection, a deadlock, or a resource that it lacks.
fn is_refusal_of_postgres(message: &str) -> bool {
    const PASS: [&str; 6] = [
        "broken_connection",
        "deadlock_detected",
        "serialization_failure",
        "statement_completion_unknown",
        "too_many_connections",
        "insufficient_resources",
    ];
    message.contains("type: pqxx::") && !PASS.iter().any(|of| message.contains(of))
}

/// Codes after which the effect is unknown.
const AMBIGUOUS: &[u32] = &[
    319, // UNKNOWN_STATUS_OF_INSERT: of the quorum, or of the keeper
    659, // UNKNOWN_STATUS_OF_TRANSACTION
];

/// Codes of errors about values.
const ROWS: &[u32] = &[
    6,   // CANNOT_PARSE_TEXT
    25,  // CANNOT_PARSE_ESCAPE_SEQUENCE
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    128, // TOO_LARGE_ARRAY_SIZE
    131, // TOO_LARGE_STRING_SIZE
    153, // ILLEGAL_DIVISION
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    376, // CANNOT_PARSE_UUID
    395, // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
    407, // DECIMAL_OVERFLOW
    441, // CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
    467, // CANNOT_PARSE_BOOL
    469, // VIOLATED_CONSTRAINT
    675, // CANNOT_PARSE_IPV4
    676, // CANNOT_PARSE_IPV6
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: impl Into<Option<u32>>, mid_stream: bool) -> Error {
        Error::Server { code: code.into(), message: String::new(), mid_stream }
    }

    #[test]
    fn classes_of_codes() {
        for code in [33, 75, 159, 201, 202, 209, 210, 241, 242, 243, 252, 285, 439, 519, 999] {
            assert_eq!(server(code, false).class(), ErrorClass::Retry, "{code}");
        }
        for code in [16, 47, 53, 60, 62, 81, 164, 218, 497, 516, 774] {
            assert_eq!(server(code, false).class(), ErrorClass::Fatal, "{code}");
            // Within a stream, data can look like an exception.
            assert_eq!(server(code, true).class(), ErrorClass::Retry, "{code}");
        }
        let of_block = "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100).";
        let error =
            Error::Server { code: Some(252), message: of_block.to_owned(), mid_stream: false };
        assert_eq!(error.class(), ErrorClass::Fatal, "no retry changes the partitions of a batch");
        for (of, class) in [
            ("pqxx::undefined_table", ErrorClass::Fatal),
            ("pqxx::broken_connection", ErrorClass::Retry),
            ("std::filesystem::filesystem_error", ErrorClass::Retry),
        ] {
            let message = format!("std::exception. Code: 1001, type: {of}, e.what() = words");
            let error = Error::Server { code: Some(1001), message, mid_stream: false };
            assert_eq!(error.class(), class, "{of}");
        }
        assert_eq!(server(6, false).class(), ErrorClass::Rows);
        assert_eq!(server(319, false).class(), ErrorClass::Ambiguous);
        assert_eq!(server(None, false).class(), ErrorClass::Retry);
        let exhausted = Error::Exhausted { url: String::new(), message: String::new() };
        assert!(
            exhausted.class() == ErrorClass::Retry && !exhausted.is_no_response(),
            "the resource may become available"
        );
    }
}
