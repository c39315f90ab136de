//! From the client crate's errors to those of this room.

use std::error::Error as StdError;
use std::time::Duration;

use ::clickhouse::error::Error as Client;

use super::endpoint::Endpoint;
use super::error::{Error, error_chain, took_longer};
use super::handshake::TlsProblem;

/// Turns the client crate's error into ours. `connect`: how long a connection may take.
/// `mid_stream`: rows had been received before.
///
/// A server or a proxy may repeat what it was sent; the password is hidden in its words.
pub(super) fn from_client(
    error: Client,
    endpoint: &Endpoint,
    connect: Duration,
    query_id: &str,
    mid_stream: bool,
) -> Error {
    let url = endpoint.url();
    let words = |error: &dyn StdError| endpoint.password().hide_in(error_chain(error));
    match error {
        Client::BadResponse(message) => {
            let message = endpoint.password().hide_in(message);
            Error::Server {
                code: parse_code(&message),
                message: complete(message, query_id),
                mid_stream,
            }
        }
        Client::TimedOut => Error::Timeout { what: "the statement", after: Duration::ZERO },
        other => match (TlsProblem::of(&other, url.scheme() == "https"), &other) {
            (Some(problem), _) => {
                Error::Handshake { url: url.to_string(), problem, message: words(&other) }
            }
            (None, Client::Network(cause)) if is_exhausted(&**cause) => {
                Error::Exhausted { url: url.to_string(), message: words(&**cause) }
            }
            (None, Client::Network(cause)) if is_connect(&**cause) => {
                let message = if is_late(&**cause) {
                    took_longer("connecting", connect)
                } else {
                    words(&**cause)
                };
                Error::Unreachable { url: url.to_string(), message }
            }
            (None, _) => Error::Network { url: url.to_string(), message: words(&other) },
        },
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
