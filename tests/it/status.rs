//! `status`: where a load stands, from its ledger alone.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files;
pub mod fixture;
mod states;
mod watch;
