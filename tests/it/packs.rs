//! Packs: their tables in a database, their jobs, their queries.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod apply;
mod client;
mod finops;
pub mod fixture;
mod optiinfra;
mod query;
mod shop;
