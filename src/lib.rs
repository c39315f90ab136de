//! Fills one ClickHouse table from another, a partition at a time, enriching each row with attributes looked up in a third.
//!
//! A [`job::Job`] says, for every column of the target, one ClickHouse expression over `source.x` and `lookup.y`. The client
//! never evaluates an expression: it frames rows of RowBinary, looks up a key, concatenates two ranges of bytes, and the server
//! evaluates the expressions in the insert. So the result is, by construction, that of one join, but as a stream that needs
//! little memory and survives faults.
//!
//! The rooms, from the lowest to the highest:
//!
//! - [`rowbinary`]: type names, and how many bytes a value takes;
//! - [`native`]: blocks of columns from rows;
//! - [`lookup`]: the arena-backed map;
//! - [`clickhouse`]: the only room that talks to the server;
//! - [`job`]: the job file and the statements derived from it;
//! - [`ledger`]: what was done of a load, and who is at it;
//! - [`plan`]: from a partition to waves and chunks;
//! - [`pipeline`]: the stages, the queue, retries, stopping;
//! - [`load`]: one load from its beginning to its end: plan, claim, pipeline, record, count;
//! - [`verify`]: holding the target against the equivalent join, and mending what differs;
//! - [`progress`]: bars, lines, the summary;
//! - [`cli`]: arguments, configuration, commands, exit codes.
//!
//! Lower rooms know nothing of upper ones. ARCHITECTURE.md follows a row through them.

pub mod cli;
pub mod clickhouse;
#[cfg(test)]
mod corpus;
pub mod job;
pub mod ledger;
pub mod load;
pub mod lookup;
pub mod native;
pub mod pipeline;
pub mod plan;
pub mod progress;
pub mod rowbinary;
pub mod verify;
