//! The servers of a command: URLs are checked, passwords and certificates are read from their files.

use std::fs;
use std::path::{Path, PathBuf};

use url::Url;

use crate::cli::args::{
    CompressionChoice, Layers, ServerArguments, SourceArguments, TlsArguments, without_mark,
};
use crate::cli::failure::{End, Failure, connecting};
use crate::clickhouse::{
    Connection, Endpoint, NativeAddress, Password, QueryPrefix, Servers, Timeouts, Tls,
    WireCompression,
};

/// The servers, ready to connect to.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    target: Endpoint,
    /// `None` if the source is on the target's server, for the same user and in the same database.
    source: Option<Endpoint>,
    /// Where the target's server reaches the source's.
    native: Option<NativeAddress>,
    timeouts: Timeouts,
    flags: Vec<(&'static str, String)>,
    layers: Layers,
}

impl ServerConfig {
    /// Reads the files that the arguments name. An empty value counts as not given.
    ///
    /// # Errors
    /// A URL, a database name, a password file or a certificate that cannot be used. No message
    /// shows a URL as it was given, which may contain a password.
    pub(crate) fn resolve(arguments: &ServerArguments) -> Result<Self, Failure> {
        let (source, target) = (source(arguments)?, target(arguments)?);
        let tls = tls(&arguments.tls)?;
        if !tls.is_default() && !source.iter().chain([&target]).any(Endpoint::is_encrypted) {
            let message = "a certificate is given (CA_CERT, CLIENT_CERT), but the URL is http: nothing would be encrypted";
            return Err(Failure::usage(message)
                .hint("use an https URL; ClickHouse's https_port is 8443 by default"));
        }
        Ok(Self {
            target: target.with_tls(tls.clone()),
            source: source.map(|source| source.with_tls(tls)),
            native: native(arguments)?,
            timeouts: Timeouts::from(&arguments.timeouts),
            flags: server_flags(arguments),
            layers: arguments.layers.clone(),
        })
    }

    /// The flags that reach the same servers, without passwords.
    pub(crate) fn flags(&self) -> &[(&'static str, String)] {
        &self.flags
    }

    /// What a next command gets without these flags.
    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The database of the target.
    pub(crate) fn target_database(&self) -> &str {
        self.target.database()
    }

    /// Prepares the connections, without sending anything. `run_id` becomes part of the query ids.
    pub(crate) fn connect(
        &self,
        compression: CompressionChoice,
        run_id: &str,
    ) -> Result<Servers, Failure> {
        let queries = QueryPrefix::new(run_id);
        let connection = |endpoint: &Endpoint, end: End| {
            let compression = compression_for(compression, endpoint);
            Connection::new(endpoint.clone(), compression, queries.clone(), self.timeouts)
                .map_err(|error| connecting(&error, end))
        };
        let target = connection(&self.target, End::Target)?;
        match &self.source {
            Some(source) => {
                Ok(Servers::two(connection(source, End::Source)?, target, self.native.clone()))
            }
            None => Ok(Servers::one(target)),
        }
    }
}

fn target(arguments: &ServerArguments) -> Result<Endpoint, Failure> {
    let password = password(
        arguments.clickhouse_password.as_ref(),
        arguments.clickhouse_password_file.as_deref(),
    )?;
    if arguments.clickhouse_db.is_empty() {
        return Err(Failure::usage("the name of the database is empty")
            .hint("set --clickhouse-db or CLICKHOUSE_DB"));
    }
    let endpoint = Endpoint::new(
        &arguments.clickhouse_url,
        arguments.clickhouse_user.as_deref(),
        password,
        &arguments.clickhouse_db,
    );
    endpoint.map_err(|error| connecting(&error, End::Target))
}

/// `None` if the source does not differ from the target in server, user or database.
///
/// Another server receives neither the user nor the password of the target's server, and another
/// user does not receive the password.
fn source(arguments: &ServerArguments) -> Result<Option<Endpoint>, Failure> {
    let SourceArguments {
        source_url,
        source_user,
        source_password,
        source_password_file,
        source_db,
        source_native: _,
    } = &arguments.source;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (url, user, database) = (given(source_url), given(source_user), given(source_db));
    let mut password = password(source_password.as_ref(), source_password_file.as_deref())?;
    if url.is_none() && user.is_none() && password.is_none() && database.is_none() {
        return Ok(None);
    }
    let database = database.unwrap_or_else(|| arguments.clickhouse_db.clone());
    let mut name = user.clone();
    if url.is_none() {
        if user.is_some() {
            password = Some(password.unwrap_or_default());
        } else {
            name.clone_from(&arguments.clickhouse_user);
            if password.is_none() {
                password = self::password(
                    arguments.clickhouse_password.as_ref(),
                    arguments.clickhouse_password_file.as_deref(),
                )?;
            }
        }
    }
    let url = url.as_ref().unwrap_or(&arguments.clickhouse_url);
    Endpoint::new(url, name.as_deref(), password, &database)
        .map(Some)
        .map_err(|error| connecting(&error, End::Source))
}

fn native(arguments: &ServerArguments) -> Result<Option<NativeAddress>, Failure> {
    let given = arguments.source.source_native.as_deref().filter(|text| !text.is_empty());
    given.map(NativeAddress::parse).transpose().map_err(|problem| {
        Failure::usage(format!("--source-native cannot be used: {problem}")).hint(
            "it is where the target's server reaches the source's native protocol, as in source.internal:9000",
        )
    })
}

fn password(given: Option<&Password>, file: Option<&Path>) -> Result<Option<Password>, Failure> {
    match file {
        Some(path) => password_from(path).map(Some),
        None => Ok(given.cloned()),
    }
}

fn password_from(path: &Path) -> Result<Password, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("the password file {} cannot be read: {error}", path.display());
        Failure::usage(message).hint("--clickhouse-password-file and --source-password-file name files that this user can read")
    })?;
    Ok(Password::new(first_line(&text)))
}

