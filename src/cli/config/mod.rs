//! What the commands work with, resolved from their arguments: files with passwords and certificates
//! are read, alternatives are decided, empty values are dropped.
//!
//! `args` only parses, and the commands see these structs.

mod flags;
mod load;
mod run;
mod servers;

pub(crate) use load::{CompareConfig, JobConfig, LedgerConfig, LoadConfig};
pub(crate) use run::{Partitions, RunConfig, SessionConfig};
pub(crate) use servers::{ServerConfig, first_line};
