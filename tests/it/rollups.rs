//! Jobs with groups: hourly roll-ups of four tables of metrics.

mod days;
pub mod fixture;
pub mod live;
mod partitions;
mod plan;
mod refusals;
pub mod run;
mod verify;
