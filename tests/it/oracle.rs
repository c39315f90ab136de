//! The built-in jobs against what they must produce: SELECTs that were written by hand from the
//! rules, over data that is made to be got wrong.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod derived_join;
mod exclusion;
mod experiments;
pub mod fixture;
mod generations;
mod live_writes;
mod mistakes;
mod properties;
mod sample;
mod sets;
mod trace_roots;
mod v3_to_v4;
mod variants;
