//! Compares the target with the equivalent join, and repairs what differs.
//!
//! ```text
//! chunks of the source ─► equivalent join ─► sums of hashes by bucket of keys ─┐
//!                                                                             ├─► differing buckets ─► differing rows ─► names and values
//! ranges of the target (FINAL) ────────────► sums of hashes by bucket of keys ─┘
//! ```
//!
//! The server computes all hashes, of the values as the target stores them and each including its
//! row's key. Sums are additive, so each side is queried in pieces that fit into the server's memory
//! limit, and a comparison can be interrupted and resumed. Nothing here prints.

mod attribution;
mod classify;
mod decode;
mod error;
mod examine;
mod excerpt;
mod group_queries;
mod groups;
mod hashes;
mod naming;
mod progress;
mod queries;
mod recorded;
mod repair;
mod report;
mod rows;
mod runner;
mod state;
mod sums;
mod verifier;

pub(crate) use attribution::{SelectedChunks, rows_of_partition};
pub(crate) use error::VerifyError;
pub(crate) use groups::{GroupVerifier, target_partitions};
pub(crate) use progress::VerifyProgress;
pub(crate) use queries::{Removal, Share};
pub(crate) use recorded::{RecordedLoad, plan_with_chunks_of};
pub(crate) use report::{DifferingRow, DifferingValue, Report, ShownValue, Tolerances};
pub(crate) use rows::Kind;
pub(crate) use state::ComparedParts;
pub(crate) use verifier::{Verifier, VerifyOptions};
