//! `insert`: rows from stdin, once, however often they are sent.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod faults;
mod fixture;
mod formats;
mod repeats;
