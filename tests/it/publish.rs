//! Partitions that are built beside their target and replace what stood there.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod fixture;
mod kills;
mod refusals;
mod replacing;
mod rollback;
pub mod snapshot;
