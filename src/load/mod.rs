//! One load, from its beginning to its end: deciding what is left of it, claiming it, planning,
//! running the pipeline, recording what becomes of each chunk, counting, completing.
//!
//! ```text
//! prepare ─► already complete · refused (changed, or somebody is at it, or the insert does not fit) · no rows
//!    └─► Load ─► begin (the record is written) ─► run ─► completed · stopped · this worker's part is done · failed
//! ```
//!
//! Upper rooms choose options and show what happens; nothing here prints.

mod begin;
mod claim;
mod error;
mod finish;
mod live;
mod objects;
mod prepare;
mod publishing;
mod record;
mod recorder;
mod request;
mod rollback;
mod run;
mod sampling;
mod snapshot;
mod tables;
mod undo;

pub(crate) use claim::ExclusiveClaim;
pub(crate) use error::LoadError;
pub(crate) use objects::begins_anew;
pub(crate) use prepare::{Prepared, changed, prepare};
pub(crate) use request::{HostStats, LoadRequest, Observe, Recording, definition, new_id};
pub(crate) use rollback::{Rollback, RollbackRequest};
pub(crate) use run::{ChunkCounts, Load};
pub(crate) use tables::TablesError;
pub(crate) use undo::{Undo, UndoError, UndoRequest};
