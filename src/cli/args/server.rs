//! Flags that name the servers, the users, the trusted certificates and the timeouts. Pure: nothing
//! here reads the environment or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Args};

use super::dotenv::ValueOrigin;
use super::help::EXPERT;
use super::layers::{Layers, Resolved};
use crate::cli::failure::Failure;
use crate::clickhouse::{Password, Timeouts};
use crate::units::parse_timeout;

/// The target's server, the source's server if it is another one, and how to reach them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ClickHouse")]
pub(crate) struct ServerArguments {
    /// URL of ClickHouse's HTTP interface, such as `https://host:8443`.
    #[arg(
        long,
        value_name = "URL",
        env = "CLICKHOUSE_URL",
        default_value = "http://localhost:8123",
        hide_env_values = true
    )]
    pub clickhouse_url: String,
    /// Name of the user on the server [default: the user in the URL, else `default`].
    #[arg(long, value_name = "NAME", env = "CLICKHOUSE_USER")]
    pub clickhouse_user: Option<String>,
    /// Password of that user [default: the password in the URL, else none].
    ///
    /// Every user of this machine can read flags in the process list: prefer the environment, `.env`
    /// or a file.
    #[arg(long, value_name = "PASSWORD", env = "CLICKHOUSE_PASSWORD", hide_env_values = true)]
    pub clickhouse_password: Option<Password>,
    /// Read the password from the first line of this file.
    #[arg(long, value_name = "FILE", env = "CLICKHOUSE_PASSWORD_FILE")]
    pub clickhouse_password_file: Option<PathBuf>,
    /// Database that contains the job's tables.
    #[arg(long, value_name = "NAME", env = "CLICKHOUSE_DB", default_value = "default")]
    pub clickhouse_db: String,
    #[command(flatten)]
    pub source: SourceArguments,
    #[command(flatten)]
    pub tls: TlsArguments,
    #[command(flatten)]
    pub timeouts: TimeoutArguments,
    /// What a next command gets without flags.
    #[arg(skip)]
    pub layers: Layers,
}

/// The server of the source and the lookup, where it differs from the target's.
#[expect(clippy::struct_field_names, reason = "clap names the flags after the fields")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Source on another server, or as another user")]
pub(crate) struct SourceArguments {
    /// URL of the server of the source and the lookup [default: the target's server].
    ///
    /// Another server receives neither the user nor the password of the target's server.
    #[arg(long, value_name = "URL", env = "SOURCE_URL", hide_env_values = true)]
    pub source_url: Option<String>,
    /// User who reads the source and the lookup [default: the user in --source-url; without that
    /// URL, the target's user].
    #[arg(long, value_name = "NAME", env = "SOURCE_USER")]
    pub source_user: Option<String>,
    /// Password of that user [default: the password in --source-url; without another URL and
    /// another user, the target's password].
    #[arg(long, value_name = "PASSWORD", env = "SOURCE_PASSWORD", hide_env_values = true)]
    pub source_password: Option<Password>,
    /// Read that password from the first line of this file.
    #[arg(long, value_name = "FILE", env = "SOURCE_PASSWORD_FILE")]
    pub source_password_file: Option<PathBuf>,
    /// Database that contains the source and the lookup [default: the target's database].
    #[arg(long, value_name = "NAME", env = "SOURCE_DB")]
    pub source_db: Option<String>,
    /// Where the target's server reaches the source's server by the native protocol, so that
    /// --engine server can fill from it: HOST:PORT, or tls://HOST:PORT.
    ///
    /// It reads as the source's user. ClickHouse hides the password in its logs.
    #[arg(long, value_name = "HOST:PORT", env = "SOURCE_NATIVE")]
    pub source_native: Option<String>,
}

/// Certificates for `https` connections. Server certificates are always verified.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = EXPERT)]
pub(crate) struct TlsArguments {
    /// Trust only the certificates in this PEM file [default: the system's root certificates].
    #[arg(long, value_name = "FILE", env = "CA_CERT")]
    pub ca_cert: Option<PathBuf>,
    /// Client certificate in PEM, followed by the certificates that signed it.
    #[arg(long, value_name = "FILE", env = "CLIENT_CERT")]
    pub client_cert: Option<PathBuf>,
    /// Private key of the client certificate in PEM, not encrypted.
    #[arg(long, value_name = "FILE", env = "CLIENT_KEY")]
    pub client_key: Option<PathBuf>,
}

