//! What is kept of a run beside its records, and what is made of it afterwards.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod browser;
mod fixture;
mod forms;
mod killed;
mod page;
mod samples;
mod verifications;
