//! What can go wrong with a ledger.

use std::path::PathBuf;
use std::time::Duration;

use super::LiveClaim;
use crate::clickhouse::{Error as ServerError, ErrorClass};
use crate::units::{counted, duration};

/// A ledger that did not do what it was asked, or that forbids something.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The server refused or was lost.
    #[error("{doing} the ledger's table {table} failed")]
    Server {
        /// What was done to it.
        doing: &'static str,
        /// The table, with its database.
        table: String,
        /// The server's words.
        source: Box<ServerError>,
    },
    /// The tables are not there, and cannot be made.
    #[error("the ledger's table {table} is not there and cannot be created")]
    MayNotCreate {
        /// The table, with its database.
        table: String,
        /// The server's words.
        source: Box<ServerError>,
    },
    /// The tables lack columns, and cannot get them.
    #[error(
        "the ledger's table {table} was created by version 0.1 and lacks columns that this version writes"
    )]
    MayNotUpgrade {
        /// The table, with its database.
        table: String,
        /// The statement that adds the columns.
        statement: String,
        /// The server's words.
        source: Box<ServerError>,
    },
    /// A file or folder cannot be read or written.
    #[error("{doing} the ledger's file {} failed", path.display())]
    File {
        /// What was done to it.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file cannot be read, or is not what it should be.
    #[error("the ledger's file {} is damaged: {message}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// What is safe, and what can be done.
        advice: &'static str,
        /// Whether a living process may be about to write it anew.
        may_pass: bool,
    },
    /// A record is not what it should be.
    #[error("the ledger's {what} cannot be understood: {message}")]
    Malformed {
        /// Which record.
        what: String,
        /// What is wrong.
        message: String,
    },
    /// Somebody else is at it.
    #[error("{}", held(claim))]
    Held {
        /// Who.
        claim: Box<LiveClaim>,
    },
    /// Somebody else has taken over.
    #[error("{}", superseded(by.as_deref(), *silence))]
    ClaimLost {
        /// Who, where that is known.
        by: Option<Box<LiveClaim>>,
        /// How long no heartbeat was confirmed, where that is why.
        silence: Option<Duration>,
    },
    /// The claim could not be confirmed for too long.
    #[error("no heartbeat of this process was confirmed for {}, so no insert may begin", duration(*silence))]
    LeaseOver {
        /// How long.
        silence: Duration,
        /// What the last heartbeat met.
        source: Box<LedgerError>,
    },
    /// The server cannot be asked for inserts of a process that was taken for dead.
    #[error("asking for the inserts of a process that was taken for dead failed")]
    Processes(#[source] Box<ServerError>),
    /// Inserts of a process that was taken for dead do not end.
    #[error("{} of a process that was taken for dead did not end within {}: {}", counted(queries.len() as u64, "insert"), duration(*after), queries.join(", "))]
    Leftovers {
        /// Their query ids.
        queries: Vec<String>,
        /// How long they were waited for.
        after: Duration,
    },
    /// Nothing was heard of it for too long.
    #[error("the ledger did not answer within {} s", after.as_secs())]
    Silent {
        /// How long.
        after: Duration,
    },
    /// A task ended unexpectedly.
    #[error("a task of the ledger ended unexpectedly: {0}")]
    Task(String),
}

impl LedgerError {
    /// Whether the user lacks a right.
    pub fn is_access_denied(&self) -> bool {
        matches!(self, Self::Server { source, .. } | Self::Processes(source) if source.is_access_denied())
    }

    /// Whether a disk of the server is full.
    pub(super) fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Server { source, .. } if source.is_out_of_space())
    }

    /// Whether the server answered, and said no.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Server { source, .. } | Self::Processes(source) if source.code().is_some())
    }

    /// Whether something was to be written.
    pub(super) fn is_writing(&self) -> bool {
        matches!(self, Self::Server { doing: "writing", .. } | Self::File { doing: "writing", .. })
    }

    /// What it was caused by, for log lines.
    pub fn cause(&self) -> String {
        std::error::Error::source(self).map(ToString::to_string).unwrap_or_default()
    }

    /// What may be done after it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Server { source, .. } | Self::Processes(source) => source.class(),
            Self::LeaseOver { source, .. } => source.class(),
            Self::Silent { .. } | Self::Leftovers { .. } | Self::Damaged { may_pass: true, .. } => {
                ErrorClass::Retry
            }
            _ => ErrorClass::Fatal,
        }
    }
}

/// A process, for people.
fn who(claim: &LiveClaim) -> String {
    let process = &claim.claim.process;
    let part = if claim.claim.part.workers > 1 {
        format!("worker {}, ", claim.claim.part)
    } else {
        String::new()
    };
    let (host, pid, seconds) = (&process.host, process.pid, claim.age.as_secs_f64());
    format!(
        "{part}process {pid} on {host}, whose last heartbeat came {seconds:.1} s ago, at {}",
        claim.heartbeat_at
    )
}

fn held(claim: &LiveClaim) -> String {
    format!("{} is being filled by {}", claim.claim.key, who(claim))
}

fn superseded(by: Option<&LiveClaim>, silence: Option<Duration>) -> String {
    let after = silence.map_or_else(String::new, |silence| {
        format!(" after {} without a confirmed heartbeat", duration(silence))
    });
    match by {
        Some(other) => format!(
            "this process was taken for dead{after}, and its work was taken over by {}",
            who(other)
        ),
        None => format!(
            "this process was taken for dead{after}: its claim on the load is gone from the ledger"
        ),
    }
}