/// The time after which a statement counts as lost.
#[expect(clippy::struct_field_names, reason = "clap names the flags after the fields")]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = EXPERT)]
pub(crate) struct TimeoutArguments {
    /// Maximum time to connect to a server.
    #[arg(long, value_name = "TIME", env = "CONNECT_TIMEOUT", default_value = "10s", value_parser = parse_timeout)]
    pub connect_timeout: Duration,
    /// Maximum time from a query to the first bytes of its result.
    ///
    /// Reading large parts with FINAL, or waiting in the server's queue, can take minutes.
    #[arg(long, value_name = "TIME", env = "FIRST_BYTE_TIMEOUT", default_value = "10m", value_parser = parse_timeout)]
    pub first_byte_timeout: Duration,
    /// Maximum time between two pieces of a result.
    #[arg(long, value_name = "TIME", env = "IDLE_TIMEOUT", default_value = "5m", value_parser = parse_timeout)]
    pub idle_timeout: Duration,
    /// Maximum time for the server to accept a piece of an insert.
    #[arg(long, value_name = "TIME", env = "SEND_TIMEOUT", default_value = "5m", value_parser = parse_timeout)]
    pub send_timeout: Duration,
    /// Maximum time from the last byte of an insert to its acknowledgement.
    ///
    /// The server acknowledges an insert after all materialized views have processed it.
    #[arg(long, value_name = "TIME", env = "INSERT_TIMEOUT", default_value = "15m", value_parser = parse_timeout)]
    pub insert_timeout: Duration,
}

impl From<&TimeoutArguments> for Timeouts {
    fn from(arguments: &TimeoutArguments) -> Self {
        Self {
            connect: arguments.connect_timeout,
            first_byte: arguments.first_byte_timeout,
            idle: arguments.idle_timeout,
            send: arguments.send_timeout,
            insert_end: arguments.insert_timeout,
        }
    }
}

impl ServerArguments {
    /// Keeps the password or the password file, whichever has the higher precedence: a flag wins
    /// over the environment, the environment over `.env`, `.env` over the config file. An empty
    /// variable counts as not set.
    pub(super) fn choose_passwords(
        &mut self,
        matches: &ArgMatches,
        resolved: &Resolved,
    ) -> Result<(), Failure> {
        let Self { clickhouse_password, clickhouse_password_file, source, .. } = self;
        let origin = |id: &str, empty: bool| {
            resolved.origin(matches, id).filter(|origin| *origin == ValueOrigin::Flag || !empty)
        };
        choose("clickhouse_password", clickhouse_password, clickhouse_password_file, origin)?;
        choose(
            "source_password",
            &mut source.source_password,
            &mut source.source_password_file,
            origin,
        )
    }
}

/// `origin` takes the id of an argument and whether its value is empty.
fn choose(
    id: &str,
    password: &mut Option<Password>,
    file: &mut Option<PathBuf>,
    origin: impl Fn(&str, bool) -> Option<ValueOrigin>,
) -> Result<(), Failure> {
    let of_password = origin(id, password.as_ref().is_some_and(Password::is_empty));
    let of_file = origin(&format!("{id}_file"), file.as_deref() == Some(Path::new("")));
    if of_password.is_some() && of_password == of_file {
        let (name, suffix) = match of_password {
            Some(ValueOrigin::Flag) => (format!("--{}", id.replace('_', "-")), "-file"),
            _ => (id.to_uppercase(), "_FILE"),
        };
        return Err(Failure::usage(format!(
            "{name} and {name}{suffix} are both given; give one of them"
        )));
    }
    if of_password.is_none() || of_password < of_file {
        *password = None;
    }
    if of_file.is_none() || of_file < of_password {
        *file = None;
    }
    Ok(())
}
