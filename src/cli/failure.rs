//! Failures of a command: the message, the hints and the exit code.

use std::error::Error as StdError;
use std::fmt::Write;
use std::process::ExitCode;

use crate::causes::{causes, shortened};
use crate::clickhouse::{Error as ServerError, TlsProblem, UrlError};
use crate::stop::Stop;

/// The exit code after an interruption, as shells use it for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// The exit code where a check blocks a run.
pub(crate) const BLOCKED: u8 = 3;
/// The exit code where differences were found.
pub(crate) const DIFFERENT: u8 = 4;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    causes: Vec<String>,
    hints: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stopped,
    Usage,
    Refused,
    Different,
    Interrupted,
}

impl Failure {
    /// The command line, the environment or a file is wrong.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, causes: vec![message.into()], hints: Vec::new() }
    }

    /// A check before the first row refuses the run.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, causes: vec![message.into()], hints: Vec::new() }
    }

    /// A refusal with the error that caused it.
    pub(super) fn refused_because(message: &str, error: &(dyn StdError + 'static)) -> Self {
        Self::refusal(error).headed(message)
    }

    /// A check before the first row failed with this error.
    pub(super) fn refusal(error: &(dyn StdError + 'static)) -> Self {
        Self::of_kind(Kind::Refused, error)
    }

    /// The configuration causes this error.
    pub(super) fn misuse(error: &(dyn StdError + 'static)) -> Self {
        Self::of_kind(Kind::Usage, error)
    }

    /// The work failed with this error.
    pub(super) fn stopped(error: &(dyn StdError + 'static)) -> Self {
        Self::of_kind(Kind::Stopped, error)
    }

    /// What was built is not what the job makes.
    pub(super) fn different(error: &(dyn StdError + 'static)) -> Self {
        Self::of_kind(Kind::Different, error)
    }

    /// The work failed with this error; `message` says what was done.
    pub(super) fn stopped_because(message: &str, error: &(dyn StdError + 'static)) -> Self {
        Self::stopped(error).headed(message)
    }

    /// The configuration causes this error; `message` says what was done.
    pub(super) fn misuse_because(message: &str, error: &(dyn StdError + 'static)) -> Self {
        Self::misuse(error).headed(message)
    }

    fn of_kind(kind: Kind, error: &(dyn StdError + 'static)) -> Self {
        Self { kind, causes: causes(error), hints: Vec::new() }
    }

    /// Adds a cause above the others.
    fn headed(mut self, message: &str) -> Self {
        self.causes.insert(0, message.to_owned());
        self
    }

    /// The same failure as a refusal, with a cause above the others.
    #[must_use]
    pub(super) fn refused_as(self, message: &str) -> Self {
        Self { kind: Kind::Refused, ..self.headed(message) }
    }

    /// Adds a cause below the others.
    #[must_use]
    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The hints.
    pub(super) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Interrupted before the first row.
    pub(super) fn interrupted() -> Self {
        let cause = "interrupted before the first row".to_owned();
        let hints = vec!["run the same command again".to_owned()];
        Self { kind: Kind::Interrupted, causes: vec![cause], hints }
    }

    /// Becomes an interruption before the first row if a stop was requested.
    pub(super) fn unless_stopped(self, stop: &Stop) -> Self {
        if stop.is_requested() { Self::interrupted() } else { self }
    }

    /// Whether a check before the first row refused it.
    pub(super) fn is_refusal(&self) -> bool {
        self.kind == Kind::Refused
    }

    /// Whether the work failed, not its configuration or a check before it.
    pub(super) fn is_stop(&self) -> bool {
        self.kind == Kind::Stopped
    }

    /// Whether it is an interruption.
    pub(super) fn is_interruption(&self) -> bool {
        self.kind == Kind::Interrupted
    }

    /// Adds a hint.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Names the partition that failed.
    #[must_use]
    pub(super) fn of_partition(mut self, partition: &str) -> Self {
        self.causes.insert(0, format!("partition {partition} failed"));
        self
    }

    /// Names the job of a set that failed.
    #[must_use]
    pub(super) fn of_job(mut self, job: &str) -> Self {
        self.causes.insert(0, format!("job {job} failed"));
        self
    }

    /// Replaces the message, if the failure was reported before.
    #[must_use]
    pub(super) fn instead(self, message: String) -> Self {
        Self { kind: self.kind, causes: vec![message], hints: Vec::new() }
    }

    /// The causes in one line, for the summary.
    pub(super) fn one_line(&self) -> String {
        self.causes.join(": ")
    }

    /// What failed, why, and what to do.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut causes = self.causes.iter();
        if let Some(first) = causes.next() {
            let title = if self.kind == Kind::Interrupted { "" } else { "error: " };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{title}{}", first.trim_end());
        }
        for cause in causes {
            let _ = writeln!(text, "  because: {}", shortened(cause.trim_end()));
        }
        for hint in &self.hints {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// Logs the failure as an event, for programs.
    pub(super) fn log(&self) {
        tracing::error!(causes = ?self.causes, hints = ?self.hints, "{}", self.one_line());
    }

    /// The exit code.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The exit code as a number.
    pub(super) fn code(&self) -> u8 {
        match self.kind {
            Kind::Stopped => 1,
            Kind::Usage => 2,
            Kind::Refused => BLOCKED,
            Kind::Different => DIFFERENT,
            Kind::Interrupted => INTERRUPTED,
        }
    }
}

/// Which server an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server of the source and the lookup.
    Source,
    /// The server of the target; often the only one.
    Target,
}

impl End {
    /// The flag and the variable of a setting such as `url`.
    fn setting(self, name: &str) -> String {
        let prefix = if self == Self::Source { "source" } else { "clickhouse" };
        format!("--{prefix}-{name} or {}_{}", prefix.to_uppercase(), name.to_uppercase())
    }
}

/// The flags to use instead of a URL that cannot be used.
fn url_hint(error: &UrlError, end: End) -> String {
    let prefix = if end == End::Source { "source" } else { "clickhouse" };
    let database = error.database.as_ref().map(|name| format!("--{prefix}-db {}", quoted(name)));
    let url = error.instead.as_ref().map(|url| format!("--{prefix}-url {}", quoted(url)));
    match (url, database) {
        (Some(url), Some(database)) => format!("{url} {database}"),
        (Some(url), None) => url,
        _ => format!(
            "set {} to the server's HTTP interface, such as http://localhost:8123",
            end.setting("url")
        ),
    }
}

/// What to do if encryption fails; never to go without it.
fn tls_hint(problem: TlsProblem, end: End) -> String {
    let url = end.setting("url");
    match problem {
        TlsProblem::UnknownIssuer => "set --ca-cert or CA_CERT to a file with the certificate of \
            the authority that signed the server's certificate"
            .to_owned(),
        TlsProblem::WrongName => {
            format!("set {url} to a host name that the server's certificate is for")
        }
        TlsProblem::Expired => {
            "renew the server's certificate, or correct this machine's clock".to_owned()
        }
        TlsProblem::Certificate => {
            "the server needs a server certificate, signed by an authority".to_owned()
        }
        TlsProblem::ClientCertificate => {
            "set --client-cert and --client-key to a certificate that the server trusts".to_owned()
        }
        TlsProblem::NotTls => format!(
            "set {url} to the server's https_port, 8443 by default; its http_port, 8123, is not encrypted"
        ),
        TlsProblem::NotPlain => format!(
            "set {url} to an https URL if this is the server's https_port, else to its http_port, 8123 by default"
        ),
    }
}

/// Refuses what cannot be the name of a format.
pub(crate) fn check_format(name: &str, hint: &str) -> Result<(), Failure> {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Failure::usage(format!("{name:?} is not the name of a format")).hint(hint))
}

/// A failure of the first query to a server, which is a configuration error.
pub(crate) fn connecting(error: &ServerError, end: End) -> Failure {
    const UNKNOWN_DATABASE: u32 = 81;
    const AUTHENTICATION_FAILED: u32 = 516;
    const REQUIRED_PASSWORD: u32 = 194;
    let mut failure = Failure::of_kind(Kind::Usage, error);
    let is_rejected_login = matches!(
        error,
        ServerError::Server { code: Some(AUTHENTICATION_FAILED | REQUIRED_PASSWORD), .. }
    );
    if is_rejected_login {
        // The rest explains how to reset the password of other products.
        failure.causes = failure.causes.iter().map(|cause| first_sentence(cause)).collect();
    }
    let headline = match (end, error) {
        (End::Source, _) => Some("cannot use the source's server"),
        _ if is_rejected_login => Some("the server rejects the login"),
        (_, ServerError::Server { code: Some(UNKNOWN_DATABASE), .. }) => {
            Some("the server does not have the database")
        }
        (_, ServerError::Server { .. }) => Some("the server refuses the first query"),
        _ => None,
    };
    if let Some(headline) = headline {
        failure.causes.insert(0, headline.to_owned());
    }
    match error {
        _ if is_rejected_login => {
            let prefix = if end == End::Source { "source" } else { "clickhouse" };
            let variables = prefix.to_uppercase();
            failure
                .hint(format!(
                    "set {variables}_USER, and {variables}_PASSWORD or --{prefix}-password-file"
                ))
                .hint("in .env, a password with $ or # needs single quotes")
        }
        ServerError::Server { code: Some(UNKNOWN_DATABASE), .. } => {
            failure.hint(format!("set {} to the database of the tables", end.setting("db")))
        }
        ServerError::Handshake { problem, .. } => failure.hint(tls_hint(*problem, end)),
        ServerError::Tls(_) => {
            failure.hint("set --ca-cert or CA_CERT to a file with the certificates to trust")
        }
        ServerError::InvalidUrl(error) => failure.hint(url_hint(error, end)),
        ServerError::Unreachable { .. }
        | ServerError::Exhausted { .. }
        | ServerError::Network { .. }
        | ServerError::Timeout { .. } => failure.hint(format!(
            "set {} to the server's HTTP interface; its port is 8123 by default, 8443 for https",
            end.setting("url")
        )),
        _ => failure,
    }
}

/// A server's message up to its first full stop that ends a sentence, behind `DB::Exception:`.
fn first_sentence(message: &str) -> String {
    let behind_code = message.find("DB::Exception:").map_or(0, |at| at + "DB::Exception:".len());
    let (code, text) = message.split_at(behind_code);
    let line = text.lines().next().unwrap_or_default();
    let sentence = line.split_once(". ").map_or(line, |(sentence, _)| sentence);
    match error_name(message) {
        Some(name) if !sentence.contains(name) => format!("{code}{sentence} ({name})"),
        _ => format!("{code}{sentence}"),
    }
}

/// ClickHouse's name of an error, such as `AUTHENTICATION_FAILED`, which ends its message.
fn error_name(message: &str) -> Option<&str> {
    let is_name =
        |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let parts = message.rsplit('(').filter_map(|part| part.split_once(')'));
    parts.map(|(name, _)| name).find(is_name)
}

/// The text as one word of a shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_login_is_one_sentence() {
        let message = "Code: 516. DB::Exception: ann: Authentication failed: password is incorrect, or there is no user with such name.\n\nIf you use ClickHouse Cloud, the password can be reset at https://clickhouse.cloud/";
        let error =
            ServerError::Server { code: Some(516), message: message.to_owned(), mid_stream: false };
        let text = connecting(&error, End::Target).text();
        let expected = "error: the server rejects the login\n  because: Code: 516. DB::Exception: ann: Authentication failed: password is incorrect, or there is no user with such name.\nhint: set CLICKHOUSE_USER, and CLICKHOUSE_PASSWORD or --clickhouse-password-file\nhint: in .env, a password with $ or # needs single quotes\n";
        assert_eq!(text, expected);
        let named =
            first_sentence(&format!("{message}\n\n. (AUTHENTICATION_FAILED) (version 26.7)"));
        assert!(
            named.ends_with("no user with such name. (AUTHENTICATION_FAILED)")
                || named.ends_with("no user with such name (AUTHENTICATION_FAILED)"),
            "{named}"
        );
    }

    #[test]
    fn words_that_are_not_plain_are_quoted() {
        assert_eq!(quoted("http://host:8123"), "http://host:8123");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's mine"), r"'it'\''s mine'");
    }
}
