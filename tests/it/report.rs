//! What is kept of a run beside its records, and what is made of it afterwards.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod browser;
mod fixture;
mod forms;
mod killed;
mod page;
mod samples;
mod verifications;
