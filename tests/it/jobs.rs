//! Jobs of all kinds against the join that a person would write: names, types, keys, versions,
//! misses, and partitions of several chunks.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod changed_source;
mod checks;
mod chunk_ranges;
mod equal_versions;
mod filters;
pub mod fixture;
mod huge;
mod keys;
mod late;
mod many_chunks;
mod names;
mod narrow;
mod newest;
mod rebuilt_chunks;
mod types;
mod versions;
mod waves;
