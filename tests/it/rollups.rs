//! Jobs with groups: hourly roll-ups of four tables of metrics.

mod fixture;
mod partitions;
mod plan;
mod refusals;
mod run;
mod verify;
