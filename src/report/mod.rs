//! Reports of past work: of one load ([`run`]), and of all partitions and what is missing between
//! them ([`history`]).
//!
//! All data comes from the ledger and the servers' system tables. Nothing here prints or writes.

pub(crate) mod history;
pub(crate) mod run;

use crate::ledger::Timestamp;

/// A time to the second: `2025-11-20T14:46:40Z`.
fn time_text(time: Timestamp) -> String {
    format!("{}Z", time.to_string().chars().take(19).collect::<String>())
}
