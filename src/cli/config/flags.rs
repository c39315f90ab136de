//! The flags of the servers that a next command needs.

use std::path::{Path, PathBuf};

use url::Url;

use crate::cli::args::ServerArguments;

/// Flags and values that a next command does not find in its environment or as defaults. URLs are
/// without credentials, and passwords are never among them.
pub(super) fn server_flags(arguments: &ServerArguments) -> Vec<(&'static str, String)> {
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
        ("--ca-cert", file(&tls.ca_cert)),
        ("--client-cert", file(&tls.client_cert)),
        ("--client-key", file(&tls.client_key)),
    ];
    flags
        .into_iter()
        .filter_map(|(flag, value)| Some((flag, value?)))
        .filter(|(flag, value)| !value.is_empty() && !is_found(flag, value))
        .collect()
}

/// Whether the next command finds this value without the flag: in its environment, which has the
/// variables of `.env`, or as a default.
fn is_found(flag: &str, value: &str) -> bool {
    let is_default = matches!(
        (flag, value),
        ("--clickhouse-url", "http://localhost:8123" | "http://localhost:8123/")
            | ("--clickhouse-db", "default")
    );
    let variable = flag.trim_start_matches('-').replace('-', "_").to_uppercase();
    let found = std::env::var(variable);
    is_default
        || found.is_ok_and(|found| {
            found == value || without_credentials(&found).as_deref() == Some(value)
        })
}

/// The URL without a user and a password; `None` if it cannot be read.
fn without_credentials(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_username("").and_then(|()| url.set_password(None)).ok()?;
    Some(url.to_string())
}
