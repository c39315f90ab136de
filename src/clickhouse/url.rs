//! URLs that are not the URL of ClickHouse's HTTP interface, and the URL to use instead.

use std::fmt;

use url::Url;

/// The port of ClickHouse's [HTTP interface](https://clickhouse.com/docs/interfaces/http), and with
/// TLS.
const HTTP_PORTS: [u16; 2] = [8123, 8443];
/// The port of ClickHouse's [native protocol](https://clickhouse.com/docs/interfaces/tcp), and with
/// TLS.
const NATIVE_PORTS: [u16; 2] = [9000, 9440];

/// A URL that cannot be used. Nothing of it shows a user or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct UrlError {
    /// What is wrong with it.
    pub problem: UrlProblem,
    /// The URL to use instead, if it can be guessed.
    pub instead: Option<String>,
    /// The database that the URL names; it is set apart from the URL.
    pub database: Option<String>,
}

/// What is wrong with a URL; continues a sentence that begins with "the URL".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlProblem {
    /// It has no text.
    Empty,
    /// It does not begin with `http://` or `https://`.
    NoScheme,
    /// It begins with another scheme.
    Scheme(String),
    /// It has no host.
    NoHost,
    /// It has an `@` after the host, probably in a password.
    AtSign,
    /// It has a parameter of this name.
    Parameter(String),
    /// It has a part behind `#`.
    Fragment,
    /// The parser's message.
    Unreadable(String),
    /// The server does not serve its path.
    Path(String),
    /// The server sends its clients to another URL.
    Redirect,
    /// The port is for the native protocol.
    NativePort,
}

impl fmt::Display for UrlProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("is empty"),
            Self::NoScheme => formatter.write_str("has no scheme"),
            Self::Scheme(scheme) => {
                write!(formatter, "has the scheme {scheme}, but only http and https are supported")
            }
            Self::NoHost => formatter.write_str("has no host"),
            Self::AtSign => formatter.write_str(
                "has an @ after the host; in a password, write the signs / ? # and @ as %2F %3F %23 and %40",
            ),
            Self::Parameter(name) => {
                write!(formatter, "has the parameter {name}, but parameters are not supported")
            }
            Self::Fragment => formatter.write_str("has a part after #, which is not supported"),
            Self::Unreadable(message) => write!(formatter, "cannot be read: {message}"),
            Self::Path(path) => {
                write!(formatter, "has the path {path}, which the server does not serve")
            }
            Self::Redirect => formatter.write_str("redirects to another URL"),
            Self::NativePort => formatter
                .write_str("has the port of ClickHouse's native protocol, not of its HTTP interface"),
        }
    }
}

impl From<UrlProblem> for UrlError {
    fn from(problem: UrlProblem) -> Self {
        Self { problem, instead: None, database: None }
    }
}

/// Reads the URL of an HTTP interface. It may contain a user, a password and a path.
pub(super) fn parse(text: &str) -> Result<Url, UrlError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UrlProblem::Empty.into());
    }
    let Some((scheme, _)) = text.split_once("://") else {
        return Err(UrlError {
            instead: guess(&format!("http://{text}")),
            ..UrlProblem::NoScheme.into()
        });
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        let problem = UrlProblem::Scheme(shown_scheme(scheme));
        return Err(other_scheme(text, problem));
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::EmptyHost => UrlProblem::NoHost.into(),
        error => UrlError::from(UrlProblem::Unreadable(error.to_string())),
    })?;
    // `http://ann:12/34@host` is the host `ann` with the port 12, and every message would show it.
    if has_at_sign_after_host(&url) {
        return Err(UrlProblem::AtSign.into());
    }
    if let Some((name, _)) = url.query_pairs().next() {
        let database = url.query_pairs().find(|(name, _)| name == "database");
        return Err(UrlError {
            problem: UrlProblem::Parameter(
                database.as_ref().map_or(&name, |(name, _)| name).to_string(),
            ),
            instead: Some(bare(&url)),
            database: database.map(|(_, database)| database.into_owned()),
        });
    }
    if url.fragment().is_some() {
        return Err(UrlError { instead: Some(bare(&url)), ..UrlProblem::Fragment.into() });
    }
    Ok(url)
}

