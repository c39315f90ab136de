//! `verify` and `repair`: every way in which a target can be wrong is found, named and mended, and
//! what live writers did is told apart.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod differences;
mod fixture;
mod generations;
mod hashes;
mod interruption;
mod memory;
mod owned;
mod partitions;
mod removal;
mod repair;
mod sample;
mod ttl;
mod types;