/// The first line, without its line break and without a byte order mark.
pub(crate) fn first_line(text: &str) -> &str {
    without_mark(text).lines().next().unwrap_or_default()
}

fn tls(arguments: &TlsArguments) -> Result<Tls, Failure> {
    let given = |path: &'static str, file: &Option<PathBuf>| {
        file.clone().filter(|file| !file.as_os_str().is_empty()).map(|file| (path, file))
    };
    let read = |(flag, path): &(&str, PathBuf)| {
        fs::read(path).map_err(|error| {
            Failure::usage(format!("the file {} of {flag} cannot be read: {error}", path.display()))
                .hint(format!("set {flag} to a file that this user can read"))
        })
    };
    let refused = |(flag, path): &(&str, PathBuf), words: String| {
        Failure::usage(format!("the file {} of {flag} cannot be used: {words}", path.display()))
            .hint("certificates and keys are in PEM form")
    };
    let mut tls = Tls::default();
    if let Some(file) = given("--ca-cert", &arguments.ca_cert) {
        tls = tls.with_roots(&read(&file)?).map_err(|words| refused(&file, words))?;
    }
    match (
        given("--client-cert", &arguments.client_cert),
        given("--client-key", &arguments.client_key),
    ) {
        (None, None) => {}
        (Some(certificate), Some(key)) => {
            tls = tls
                .with_identity(&read(&certificate)?, &read(&key)?)
                .map_err(|words| refused(&certificate, words))?;
        }
        _ => {
            return Err(Failure::usage("--client-cert and --client-key belong together")
                .hint("give both, or neither"));
        }
    }
    Ok(tls)
}

fn compression_for(choice: CompressionChoice, endpoint: &Endpoint) -> WireCompression {
    match choice {
        CompressionChoice::None => WireCompression::None,
        CompressionChoice::Lz4 => WireCompression::Lz4,
        CompressionChoice::Zstd => WireCompression::Zstd,
        CompressionChoice::Auto => WireCompression::for_url(endpoint.url()),
    }
}

/// Flags and values that reach the servers. URLs are without credentials, and passwords are never among
/// them.
fn server_flags(arguments: &ServerArguments) -> Vec<(&'static str, String)> {
    let ServerArguments { source, tls, .. } = arguments;
    let file = |path: &Option<PathBuf>| {
        path.as_deref().map(Path::to_string_lossy).map(std::borrow::Cow::into_owned)
    };
    let source_url = source.source_url.as_deref().and_then(without_credentials);
    let flags = [
        ("--clickhouse-url", without_credentials(&arguments.clickhouse_url)),
        ("--clickhouse-user", arguments.clickhouse_user.clone()),
        ("--clickhouse-password-file", file(&arguments.clickhouse_password_file)),
        ("--clickhouse-db", Some(arguments.clickhouse_db.clone())),
        ("--source-url", source_url),
        ("--source-user", source.source_user.clone()),
        ("--source-password-file", file(&source.source_password_file)),
        ("--source-db", source.source_db.clone()),
        ("--source-native", source.source_native.clone()),
        ("--ca-cert", file(&tls.ca_cert)),
        ("--client-cert", file(&tls.client_cert)),
        ("--client-key", file(&tls.client_key)),
    ];
    flags
        .into_iter()
        .filter_map(|(flag, value)| Some((flag, value?)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// The URL without a user and a password; `None` if it cannot be read.
pub(super) fn without_credentials(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_username("").and_then(|()| url.set_password(None)).ok()?;
    Some(url.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        server: ServerArguments,
    }

    /// (URL, user, has a password, database) of the source.
    fn source_of(arguments: &[&str]) -> Option<(String, String, bool, String)> {
        let target = ["x", "--clickhouse-url=http://ann:secret@one", "--clickhouse-db=d"];
        let line = Line::parse_from(target.iter().chain(arguments));
        let endpoint = source(&line.server).unwrap()?;
        let text = format!("{endpoint:?}");
        Some((
            endpoint.url().to_string(),
            endpoint.user().to_owned(),
            text.contains("(hidden)"),
            endpoint.database().to_owned(),
        ))
    }

    #[test]
    fn the_source_takes_from_the_target_what_is_not_said_but_no_password_goes_elsewhere() {
        let found = |url: &str, user: &str, password: bool, database: &str| {
            Some((url.into(), user.into(), password, database.into()))
        };
        assert_eq!(source_of(&[]), None);
        assert_eq!(source_of(&["--source-url=", "--source-user=", "--source-db="]), None);
        assert_eq!(source_of(&["--source-db=e"]), found("http://one/", "ann", true, "e"));
        assert_eq!(source_of(&["--source-password=p"]), found("http://one/", "ann", true, "d"));
        assert_eq!(source_of(&["--source-user=bob"]), found("http://one/", "bob", false, "d"));
        assert_eq!(
            source_of(&["--source-url=http://two"]),
            found("http://two/", "default", false, "d")
        );
        assert_eq!(
            source_of(&["--source-url=http://two", "--clickhouse-user=u"]),
            found("http://two/", "default", false, "d")
        );
        assert_eq!(
            source_of(&["--source-url=http://bob:p@two", "--source-db=e"]),
            found("http://two/", "bob", true, "e")
        );
        assert_eq!(
            source_of(&["--source-url=http://two", "--clickhouse-password=p"]),
            found("http://two/", "default", false, "d")
        );
    }
}
