//! Reports of past work: of one load, and of all partitions and what is missing between them
//! ([`history`]).
//!
//! [`gather`] reads the report of a load: what ran, its progress over time, and whether the result is
//! correct. It is printed as JSON, or rendered as a page ([`page`]) or as Markdown ([`markdown`]), which
//! contain no value that the JSON lacks.
//!
//! All data comes from the ledger and the servers' system tables. Nothing here prints or writes.

mod figures;
mod gather;
pub(crate) mod history;
mod markdown;
mod page;
mod timeline;
mod verified;

use crate::ledger::Timestamp;

pub(crate) use gather::{GatherError, ReportOptions, gather};
pub(crate) use markdown::markdown;
pub(crate) use page::{STYLE, document, page};

/// A time to the second: `2025-11-20T14:46:40Z`.
fn time_text(time: Timestamp) -> String {
    format!("{}Z", time.to_string().chars().take(19).collect::<String>())
}
