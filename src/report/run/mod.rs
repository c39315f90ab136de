//! The report of one load: what ran, its progress over time, and whether the result is correct.
//!
//! [`gather`] reads a [`RunReport`] from the ledger. It is printed as JSON, or rendered as a page
//! ([`page`]) or as Markdown ([`markdown`]), which contain no value that the JSON lacks.

mod figures;
mod gather;
mod markdown;
mod page;
mod timeline;

pub(crate) use gather::{GatherError, ReportOptions, gather};
pub(crate) use markdown::markdown;
pub(crate) use page::page;
