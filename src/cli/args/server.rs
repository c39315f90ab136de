//! The flags that say which servers, as whom, what is trusted, and how long they are waited for.
//! Pure: nothing here looks at the world.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Args};

use super::dotenv::{Environment, Given};
use crate::cli::failure::Failure;
use crate::clickhouse::{Password, Timeouts};
use crate::duration::parse_timeout;

/// Which server, and as whom.
#[derive(Args, Debug)]
#[command(next_help_heading = "ClickHouse")]
pub(crate) struct ServerArguments {
    /// URL of ClickHouse's HTTP interface.
    #[arg(
        long,
        value_name = "URL",
        env = "CLICKHOUSE_URL",
        default_value = "http://localhost:8123",
        hide_env_values = true
    )]
    pub clickhouse_url: String,
    /// User; where it is not given, the one in the URL, else `default`.
    #[arg(long, value_name = "NAME", env = "CLICKHOUSE_USER")]
    pub clickhouse_user: Option<String>,
    /// Password. The process list shows flags to everyone on the machine: prefer the environment or
    /// a file.
    #[arg(long, value_name = "PASSWORD", env = "CLICKHOUSE_PASSWORD", hide_env_values = true)]
    pub clickhouse_password: Option<Password>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE", env = "CLICKHOUSE_PASSWORD_FILE")]
    pub clickhouse_password_file: Option<PathBuf>,
    /// Database in which the job's tables are.
    #[arg(long, value_name = "NAME", env = "CLICKHOUSE_DB", default_value = "default")]
    pub clickhouse_db: String,
    /// Where the source and the lookup are.
    #[command(flatten)]
    pub source: SourceArguments,
    /// What is trusted and shown.
    #[command(flatten)]
    pub tls: TlsArguments,
    /// How long both are waited for.
    #[command(flatten)]
    pub timeouts: TimeoutArguments,
}

/// Where the source and the lookup are, if they are not where the target is.
#[expect(clippy::struct_field_names, reason = "clap names the flags after the fields")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Source on another server, or as another user")]
pub(crate) struct SourceArguments {
    /// URL of the server that has the source and the lookup [default: the target's].
    #[arg(long, value_name = "URL", env = "SOURCE_URL", hide_env_values = true)]
    pub source_url: Option<String>,
    /// User who reads them [default: the one in --source-url; without that, the target's].
    #[arg(long, value_name = "NAME", env = "SOURCE_USER")]
    pub source_user: Option<String>,
    /// Password of that user. Prefer the environment or a file.
    #[arg(long, value_name = "PASSWORD", env = "SOURCE_PASSWORD", hide_env_values = true)]
    pub source_password: Option<Password>,
    /// File whose first line is that password.
    #[arg(long, value_name = "FILE", env = "SOURCE_PASSWORD_FILE")]
    pub source_password_file: Option<PathBuf>,
    /// Database in which the source and the lookup are [default: the target's].
    #[arg(long, value_name = "NAME", env = "SOURCE_DB")]
    pub source_db: Option<String>,
}

/// What is trusted and shown on `https` connections. Certificates are always verified.
#[derive(Args, Debug)]
#[command(next_help_heading = "TLS, for https URLs")]
pub(crate) struct TlsArguments {
    /// Trust the certificates of this PEM file, and no others [default: the system's roots].
    #[arg(long, value_name = "FILE", env = "CA_CERT")]
    pub ca_cert: Option<PathBuf>,
    /// Certificate to show to servers that ask for one, in PEM, with those that signed it.
    #[arg(long, value_name = "FILE", env = "CLIENT_CERT")]
    pub client_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM, not encrypted.
    #[arg(long, value_name = "FILE", env = "CLIENT_KEY")]
    pub client_key: Option<PathBuf>,
}

/// How long to wait for a server before a statement counts as lost.
#[expect(clippy::struct_field_names, reason = "clap names the flags after the fields")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Timeouts")]
pub(crate) struct TimeoutArguments {
    /// How long a connection to the server may take.
    #[arg(long, value_name = "TIME", env = "CONNECT_TIMEOUT", default_value = "10s", value_parser = parse_timeout)]
    pub connect_timeout: Duration,
    /// From a query to the first bytes of its answer.
    #[arg(long, value_name = "TIME", env = "FIRST_BYTE_TIMEOUT", default_value = "10m", value_parser = parse_timeout)]
    pub first_byte_timeout: Duration,
    /// How long the server may be silent between two pieces of an answer.
    #[arg(long, value_name = "TIME", env = "IDLE_TIMEOUT", default_value = "5m", value_parser = parse_timeout)]
    pub idle_timeout: Duration,
    /// For the server to take a piece of an insert.
    #[arg(long, value_name = "TIME", env = "SEND_TIMEOUT", default_value = "5m", value_parser = parse_timeout)]
    pub send_timeout: Duration,
    /// From the last byte of an insert to its acknowledgement, materialized views included.
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
    /// Of a password and a password file, keeps the one that was given in the stronger way: a flag
    /// wins over the environment, and that over `.env`. An empty variable counts as not given.
    pub fn choose_passwords(
        &mut self,
        matches: &ArgMatches,
        environment: &Environment,
    ) -> Result<(), Failure> {
        let Self { clickhouse_password, clickhouse_password_file, source, .. } = self;
        let given = |flag: &str, empty: bool| {
            let variable = flag.to_uppercase();
            environment
                .given(matches.value_source(flag), &variable)
                .filter(|given| *given == Given::Flag || !empty)
        };
        choose("clickhouse_password", clickhouse_password, clickhouse_password_file, given)?;
        choose(
            "source_password",
            &mut source.source_password,
            &mut source.source_password_file,
            given,
        )
    }
}

/// `given` says how the argument of this id was given, and takes whether its value is empty.
fn choose(
    id: &str,
    password: &mut Option<Password>,
    file: &mut Option<PathBuf>,
    given: impl Fn(&str, bool) -> Option<Given>,
) -> Result<(), Failure> {
    let password_given = given(id, password.as_ref().is_some_and(Password::is_empty));
    let file_given = given(&format!("{id}_file"), file.as_deref() == Some(Path::new("")));
    if password_given.is_some() && password_given == file_given {
        let name = match password_given {
            Some(Given::Flag) => format!("--{}", id.replace('_', "-")),
            _ => id.to_uppercase(),
        };
        let suffix = if password_given == Some(Given::Flag) { "-file" } else { "_FILE" };
        return Err(Failure::usage(format!(
            "{name} and {name}{suffix} are both given; give one of them"
        )));
    }
    if password_given.is_none() || password_given < file_given {
        *password = None;
    }
    if file_given.is_none() || file_given < password_given {
        *file = None;
    }
    Ok(())
}
