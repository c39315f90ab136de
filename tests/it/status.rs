//! `status`: where a load stands, from its ledger alone.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files;
pub mod fixture;
mod states;
mod watch;
