//! What can go wrong with a statement, and of what class it is.

use std::error::Error as StdError;
use std::time::Duration;

use super::{Endpoint, ErrorClass, TlsProblem};

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused or ended a statement and said why.
    #[error("{message}")]
    Server {
        /// ClickHouse's error code, parsed from the `Code: N.` that begins the message; `None`
        /// where a proxy answered instead.
        code: Option<u32>,
        /// The server's own words.
        message: String,
        /// Whether rows had been received before. Then the message may be data that only looks like
        /// a server's exception, so such an error never stops a run before the statement was tried
        /// again.
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
    /// This machine cannot make one more connection.
    #[error("the connection to {url} failed for want of resources on this machine: {message}")]
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
    #[error("{}", took_longer(what, *after))]
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

impl Error {
    /// The first of an error's causes that is one of these.
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
            Self::Server { code: Some(code), mid_stream, .. } => {
                if *mid_stream {
                    ErrorClass::Retry
                } else {
                    ErrorClass::of_code(*code)
                }
            }
            // A proxy in between has spoken: 502, 503 or a page of its own.
            Self::Server { code: None, .. } | Self::Unreachable { .. } | Self::Exhausted { .. } => {
                ErrorClass::Retry
            }
            Self::Handshake { problem, .. } if problem.is_lasting() => ErrorClass::Fatal,
            Self::Network { .. } | Self::Handshake { .. } | Self::Timeout { .. } => {
                ErrorClass::Ambiguous
            }
            Self::InvalidUrl(_)
            | Self::Tls(_)
            | Self::Unexpected { .. }
            | Self::StatementTooLong { .. } => ErrorClass::Fatal,
        }
    }

    /// Whether an insert failed in one of the table's materialized views. The table itself may have
    /// the rows then, if it came to that.
    pub fn is_of_view(&self) -> bool {
        matches!(self, Self::Server { message, .. } if message.contains("while pushing to view"))
    }

    /// Whether an insert that failed so may have left rows in the table.
    pub fn may_have_inserted(&self) -> bool {
        let was_ended = |code: u32| ErrorClass::ended_from_outside(code);
        self.class() == ErrorClass::Ambiguous
            || self.is_of_view()
            || self.code().is_some_and(was_ended)
    }

    /// Whether rows had come before it.
    pub fn is_mid_stream(&self) -> bool {
        matches!(self, Self::Server { mid_stream: true, .. })
    }

    /// Whether the server had no word in this: it may be gone. A proxy that speaks in its place is
    /// not the server.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Network { .. } | Self::Timeout { .. } => true,
            Self::Server { code, .. } => code.is_none(),
            Self::Handshake { problem, .. } => !problem.is_lasting(),
            Self::Exhausted { .. }
            | Self::InvalidUrl(_)
            | Self::Tls(_)
            | Self::Unexpected { .. }
            | Self::StatementTooLong { .. } => false,
        }
    }

    /// Whether [the user lacks a right](https://clickhouse.com/docs/operations/access-rights)
    /// (`ACCESS_DENIED`).
    pub fn is_denied(&self) -> bool {
        self.code() == Some(497)
    }

    /// Whether more statements run at once than [the user may
    /// have](https://clickhouse.com/docs/operations/settings/settings#max_concurrent_queries_for_user)
    /// or the server allows (`TOO_MANY_SIMULTANEOUS_QUERIES`).
    pub fn is_of_too_many_at_once(&self) -> bool {
        self.code() == Some(202)
    }

    /// ClickHouse's error code where the server gave one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Server { code, .. } => *code,
            _ => None,
        }
    }

    /// Turns the client crate's error into ours. `connect`: how long a connection may take.
    /// `mid_stream`: rows had been received before.
    ///
    /// A server or a proxy may repeat what it was sent; the password is hidden in its words.
    pub(super) fn from_client(
        error: ::clickhouse::error::Error,
        endpoint: &Endpoint,
        connect: Duration,
        query_id: &str,
        mid_stream: bool,
    ) -> Self {
        use ::clickhouse::error::Error as Client;
        let url = endpoint.url();
        let words = |error: &dyn StdError| endpoint.password().hide_in(error_chain(error));
        match error {
            Client::BadResponse(message) => {
                let message = endpoint.password().hide_in(message);
                Self::Server {
                    code: parse_code(&message),
                    message: complete(message, query_id),
                    mid_stream,
                }
            }
            Client::TimedOut => Self::Timeout { what: "the statement", after: Duration::ZERO },
            other => match (TlsProblem::of(&other, url.scheme() == "https"), &other) {
                (Some(problem), _) => {
                    Self::Handshake { url: url.to_string(), problem, message: words(&other) }
                }
                (None, Client::Network(cause)) if is_exhausted(&**cause) => {
                    Self::Exhausted { url: url.to_string(), message: words(&**cause) }
                }
                (None, Client::Network(cause)) if is_connect(&**cause) => {
                    let message = if is_late(&**cause) {
                        took_longer("connecting", connect)
                    } else {
                        words(&**cause)
                    };
                    Self::Unreachable { url: url.to_string(), message }
                }
                (None, _) => Self::Network { url: url.to_string(), message: words(&other) },
            },
        }
    }
}

