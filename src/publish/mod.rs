//! Publishing by replacement: the result is built in tables beside the target, and one statement
//! replaces the target's partition.
//!
//! ```text
//! chunks ─► stage (every attempt of every chunk) ─► publish (the attempts that count) ─► REPLACE PARTITION
//! ```
//!
//! The rows of a chunk are whatever a SELECT yields, so nothing here knows jobs of rows from jobs of
//! groups. `load` decides when a step is taken, records it, and compares what was built with what the
//! job makes.

mod error;
mod late;
mod mapping;
mod pause;
mod rights;
mod snapshot;
mod stage;
mod tables;
mod writers;

pub(crate) use error::PublishError;
pub(crate) use late::{Counts, LateTables, Replaced, counts};
pub(crate) use mapping::{is_in_target_partitions, target_partitions};
pub(crate) use pause::{DRAIN_SECONDS, LONGEST_PAUSE};
pub(crate) use snapshot::{
    Snapshot, drop_snapshots, missing_rights_of_snapshot, snapshot_name, snapshot_obstacle,
};
pub(crate) use stage::{STAGED_ROWS, Stage, StagedAttempt, stage_name};
pub(crate) use tables::{Build, PublishTables, kept_name, publish_name};
pub(crate) use writers::{View, missing_rights, obstacles, views_into, views_into_table};
