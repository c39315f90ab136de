//! One run in full: what ran, how it went, whether the result is right.
//!
//! [`gather`] puts a [`RunReport`] together from the ledger. Its figures are printed as JSON, and
//! made into a page (`page/`) or Markdown (`markdown`), which add words and pictures and no figure
//! of their own.

mod course;
mod figures;
mod gather;
mod markdown;
mod page;
mod verdict;

pub use course::CoursePoint;
pub use figures::{
    ChunkFigures, Column, LoadFigures, ProcessFigures, RunReport, Verdict, VerdictLevel,
    VerificationFigures,
};
pub use gather::{GatherError, ReportOptions, gather};
pub use markdown::markdown;
pub use page::page;