/// Whether the reason lies on this machine, which has no more of something (`ENFILE`, `EMFILE`,
/// `EADDRNOTAVAIL`, `ENOBUFS`), so that the server may well be there.
fn is_exhausted(cause: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && let Some(number) = error.raw_os_error()
        {
            return matches!(number, 23 | 24 | 99 | 105);
        }
        cause = error.source();
    }
    false
}

/// What is said of a limit that was passed.
fn took_longer(what: &str, limit: Duration) -> String {
    format!("{what} took longer than {} s", limit.as_secs_f64())
}

/// Whether the HTTP client gave up making a connection; where the system did, its error has a
/// number.
fn is_late(cause: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::TimedOut && error.raw_os_error().is_none();
        }
        cause = error.source();
    }
    false
}

/// Whether the HTTP client failed before it had a connection.
fn is_connect(cause: &(dyn StdError + 'static)) -> bool {
    cause
        .downcast_ref::<hyper_util::client::legacy::Error>()
        .is_some_and(hyper_util::client::legacy::Error::is_connect)
}

/// The number in `Code: 241. DB::Exception: …` when the message begins with exactly that, or in a
/// bare `Code: 241`.
fn parse_code(message: &str) -> Option<u32> {
    let rest = message.strip_prefix("Code: ")?;
    rest.split_once('.').map_or(rest, |(digits, _)| digits).parse().ok()
}

/// The client crate gives no more than the code where the server's words are not UTF-8, as when
/// they quote such data.
fn complete(message: String, query_id: &str) -> String {
    if message.strip_prefix("Code: ").is_none_or(|rest| rest.parse::<u32>().is_err()) {
        return message;
    }
    format!(
        "{message}. The server's words are not UTF-8 and could not be read; system.query_log has them under query_id {query_id}"
    )
}

/// An error and its sources, joined by colons; a source that its parent's text already holds is
/// left out.
pub(crate) fn error_chain(error: &dyn StdError) -> String {
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
        assert_eq!(
            complete("Code: 117. DB::Exception".to_owned(), "id-1"),
            "Code: 117. DB::Exception"
        );
    }

    #[test]
    fn classes_of_codes() {
        for code in [33, 75, 159, 201, 202, 209, 210, 241, 242, 243, 252, 285, 439, 999] {
            assert_eq!(
                server(&format!("Code: {code}. x"), false).class(),
                ErrorClass::Retry,
                "{code}"
            );
        }
        for code in [16, 47, 53, 60, 62, 81, 164, 218, 497, 516, 774] {
            assert_eq!(
                server(&format!("Code: {code}. x"), false).class(),
                ErrorClass::Fatal,
                "{code}"
            );
            // In the middle of a stream it may be data that only looks like an exception.
            assert_eq!(
                server(&format!("Code: {code}. x"), true).class(),
                ErrorClass::Retry,
                "{code}"
            );
        }
        assert_eq!(server("Code: 6. x", false).class(), ErrorClass::Rows);
        assert_eq!(server("Code: 319. x", false).class(), ErrorClass::Ambiguous);
        assert_eq!(server("502 Bad Gateway", false).class(), ErrorClass::Retry);
        let exhausted = Error::Exhausted { url: String::new(), message: String::new() };
        assert!(
            exhausted.class() == ErrorClass::Retry && !exhausted.is_silence(),
            "this machine may have more of it later"
        );
    }
}
