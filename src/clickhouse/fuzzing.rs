//! Properties that hold for any message of a server and any text as a URL; see `fuzz/`. Not part of
//! the crate's interface.

use std::error::Error as _;
use std::time::Duration;

use ::clickhouse::error::Error as ClientError;

use super::client_error::from_client;
use super::endpoint::Endpoint;
use super::exception;
use super::password::Password;
use super::schema::TableName;
use super::sql::{quote_identifier, quote_literal, quote_literal_bytes};

/// A word that a fuzzer does not generate by chance.
const SECRET: &str = "Tangerine-Submarine";

/// Any message of a server becomes an error that shows it, without a password that it repeats; and
/// an exception is only found at the end of a body.
pub fn server_words(data: &[u8]) {
    for tag in [None, data.get(..16)] {
        let Some(found) = exception::at_end(data, tag) else { continue };
        assert!(found.begin < data.len() && found.text.len() <= data.len() - found.begin);
        assert!(data.ends_with(b"\n"));
    }
    let words = String::from_utf8_lossy(data).into_owned();
    let Ok(endpoint) = Endpoint::new("http://host", None, Some(Password::new(SECRET)), "d") else {
        return;
    };
    for mid_stream in [false, true] {
        let error = from_client(
            ClientError::BadResponse(format!("{words}{SECRET}{words}")),
            &endpoint,
            Duration::ZERO,
            "id",
            mid_stream,
        );
        let (text, _) = (error.to_string(), error.class());
        assert!(!text.contains(SECRET) && !format!("{error:?}").contains(SECRET), "{text}");
        assert!(error.source().is_none());
        if let Some(code) = error.code() {
            assert!(text.starts_with("Code: ") && text.contains(&code.to_string()), "{text}");
        }
    }
}

/// Any text around a password becomes a URL that does not show it, or is refused by a message that
/// does not.
pub fn url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // The fuzzer finds the word in the program. URLs are parsed without white space and control
    // characters.
    let plain: String = text.chars().filter(char::is_ascii_graphic).collect();
    if plain.contains("angerine") || plain.contains("ubmarine") {
        return;
    }
    for url in [
        text.clone().into_owned(),
        format!("http://ann:{SECRET}@{text}"),
        format!("http://ann:{text}{SECRET}@host"),
        format!("{text}://ann:{SECRET}@host"),
        format!("https://{text}:{SECRET}@host:8443/"),
        format!("{text}:{SECRET}@host"),
    ] {
        match Endpoint::new(&url, None, None, "d") {
            Ok(endpoint) => {
                assert!(
                    endpoint.url().has_host()
                        && endpoint.url().password().is_none()
                        && endpoint.url().username().is_empty()
                );
                assert!(
                    !endpoint.url().as_str().contains(SECRET),
                    "{url:?} is shown as {}",
                    endpoint.url()
                );
            }
            Err(error) => {
                assert!(!format!("{error} {error:?}").contains(SECRET), "{url:?}: {error}");
            }
        }
    }
}

/// Any quoted bytes begin and end with their quote, with no bare quote between.
pub fn quoting(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (quoted, quote) in [
        (quote_identifier(&text), '`'),
        (quote_literal(&text), '\''),
        (quote_literal_bytes(data), '\''),
    ] {
        let inner = quoted.as_str().strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        assert!(inner.is_some(), "{quoted}");
        let mut characters = inner.unwrap_or_default().chars();
        while let Some(c) = characters.next() {
            assert!(c != quote && !c.is_ascii_control(), "{quoted}");
            if c == '\\' {
                assert!(characters.next().is_some(), "{quoted}");
            }
        }
    }
    let name = TableName::parse(&text, "d");
    assert!(!name.quoted().is_empty());
    assert_eq!(TableName::parse(&name.to_string(), "e"), name, "{text:?}");
}
