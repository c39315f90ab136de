//! Fills one ClickHouse table from another, a partition at a time, enriching each row with
//! attributes looked up in a third.
//!
//! A job says, for every column of the target, one ClickHouse expression over `source.x`
//! and `lookup.y`. The client never evaluates an expression: it frames rows of RowBinary, looks up
//! a key, concatenates two ranges of bytes, and the server evaluates the expressions in the insert.
//! So the result is, by construction, that of one join, but as a stream that needs little memory
//! and survives faults.
//!
//! The rooms, from the lowest to the highest:
//!
//! - `formats::rowbinary`: type names, and how many bytes a value takes;
//! - `formats::native`: blocks of columns from rows;
//! - `lookup`: the arena-backed map;
//! - `clickhouse`: the only room that talks to the server;
//! - `control::monitor`: what the target's server is like while a run is on;
//! - `packs`: tables, jobs and queries that belong together;
//! - `ingest`: rows from stdin into a table, in batches that count once;
//! - `job`: the job file and the statements derived from it;
//! - `ledger`: what was done of a load, and which processes work on it;
//! - `plan`: from a partition to waves and chunks;
//! - `engine::stream`: the stages, the queue, retries, stopping;
//! - `control`: deciding whether a run waits, and being told so from another terminal;
//! - `preflight`: what is looked at before a run, and what it means;
//! - `load`: one load from its beginning to its end: plan, claim, pipeline, record, count;
//! - `ledger::status`: where a load stands, seen from its ledger alone;
//! - `health`: what a server and its tables are like, and what is wrong with them;
//! - `verify`: holding the target against the equivalent join, and mending what differs;
//! - `optiinfra`: a typed client of the tables of the pack of that name;
//! - `progress`: the screen, lines, the summary;
//! - `report`: what was done, afterwards: of one run, and of all partitions;
//! - `metrics`: a run's figures for Prometheus;
//! - `cli`: arguments, configuration, commands, exit codes.
//!
//! Beside them, `units` says how numbers are written for people.
//!
//! Lower rooms know nothing of upper ones. docs/dev/architecture.md follows a row through them.
//!
//! # A job from Rust
//!
//! [`Job`] is a job file, [`Backfill`] a job that is bound to the tables of its servers: it plans,
//! fills and verifies partitions. The file `examples/run_job.rs` follows; `examples/own_job.rs` has a
//! job of its own and two servers. Versions follow [SemVer](https://semver.org); before 1.0 any minor
//! version may change this interface.
//!
//! ```no_run
#![doc = include_str!("../examples/run_job.rs")]
//! ```

#![allow(rustdoc::private_intra_doc_links, reason = "the rooms are read in the source")]
#![cfg_attr(not(test), warn(unreachable_pub))]

mod allocator;
mod backfill;
mod causes;
pub mod cli;
mod clickhouse;
mod control;
#[cfg(test)]
mod corpus;
mod engine;
mod escape;
mod files;
mod formats;
mod health;
mod ingest;
#[doc(hidden)]
pub mod internals;
mod job;
mod ledger;
mod load;
mod lookup;
mod metrics;
pub mod optiinfra;
mod packs;
mod plan;
mod preflight;
mod progress;
mod publish;
mod report;
mod retry;
mod spans;
mod state;
mod stop;
mod sync;
mod units;
mod verify;

pub use backfill::{
    Backfill, Comparison, Error, ErrorKind, Options, PartitionPlan, Progress, RunReport,
};
pub use clickhouse::{Endpoint, Password};
pub use job::Job;
pub use state::RunOutcome;
pub use stop::Stop;