/// Whether a password may have become a part of the path: nothing of such a URL is shown.
fn has_at_sign_after_host(url: &Url) -> bool {
    let behind_host = [Some(url.path()), url.query(), url.fragment()];
    behind_host.into_iter().flatten().any(|part| part.contains('@'))
}

/// A scheme, unless it is part of a text that may contain a password.
fn shown_scheme(scheme: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | ':');
    if scheme.chars().all(is_plain) { scheme.to_owned() } else { "(hidden)".to_owned() }
}

/// The error for a URL of another protocol, such as `clickhouse://host:9000/database`.
fn other_scheme(text: &str, problem: UrlProblem) -> UrlError {
    let nothing = UrlError::from(problem);
    let Some((scheme, rest)) = text.split_once("://") else { return nothing };
    let Ok(mut url) = Url::parse(&format!("http://{rest}")) else { return nothing };
    if has_at_sign_after_host(&url) {
        return nothing;
    }
    let named = url.query_pairs().find(|(name, _)| name == "database");
    let database = named.map(|(_, database)| database.into_owned()).or_else(|| segment(url.path()));
    let is_encrypted = scheme.ends_with("https")
        || scheme.ends_with("clickhouses")
        || matches!(url.port(), Some(443 | 8443 | 9440));
    let [http, https] = HTTP_PORTS;
    let port = if is_encrypted { https } else { http };
    if url.port().is_none_or(|port| NATIVE_PORTS.contains(&port))
        && url.set_port(Some(port)).is_err()
    {
        return nothing;
    }
    // Between special schemes, this cannot fail.
    let _ = url.set_scheme(if is_encrypted { "https" } else { "http" });
    url.set_path("");
    UrlError { instead: Some(bare(&url)), database, ..nothing }
}

/// The text as a URL without user, password, path and parameters, if it can be one.
fn guess(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    url.set_path("");
    if url.port().is_none() {
        url.set_port(Some(HTTP_PORTS[0])).ok()?;
    }
    (!text.get("http://".len()..)?.contains('@') || !url.username().is_empty()).then(|| bare(&url))
}

