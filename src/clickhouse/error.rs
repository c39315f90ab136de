//! What can go wrong with a statement, and of what class it is.

use std::error::Error as StdError;
use std::time::Duration;

use super::TlsProblem;

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused or ended a statement and said why.
    #[error("{message}")]
    Server {
        /// ClickHouse's error code, parsed from the `Code: N.` that begins the message; `None` where a proxy answered instead.
        code: Option<u32>,
        /// The server's own words.
        message: String,
        /// Whether rows had been received before. Then the message may be data that only looks like a server's exception, so
        /// such an error never stops a run before the statement was tried again.
        mid_stream: bool,
    },
    /// The connection could not be made or was lost.
    #[error("the connection to {url} failed: {message}")]
    Network {
        /// The server's URL, without credentials.
        url: String,
        /// The chain of causes.
        message: String,
    },
    /// The connection could not be made, since the two do not agree on encryption.
    #[error("the connection to {url} failed: {problem} ({message})")]
    Handshake {
        /// The server's URL, without credentials.
        url: String,
        /// What does not fit.
        problem: TlsProblem,
        /// The chain of causes.
        message: String,
    },
    /// Nothing was heard for too long.
    #[error("{what} took longer than {} s", after.as_secs())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The URL cannot be used.
    #[error("the ClickHouse URL cannot be used: {0}")]
    InvalidUrl(String),
    /// The certificates needed for `https` cannot be loaded.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The server answered something else than was asked for.
    #[error("the answer to a {what} query was not understood: {message}")]
    Unexpected {
        /// Which query.
        what: String,
        /// What is wrong with the answer.
        message: String,
    },
    /// The statement does not fit into a request line, which the HTTP client limits to 64 KiB.
    #[error(
        "the INSERT statement needs {bytes} bytes in the request line, and 65000 is the most that HTTP allows here; shorten the job's expressions"
    )]
    StatementTooLong {
        /// Its length in bytes, percent-encoded.
        bytes: usize,
    },
}

/// What may be done after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The statement had no effect, or its effect may be repeated; it may well succeed later.
    Retry,
    /// It is not known whether the statement took effect. The same bytes with the same token may be sent again.
    Ambiguous,
    /// It will fail again.
    Fatal,
}

/// Codes that pass with time or with another attempt. Names from ClickHouse's
/// [ErrorCodes.cpp](https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp).
const RETRY: &[u32] = &[
    3,    // UNEXPECTED_END_OF_FILE: the request was cut
    23,   // CANNOT_READ_FROM_ISTREAM: the request was cut
    24,   // CANNOT_WRITE_TO_OSTREAM
    32,   // ATTEMPT_TO_READ_AFTER_EOF: the request was cut
    33,   // CANNOT_READ_ALL_DATA: the request was cut
    40,   // CHECKSUM_DOESNT_MATCH: the request was damaged
    75,   // CANNOT_WRITE_TO_FILE_DESCRIPTOR: the disk is full
    76,   // CANNOT_OPEN_FILE: too many open files
    86,   // RECEIVED_ERROR_FROM_REMOTE_IO_SERVER
    95,   // CANNOT_READ_FROM_SOCKET
    96,   // CANNOT_WRITE_TO_SOCKET
    159,  // TIMEOUT_EXCEEDED
    173,  // CANNOT_ALLOCATE_MEMORY
    198,  // DNS_ERROR
    201,  // QUOTA_EXCEEDED
    202,  // TOO_MANY_SIMULTANEOUS_QUERIES
    203,  // NO_FREE_CONNECTION
    209,  // SOCKET_TIMEOUT
    210,  // NETWORK_ERROR
    225,  // NO_ZOOKEEPER
    232,  // NO_SUCH_DATA_PART: it was merged away
    234,  // NO_REPLICA_HAS_PART
    236,  // ABORTED: the server is shutting down
    241,  // MEMORY_LIMIT_EXCEEDED
    242,  // TABLE_IS_READ_ONLY: a replica lost its keeper
    243,  // NOT_ENOUGH_SPACE
    252,  // TOO_MANY_PARTS
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
    439,  // CANNOT_SCHEDULE_TASK
    473,  // DEADLOCK_AVOIDED
    499,  // S3_ERROR
    500,  // AZURE_BLOB_STORAGE_ERROR
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

/// The outcome is not known.
const AMBIGUOUS: &[u32] = &[
    319, // UNKNOWN_STATUS_OF_INSERT: of the quorum, or of the keeper
    659, // UNKNOWN_STATUS_OF_TRANSACTION
];

impl Error {
    /// What may be done after this error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Server { code: Some(code), mid_stream, .. } => {
                if *mid_stream || RETRY.contains(code) {
                    ErrorClass::Retry
                } else if AMBIGUOUS.contains(code) {
                    ErrorClass::Ambiguous
                } else {
                    ErrorClass::Fatal
                }
            }
            // A proxy in between has spoken: 502, 503 or a page of its own.
            Self::Server { code: None, .. } => ErrorClass::Retry,
            Self::Handshake { problem, .. } if problem.is_lasting() => ErrorClass::Fatal,
            Self::Network { .. } | Self::Handshake { .. } | Self::Timeout { .. } => ErrorClass::Ambiguous,
            Self::InvalidUrl(_) | Self::Tls(_) | Self::Unexpected { .. } | Self::StatementTooLong { .. } => ErrorClass::Fatal,
        }
    }

    /// ClickHouse's error code where the server gave one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Server { code, .. } => *code,
            _ => None,
        }
    }

    /// Turns the client crate's error into ours. `mid_stream`: rows had been received before.
    pub(super) fn from_client(error: ::clickhouse::error::Error, url: &url::Url, query_id: &str, mid_stream: bool) -> Self {
        use ::clickhouse::error::Error as Client;
        match error {
            Client::BadResponse(message) => Self::Server { code: parse_code(&message), message: complete(message, query_id), mid_stream },
            Client::TimedOut => Self::Timeout { what: "the statement", after: Duration::ZERO },
            other => match TlsProblem::of(&other, url.scheme() == "https") {
                Some(problem) => Self::Handshake { url: url.to_string(), problem, message: chain(&other) },
                None => Self::Network { url: url.to_string(), message: chain(&other) },
            },
        }
    }
}

