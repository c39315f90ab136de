//! Holding the target against what the job makes of the source, and mending what differs.
//!
//! ```text
//! chunks of the source ─► equivalent join ─► sums of hashes by groups of keys ─┐
//!                                                                             ├─► groups that differ ─► rows that differ ─► named
//! ranges of the target (FINAL) ────────────► sums of hashes by groups of keys ─┘
//! ```
//!
//! All hashes are made by the server, of the values as the target keeps them, and each with its
//! row's key in it. Sums are additive, so each side is asked a piece at a time, within the memory
//! that the server may use, and a comparison can be interrupted. Nothing here prints.

mod ask;
mod bytes;
mod comparable;
mod detail;
mod error;
mod examine;
mod key;
mod list;
mod naming;
mod repair;
mod report;
mod rows;
mod side;
mod state;
mod sums;
mod values;
mod verifier;

pub use error::VerifyError;
pub use report::{DifferingColumn, DifferingRow, DifferingValue, Report, ShownValue};
pub use rows::Kind;
pub use side::{Removal, Share};
pub use verifier::{Verifier, VerifyOptions, VerifyProgress};
