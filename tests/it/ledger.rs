//! What is recorded of a load: the records themselves, resuming, claims, workers, and ledgers that
//! fail.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod changes;
mod claims;
mod definitions;
mod documents;
pub mod files;
pub mod fixture;
mod lease;
mod records;
mod resume;
mod slow_claims;
mod trouble;
pub mod v0_1;
mod versions;
mod workers;