/// The number in `Code: 241. DB::Exception: …` when the message begins with exactly that, or in a bare `Code: 241`.
fn parse_code(message: &str) -> Option<u32> {
    let rest = message.strip_prefix("Code: ")?;
    rest.split_once('.').map_or(rest, |(digits, _)| digits).parse().ok()
}

/// The client crate gives no more than the code where the server's words are not UTF-8, as when they quote such data.
fn complete(message: String, query_id: &str) -> String {
    if message.strip_prefix("Code: ").is_none_or(|rest| rest.parse::<u32>().is_err()) {
        return message;
    }
    format!("{message}. The server's words are not UTF-8 and could not be read; system.query_log has them under query_id {query_id}")
}

/// An error and its sources, joined by colons; a source that its parent's text already holds is left out.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(message: &str, mid_stream: bool) -> Error {
        Error::Server { code: parse_code(message), message: message.to_owned(), mid_stream }
    }

    #[test]
    fn codes_are_read_only_where_the_message_begins_with_them() {
        assert_eq!(parse_code("Code: 241. DB::Exception: memory"), Some(241));
        assert_eq!(parse_code("said Code: 241. DB::Exception"), None);
        assert_eq!(parse_code("Code: x. "), None);
        assert_eq!(parse_code("Code: 117"), Some(117));
        assert!(complete("Code: 117".to_owned(), "id-1").ends_with("under query_id id-1"));
        assert_eq!(complete("Code: 117. DB::Exception".to_owned(), "id-1"), "Code: 117. DB::Exception");
    }

    #[test]
    fn classes_of_codes() {
        for code in [33, 75, 159, 201, 202, 209, 210, 241, 242, 243, 252, 285, 439, 999] {
            assert_eq!(server(&format!("Code: {code}. x"), false).class(), ErrorClass::Retry, "{code}");
        }
        for code in [16, 47, 53, 60, 62, 81, 164, 218, 497, 516, 774] {
            assert_eq!(server(&format!("Code: {code}. x"), false).class(), ErrorClass::Fatal, "{code}");
            // In the middle of a stream it may be data that only looks like an exception.
            assert_eq!(server(&format!("Code: {code}. x"), true).class(), ErrorClass::Retry, "{code}");
        }
        assert_eq!(server("Code: 319. x", false).class(), ErrorClass::Ambiguous);
        assert_eq!(server("502 Bad Gateway", false).class(), ErrorClass::Retry);
    }
}
