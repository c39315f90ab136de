//! Commands that are run when something becomes of a run, and the last line on stdout.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod events;
mod last_line;
mod sequence;
mod trouble;
