//! Several partitions: filling them one after another, and what is said of them afterwards.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod fixture;
mod listing;
mod sequence;
mod verified;
