//! Retries and outages: the one policy of the program for a statement that fails.
//!
//! ```text
//! attempt ──ok──► answer
//!    ▲  └─fails─► FailureKind ──decide──► RetryAfter(pause) ──────────────────────────┐
//!    │                          ├──► AwaitServer ──OutageGuard──► back ───────────┤
//!    │                          │                       └────► lost: RetryError   │
//!    │                          └──► GiveUp: RetryError                           │
//!    └───────────────────────────────── pause, unless the run stops ◄─────────────┘
//! ```
//!
//! - [`policy`](RetryPolicy) decides: a pure function of the failure, of what happened before, and
//!   of the time.
//! - `driver` repeats a `Retryable` until it succeeds or a decision ends it.
//! - `outage` probes a server that went silent, once for all tasks that need it.
//!
//! Crates for retries (`backon`, `tokio-retry`, `backoff`) count attempts and sleep. They have no
//! place for what matters here: an outage must not use up attempts, all tasks wait for the server
//! behind one probe, a stop signal ends a pause, and each pause and its cause is counted. What is
//! left of such a crate would be the computation of a pause, which is a few lines.
//!
//! Two loops of the program are not retries and stay where they are: heartbeats, which come at
//! fixed times whatever became of the one before, and the contest of two processes for one claim
//! of the ledger.

mod driver;
mod outage;
mod policy;

pub(crate) use driver::{
    Attempts, FailedAttempt, OutageHandling, RetryError, Retryable, StartupRetry, in_crowd,
};
pub(crate) use outage::{Outage, OutageGuard, RetryObserver, RetryStatus};
pub(crate) use policy::{FailureKind, RetryCause, RetryPolicy, milliseconds};
