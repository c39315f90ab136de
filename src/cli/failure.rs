//! What a person sees when something fails, and what the process exits with.

use std::error::Error as StdError;
use std::fmt::Write;
use std::process::ExitCode;

use crate::clickhouse::{Error as ServerError, TlsProblem};
use crate::stop::Stop;

/// What a supervisor takes for "interrupted by a signal".
pub(crate) const INTERRUPTED: u8 = 130;

/// A command that did not do what it was asked.
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
    Interrupted,
}

impl Failure {
    /// The command line, the environment or a file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, causes: vec![message.into()], hints: Vec::new() }
    }

    /// A check before the first row refuses the run.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, causes: vec![message.into()], hints: Vec::new() }
    }

    /// The same, with the error that the check met.
    pub fn refused_because(message: &str, error: &(dyn StdError + 'static)) -> Self {
        let mut failure = Self::of_kind(Kind::Refused, error);
        failure.causes.insert(0, message.to_owned());
        failure
    }

    /// A check before the first row met this error.
    pub fn refusal(error: &(dyn StdError + 'static)) -> Self {
        Self::of_kind(Kind::Refused, error)
    }

    /// The configuration met this error.
    pub fn misuse(error: &(dyn StdError + 'static)) -> Self {
        Self::of_kind(Kind::Usage, error)
    }

    /// Something failed on the way.
    pub fn stopped(error: &(dyn StdError + 'static)) -> Self {
        Self { kind: Kind::Stopped, causes: chain(error), hints: Vec::new() }
    }

    /// The same, with what was done when the error was met.
    pub fn stopped_because(message: &str, error: &(dyn StdError + 'static)) -> Self {
        let mut failure = Self::stopped(error);
        failure.causes.insert(0, message.to_owned());
        failure
    }

    fn of_kind(kind: Kind, error: &(dyn StdError + 'static)) -> Self {
        Self { kind, causes: chain(error), hints: Vec::new() }
    }

    /// The same with a cause below those that it has.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The advice.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The same, unless stopping was asked for: then it is an interruption before the first row.
    pub fn unless_stopped(self, stop: &Stop) -> Self {
        if !stop.is_requested() {
            return self;
        }
        let cause = "interrupted before the first row".to_owned();
        Self {
            kind: Kind::Interrupted,
            causes: vec![cause],
            hints: vec!["run the same command again".to_owned()],
        }
    }

    /// Whether a check before the first row refused it.
    pub fn is_refusal(&self) -> bool {
        self.kind == Kind::Refused
    }

    /// Whether it is an interruption.
    pub fn is_interruption(&self) -> bool {
        self.kind == Kind::Interrupted
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same, said of this partition.
    #[must_use]
    pub fn of_partition(mut self, partition: &str) -> Self {
        self.causes.insert(0, format!("partition {partition} failed"));
        self
    }

    /// Another message of the same kind, where what failed was said before.
    #[must_use]
    pub fn instead(self, message: String) -> Self {
        Self { kind: self.kind, causes: vec![message], hints: Vec::new() }
    }

    /// The causes in one line, for the summary.
    pub fn one_line(&self) -> String {
        self.causes.join(": ")
    }

    /// The message: what failed, why, what to do.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut causes = self.causes.iter();
        if let Some(first) = causes.next() {
            let title = if self.kind == Kind::Interrupted { "" } else { "error: " };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{title}{}", first.trim_end());
        }
        for cause in causes {
            let _ = writeln!(text, "  because: {}", cause.trim_end());
        }
        for hint in &self.hints {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// The same as an event, for machines.
    pub fn log(&self) {
        tracing::error!(causes = ?self.causes, hints = ?self.hints, "{}", self.one_line());
    }

    /// The contract with scripts.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    pub fn code(&self) -> u8 {
        match self.kind {
            Kind::Stopped => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Interrupted => INTERRUPTED,
        }
    }
}

/// The messages of an error and of what caused it; one that its parent's text repeats is left out.
fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
        source = cause.source();
    }
    causes
}

/// Which server an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The one that has the source and the lookup.
    Source,
    /// The one that has the target; often the only one.
    Target,
}

impl End {
    /// The flag and the variable that end in this, such as `url`.
    fn setting(self, name: &str) -> String {
        let prefix = if self == Self::Source { "source" } else { "clickhouse" };
        format!("--{prefix}-{name} or {}_{}", prefix.to_uppercase(), name.to_uppercase())
    }
}

/// What to do where encryption fails. Never to go without it.
fn tls_hint(problem: TlsProblem, end: End) -> String {
    let url = end.setting("url");
    match problem {
        TlsProblem::UnknownIssuer => {
            "--ca-cert or CA_CERT names a file with the certificate of the authority that signed the server's".to_owned()
        }
        TlsProblem::WrongName => format!("set {url} to a host name for which the server has a certificate"),
        TlsProblem::Expired => "renew the server's certificate; or set this machine's clock".to_owned(),
        TlsProblem::Certificate => "the server needs a certificate for servers, signed by an authority".to_owned(),
        TlsProblem::ClientCertificate => "give --client-cert and --client-key, of a certificate that the server trusts".to_owned(),
        TlsProblem::NotTls => format!("set {url} to the server's https_port, 8443 by default; its http_port, 8123, is not encrypted"),
        TlsProblem::NotPlain => {
            format!("set {url} to an https URL if this is the server's https_port, else to its http_port, 8123 by default")
        }
    }
}

/// The first question to a server: whatever is wrong is configuration.
pub(crate) fn connecting(error: &ServerError, end: End) -> Failure {
    const UNKNOWN_DATABASE: u32 = 81;
    const AUTHENTICATION_FAILED: u32 = 516;
    const REQUIRED_PASSWORD: u32 = 194;
    let mut failure = Failure::of_kind(Kind::Usage, error);
    if end == End::Source {
        failure.causes.insert(0, "the source's server cannot be used".to_owned());
    }
    match error {
        ServerError::Server { code: Some(AUTHENTICATION_FAILED | REQUIRED_PASSWORD), .. } => {
            let (variables, flag) = if end == End::Source { ("SOURCE", "source") } else { ("CLICKHOUSE", "clickhouse") };
            failure.hint(format!("set {variables}_USER, and {variables}_PASSWORD or --{flag}-password-file"))
        }
        ServerError::Server { code: Some(UNKNOWN_DATABASE), .. } => {
            failure.hint(format!("set {} to the database in which the tables are", end.setting("db")))
        }
        ServerError::Handshake { problem, .. } => failure.hint(tls_hint(*problem, end)),
        ServerError::Tls(_) => failure.hint("--ca-cert or CA_CERT names a file with the certificates to trust"),
        ServerError::Unreachable { .. } | ServerError::Exhausted { .. } | ServerError::Network { .. } | ServerError::Timeout { .. } => {
            failure.hint(format!(
                "set {} to the server's HTTP interface, which listens on port 8123 by default, and for https on 8443",
                end.setting("url")
            ))
        }
        _ => failure,
    }
}
