//! Rows from outside of ClickHouse into a table, in batches that count once however often they are sent.
//!
//! A batch is one block, hence atomic, and has a token of the load's id, its number and its bytes. So a retry,
//! or the same input under the same id, is recognized by a table that has a deduplication window.

mod cutter;
mod format;
mod load;

pub(crate) use cutter::{CutError, Limits};
pub(crate) use load::{
    IngestError, IngestOptions, Ingested, PINNED, TargetError, check_target, ingest,
};
