//! Reading from the source's server by the target's server, over ClickHouse's native protocol.

use super::endpoint::Endpoint;
use super::sql::quote_literal;

/// Where the target's server reaches the source's server: `HOST:PORT` of its
/// [native protocol](https://clickhouse.com/docs/interfaces/tcp), with TLS if it begins with `tls://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NativeAddress {
    host_and_port: String,
    is_encrypted: bool,
}

/// What stands before the address of an encrypted port.
const ENCRYPTED: &str = "tls://";

/// What the server's logs show in place of a password.
const HIDDEN: &str = "[HIDDEN]";

impl NativeAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, without the text itself.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (host_and_port, is_encrypted) = match text.strip_prefix(ENCRYPTED) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if host_and_port.contains("://") {
            return Err("it is a URL; give HOST:PORT, or tls://HOST:PORT".to_owned());
        }
        // `remote()` takes these for lists and ranges of addresses, or for a user.
        if host_and_port.contains([',', '|', '{', '}', '*', '/', '@', '\'', ' ']) {
            return Err("a host name cannot contain , | { } * / @ ' or spaces".to_owned());
        }
        let (host, port) = host_and_port.rsplit_once(':').unwrap_or((host_and_port, ""));
        if host.is_empty() {
            return Err("it has no host name".to_owned());
        }
        match port.parse::<u16>() {
            Ok(1..) => Ok(Self { host_and_port: host_and_port.to_owned(), is_encrypted }),
            _ => Err("it has no port; the native protocol's is 9000, with TLS 9440".to_owned()),
        }
    }

    /// The address as it is given.
    fn text(&self) -> String {
        let scheme = if self.is_encrypted { ENCRYPTED } else { "" };
        format!("{scheme}{}", self.host_and_port)
    }
}

/// The source's server as the target's server reads from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemoteSource<'a> {
    pub(super) address: &'a NativeAddress,
    pub(super) endpoint: &'a Endpoint,
}

impl RemoteSource<'_> {
    /// Where the target's server reaches it.
    pub(crate) fn address(&self) -> String {
        self.address.text()
    }

    /// A query of the rows of this SELECT, which the source's server evaluates as a whole: only its
    /// result travels, and its ranges prune granules where the data is.
    ///
    /// The query contains the password. ClickHouse hides it in `system.processes`, in
    /// `system.query_log` and in its errors, and connections hide it in what they report.
    pub(crate) fn rows_of(&self, select: &str) -> String {
        self.query(select, self.endpoint.password().reveal())
    }

    /// The same query to show to people.
    pub(crate) fn shown_rows_of(&self, select: &str) -> String {
        let is_secret = !self.endpoint.password().is_empty();
        self.query(select, if is_secret { HIDDEN } else { "" })
    }

    fn query(&self, select: &str, password: &str) -> String {
        let function = if self.address.is_encrypted { "remoteSecure" } else { "remote" };
        format!(
            "SELECT * FROM {function}({}, view(\n{select}\n), {}, {})",
            quote_literal(&self.address.host_and_port),
            quote_literal(self.endpoint.user()),
            quote_literal(password)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::Password;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["source:9000", "tls://source.example:9440", "10.0.0.1:9000", "[::1]:9000"] {
            assert_eq!(
                NativeAddress::parse(text).map(|address| address.text()),
                Ok(text.to_owned())
            );
        }
        for text in
            ["", "source", ":9000", "source:0", "source:x", "source:70000", "http://source:9000"]
        {
            assert!(NativeAddress::parse(text).is_err(), "{text}");
        }
        for text in ["a,b:9000", "host{1..2}:9000", "a|b:9000", "me:secret@host:9000", "h/d:9000"] {
            assert!(NativeAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_password_is_only_in_the_query_that_is_sent() {
        let password = Some(Password::new("o'secret"));
        let endpoint = Endpoint::new("http://source:8123", Some("ann"), password, "d").unwrap();
        let address = NativeAddress::parse("tls://source:9440").unwrap();
        let remote = RemoteSource { address: &address, endpoint: &endpoint };
        assert_eq!(
            remote.rows_of("SELECT 1"),
            "SELECT * FROM remoteSecure('source:9440', view(\nSELECT 1\n), 'ann', 'o\\'secret')"
        );
        assert_eq!(
            remote.shown_rows_of("SELECT 1"),
            "SELECT * FROM remoteSecure('source:9440', view(\nSELECT 1\n), 'ann', '[HIDDEN]')"
        );
    }
}
