//! Converting the client crate's errors into [`Error`].

use std::error::Error as StdError;
use std::time::Duration;

use ::clickhouse::error::Error as Client;

use super::endpoint::Endpoint;
use super::error::{Error, Status, took_longer};
use super::handshake::TlsProblem;
use crate::causes::error_chain;

/// Converts an error of the client crate. `connect` is the connection timeout; `mid_stream` tells
/// whether rows had been received.
///
/// A server or a proxy may repeat what it was sent, so the password is removed from its message.
pub(super) fn from_client(
    error: Client,
    endpoint: &Endpoint,
    connect: Duration,
    query_id: &str,
    mid_stream: bool,
) -> Error {
    let url = endpoint.url();
    let words = |error: &dyn StdError| endpoint.hide_passwords(error_chain(error));
    match error {
        Client::BadResponse(message) => {
            let message = endpoint.hide_passwords(message);
            match parse_code(&message) {
                None if !mid_stream => proxy(&message, None, endpoint),
                code => Error::Server { code, message: complete(message, query_id), mid_stream },
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

/// The error of an insert's HTTP client.
pub(super) fn from_http(
    error: hyper_util::client::legacy::Error,
    endpoint: &Endpoint,
    connect: Duration,
) -> Error {
    from_client(Client::Network(Box::new(error)), endpoint, connect, "", false)
}

/// The error of a connection that was lost while a body arrived.
pub(super) fn lost(error: hyper::Error, endpoint: &Endpoint, connect: Duration) -> Error {
    from_client(Client::Network(Box::new(error)), endpoint, connect, "", true)
}

/// An exception in the body of an answer.
pub(super) fn from_exception(text: &[u8], mid_stream: bool, endpoint: &Endpoint) -> Error {
    let text = String::from_utf8_lossy(text).into_owned();
    Error::Server { code: parse_code(&text), message: endpoint.hide_passwords(text), mid_stream }
}

/// What an answer's words mean that is no acknowledgement. `code`: of the answer's headers.
pub(super) fn from_words(
    words: &[u8],
    status: u16,
    code: Option<&str>,
    from_clickhouse: bool,
    endpoint: &Endpoint,
) -> Error {
    let text = String::from_utf8_lossy(words);
    // In a body that had begun, the text follows a mark.
    let text = text.find("Code: ").map_or(&*text, |start| text.get(start..).unwrap_or_default());
    let text = text.trim();
    let code = parse_code(text).or_else(|| code?.parse().ok());
    if code.is_none() && !from_clickhouse {
        return proxy(text, Some(status), endpoint);
    }
    let message = match (text.is_empty(), code) {
        (true, Some(code)) => format!("Code: {code}"),
        (true, None) => Status(status).to_string(),
        (false, _) => endpoint.hide_passwords(text.to_owned()),
    };
    Error::Server { code, message, mid_stream: false }
}

/// `status` is `None` where the client crate does not tell it; most pages begin with it.
fn proxy(words: &str, status: Option<u16>, endpoint: &Endpoint) -> Error {
    const SHOWN: usize = 200;
    // First of all: a password may have what looks like a tag.
    let words = endpoint.hide_passwords(words.to_owned());
    let mut message = String::new();
    let mut inside = false;
    for character in words.chars() {
        match character {
            '<' => inside = true,
            '>' => {
                inside = false;
                message.push(' ');
            }
            _ if !inside => message.push(character),
            _ => {}
        }
    }
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let status = status.or_else(|| message.get(..3)?.parse().ok());
    let status = Status(status.filter(|status| (100..600).contains(status)).unwrap_or(0));
    let message = message.chars().take(SHOWN).collect();
    Error::Proxy { url: endpoint.url().to_string(), status, message }
}

/// An answer to a query that does not have ClickHouse's headers.
pub(super) fn not_clickhouse(endpoint: &Endpoint) -> Error {
    proxy("", Some(200), endpoint)
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

/// Whether the HTTP client's own connection timeout expired; an error of the system has a number.
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

/// The number in `Code: 241. DB::Exception: …` or `Code: 241`, if the message begins so.
fn parse_code(message: &str) -> Option<u32> {
    // An exception of a library begins with `std::exception. Code: 1001, type: …`.
    let message = message.strip_prefix("std::exception. ").unwrap_or(message);
    let rest = message.strip_prefix("Code: ")?;
    rest.split_once(['.', ',']).map_or(rest, |(digits, _)| digits).parse().ok()
}

/// The client crate gives only the code if the server's message is not UTF-8, for example because it
/// quotes such data.
fn complete(message: String, query_id: &str) -> String {
    if message.strip_prefix("Code: ").is_none_or(|rest| rest.parse::<u32>().is_err()) {
        return message;
    }
    format!(
        "{message}. The server's message is not UTF-8; system.query_log has it under query_id {query_id}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::password::Password;
    use super::*;

    #[test]
    fn a_password_that_looks_like_a_tag_is_hidden_on_the_page_of_a_proxy() {
        let password = Some(Password::new("Plum <x> Tram"));
        let endpoint = Endpoint::new("http://host:8123", Some("ann"), password, "d").unwrap();
        let page = b"<html><h1>502</h1> who is\n[Plum <x> Tram]?</html>";
        let error = from_words(page, 502, None, false, &endpoint);
        assert!(
            matches!(&error, Error::Proxy { message, .. } if message == "502 who is [(hidden)]?"),
            "{error:?}"
        );
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
}
