//! Watching the target's server while a run is on: parts, merges, memory, the replica's delay,
//! mutations.
//!
//! [`Monitor`] asks one small query every few seconds and publishes a [`Sample`]. A figure that the
//! user may not read, or that the server did not give in time, is `None`; no failure in here
//! disturbs a run. What follows from the figures is decided by `control`; they are shown and kept
//! by upper rooms.

mod questions;
mod sample;
mod task;

pub use sample::{PartitionParts, Sample};
pub use task::{INTERVAL, Monitor, Watched};