/// The URL without user, password, parameters and fragment, and without a slash at its end.
fn bare(url: &Url) -> String {
    let mut url = url.clone();
    // These cannot fail: an http URL always has a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// The only segment of a path.
fn segment(path: &str) -> Option<String> {
    let path = path.trim_matches('/');
    let name = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    (!path.is_empty() && !path.contains('/')).then(|| name.into_owned())
}

/// What the response of a server or proxy, which is no result of a query, says about the URL.
pub(super) fn of_response(url: &Url, response: &str) -> Option<UrlError> {
    if response.starts_with("There is no handle") {
        let database = segment(url.path());
        let mut root = url.clone();
        root.set_path("");
        return Some(UrlError {
            problem: UrlProblem::Path(url.path().to_owned()),
            instead: Some(bare(&root)),
            database,
        });
    }
    if response.starts_with("Port ") && response.contains("is for clickhouse-client") {
        let mut http = url.clone();
        let [plain, encrypted] = HTTP_PORTS;
        http.set_port(Some(if url.scheme() == "https" { encrypted } else { plain })).ok()?;
        return Some(UrlError { instead: Some(bare(&http)), ..UrlProblem::NativePort.into() });
    }
    None
}

/// The error for a server at `url` that redirects to `location`.
pub(super) fn redirect(url: &Url, location: &str) -> UrlError {
    let instead = url.join(location).ok().filter(|to| matches!(to.scheme(), "http" | "https"));
    UrlError { instead: instead.as_ref().map(bare), ..UrlProblem::Redirect.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (problem, URL instead, database)
    fn found(text: &str) -> (String, Option<String>, Option<String>) {
        let UrlError { problem, instead, database } = parse(text).unwrap_err();
        (problem.to_string(), instead, database)
    }

    fn expected(
        problem: &str,
        instead: &str,
        database: &str,
    ) -> (String, Option<String>, Option<String>) {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (problem.to_owned(), given(instead), given(database))
    }

    #[test]
    fn each_wrong_url_is_named_with_the_right_one() {
        let only_http = |scheme: &str| {
            format!("has the scheme {scheme}, but only http and https are supported")
        };
        for (text, problem, instead, database) in [
            ("", "is empty", "", ""),
            (" ", "is empty", "", ""),
            ("localhost:28123", "has no scheme", "http://localhost:28123", ""),
            ("127.0.0.1:8123", "has no scheme", "http://127.0.0.1:8123", ""),
            ("ann:secret@host:8123/x", "has no scheme", "http://host:8123", ""),
            ("http://", "has no host", "", ""),
            ("clickhouse://host:9000/shop", &only_http("clickhouse"), "http://host:8123", "shop"),
            (
                "clickhouse://ann:secret@host:9440",
                &only_http("clickhouse"),
                "https://host:8443",
                "",
            ),
            ("tcp://host", &only_http("tcp"), "http://host:8123", ""),
            (
                "clickhouse+http://host:8123/shop",
                &only_http("clickhouse+http"),
                "http://host:8123",
                "shop",
            ),
            (
                "jdbc:clickhouse://host:8123?database=shop",
                &only_http("jdbc:clickhouse"),
                "http://host:8123",
                "shop",
            ),
            (
                "http://host:8123/?database=small",
                "has the parameter database, but parameters are not supported",
                "http://host:8123",
                "small",
            ),
            (
                "https://ann:secret@host/ch?user=x&database=small",
                "has the parameter database, but parameters are not supported",
                "https://host/ch",
                "small",
            ),
            (
                "http://host?password=secret",
                "has the parameter password, but parameters are not supported",
                "http://host",
                "",
            ),
            (
                "http://host:8123/#x",
                "has a part after #, which is not supported",
                "http://host:8123",
                "",
            ),
        ] {
            assert_eq!(found(text), expected(problem, instead, database), "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for text in [
            "ann:12/secret@host",
            "http://ann:12/secret@host",
            "http://ann:12?secret@host",
            "http://ann:12#secret@host",
            "se:cret/x://host",
            "http://ann:secret@host:port",
            "ann:secret",
            "clickhouse://ann:se/cret@host",
        ] {
            let error = parse(text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("cret"), "{text}: {shown}");
        }
    }

    #[test]
    fn responses_tell_what_is_wrong_with_the_url() {
        let url = |text: &str| Url::parse(text).unwrap();
        let no_handle = "There is no handle /shop?query_id=x\nUse / or /ping for health checks.";
        let error = of_response(&url("http://host:8123/shop"), no_handle).unwrap();
        assert_eq!(error.to_string(), "has the path /shop, which the server does not serve");
        assert_eq!(error.instead.as_deref(), Some("http://host:8123"));
        assert_eq!(error.database.as_deref(), Some("shop"));
        let native =
            "Port 9000 is for clickhouse-client program\r\nYou must use port 8123 for HTTP.";
        let error = of_response(&url("http://host:9000/"), native).unwrap();
        assert_eq!(error.instead.as_deref(), Some("http://host:8123"));
        assert_eq!(of_response(&url("http://host/"), "<html>502</html>"), None);
        let error = redirect(&url("http://host/ch"), "https://ann:secret@host/ch?x=1");
        assert_eq!(error.instead.as_deref(), Some("https://host/ch"));
        assert_eq!(
            redirect(&url("http://host/"), "/login").instead.as_deref(),
            Some("http://host/login")
        );
    }
}
