//! The address of a server, the account, compression and timeouts. The password is never shown.

use std::time::Duration;

use url::{Host, Url};

use super::error::Error;
use super::password::Password;
use super::tls::Tls;

/// The address of a ClickHouse HTTP interface with the user and the database to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    user: String,
    password: Password,
    database: String,
    tls: Tls,
    /// Another password that statements contain.
    sent_password: Password,
}

impl Endpoint {
    /// Parses an `http://` or `https://` URL. A user and a password in the URL apply where `user` or
    /// `password` is `None`; they are removed from the URL, so that it can be shown.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`]; the message never repeats the text, which may contain a password.
    pub fn new(
        url: &str,
        user: Option<&str>,
        password: Option<Password>,
        database: &str,
    ) -> Result<Self, Error> {
        let mut url = super::url::parse(url)?;
        let from_url = |text: &str| percent_decode(text);
        let user = user.map_or_else(|| from_url(url.username()), str::to_owned);
        let password =
            password.unwrap_or_else(|| Password::new(from_url(url.password().unwrap_or_default())));
        // These cannot fail: an http URL always has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let user = if user.is_empty() { "default".to_owned() } else { user };
        Ok(Self {
            url,
            user,
            password,
            database: database.to_owned(),
            tls: Tls::default(),
            sent_password: Password::default(),
        })
    }

    /// Replaces the certificates of `https` connections.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// The same account in another database.
    #[must_use]
    pub(super) fn with_database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Whether the server is on this machine, by the name of its host.
    pub fn is_local(&self) -> bool {
        is_local(&self.url)
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL without credentials.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The user's password.
    pub(super) fn password(&self) -> &Password {
        &self.password
    }

    /// The same, with a password that statements to this server contain, to hide it as well.
    #[must_use]
    pub(super) fn sends_password(self, password: Password) -> Self {
        Self { sent_password: password, ..self }
    }

    /// Hides passwords in a text that may repeat them.
    pub(super) fn hide_passwords(&self, text: String) -> String {
        self.sent_password.hide_in(self.password.hide_in(text))
    }

    /// Whether both have the same user and URL.
    pub fn is_same_account(&self, other: &Self) -> bool {
        self.url == other.url && self.user == other.user
    }

    /// The database in which unqualified table names are looked up.
    pub fn database(&self) -> &str {
        &self.database
    }
}

fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// How long to wait for the server before a statement counts as lost.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the TCP connection.
    pub connect: Duration,
    /// From the request to the first bytes of the response; FINAL over large parts and full queues
    /// are slow.
    pub first_byte: Duration,
    /// Between two pieces of a response.
    pub idle: Duration,
    /// For the server to take one piece of an insert.
    pub send: Duration,
    /// From the last byte of an insert to its acknowledgement, including materialized views.
    pub insert_end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(300),
            send: Duration::from_secs(300),
            insert_end: Duration::from_secs(900),
        }
    }
}

impl Timeouts {
    /// What is awaited of a response, and how long: its first part, or the next after `received`.
    pub(super) fn of_part(&self, received: bool) -> (&'static str, Duration) {
        if received {
            ("the next part of a response", self.idle)
        } else {
            ("the first part of a response", self.first_byte)
        }
    }
}

/// Compression of source queries, lookup queries and inserts. Small queries are never compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WireCompression {
    /// None: compressing a row costs the server more than twice as much as sending it.
    #[default]
    None,
    /// [LZ4](https://clickhouse.com/docs/interfaces/http#compression): fast.
    Lz4,
    /// Zstandard at level 1: smaller and slower.
    Zstd,
}

impl WireCompression {
    /// The default for a server at this URL: none on this machine, LZ4 elsewhere.
    pub fn for_url(url: &Url) -> Self {
        if is_local(url) { Self::None } else { Self::Lz4 }
    }
}

/// Whether the host is this machine, by its name.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url_and_every_debug_output() {
        let endpoint =
            Endpoint::new("http://ann:s%40cret+1%3D@host:8123/path", None, None, "db").unwrap();
        assert_eq!(endpoint.url().as_str(), "http://host:8123/path");
        assert_eq!(endpoint.user(), "ann");
        assert_eq!(endpoint.password().reveal(), "s@cret+1=");
        let shown = format!("{endpoint:?}");
        assert!(!shown.contains("cret"), "{shown}");
    }

    #[test]
    fn separate_credentials_win_over_the_url() {
        let endpoint =
            Endpoint::new("http://ann:old@host", Some("bob"), Some(Password::new("new")), "db")
                .unwrap();
        assert_eq!((endpoint.user(), endpoint.password().reveal()), ("bob", "new"));
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused() {
        assert!(Endpoint::new("localhost:8123", None, None, "db").is_err());
        assert!(Endpoint::new("tcp://host:9000", None, None, "db").is_err());
        assert!(Endpoint::new("", None, None, "db").is_err());
        for url in [
            "http://ann:12/34@host",
            "http://ann:12?34@host",
            "http://ann:12#34@host",
            "http://ann:1/2:3@4@host/",
        ] {
            let error = Endpoint::new(url, None, None, "db").unwrap_err().to_string();
            assert!(error.contains("%2F") && !error.contains("34"), "{error}");
        }
    }

    #[test]
    fn compression_is_for_other_machines() {
        let of = |url: &str| WireCompression::for_url(&Url::parse(url).unwrap());
        for url in ["http://localhost:8123", "http://127.0.0.1", "http://[::1]:8123"] {
            assert_eq!(of(url), WireCompression::None, "{url}");
        }
        for url in ["http://clickhouse:8123", "https://10.0.0.1", "http://localhost.example"] {
            assert_eq!(of(url), WireCompression::Lz4, "{url}");
        }
    }
}
