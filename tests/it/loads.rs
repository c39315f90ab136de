//! Loads of objects that the server reads: files, one chunk each.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod deliveries;
mod fixture;
mod refusals;
mod text;
