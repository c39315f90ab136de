//! What was done of a load, and which processes work on it.
//!
//! A *load* is one filling of one partition of a target by one job. It has a row of its own
//! ([`LoadRecord`]) and one for each of its chunks ([`ChunkRecord`]); every process that works on
//! it holds a claim ([`Claim`]). The same content is kept in one of two places: in tables of
//! ClickHouse (`tables`), or in files (`files`) where the user may not create tables.
//!
//! Beside them lie, where that is permitted, figures of how a run went ([`LoadSample`]) and what
//! comparisons found ([`Verification`]).
//!
//! This room knows records and claims. What a load is made of, when it is complete, and what is
//! done again is decided in `load`.

mod claim;
mod claiming;
mod columns;
mod cut;
pub(crate) mod definition;
mod error;
mod files;
#[doc(hidden)]
pub(crate) mod fuzzing;
mod job_definition;
mod lease;
mod parts;
mod persist;
mod process;
mod rate;
mod record;
mod recorded;
pub(crate) mod status;
mod store;
mod tables;
mod timestamp;
mod v0_1;
mod versions;

pub use claim::WorkerPart;
pub(crate) use claim::{Claim, ClaimStatus, LiveClaim};
pub use claiming::ClaimOptions;
pub(crate) use claiming::{HeldClaim, end_leftovers};
pub(crate) use columns::FORMAT_VERSION;
pub(crate) use cut::{LateRows, SourceCut};
pub(crate) use definition::LoadDefinition;
pub use error::LedgerError;
pub(crate) use job_definition::{job_definition, load_key};
pub(crate) use lease::Lease;
pub(crate) use parts::{Difference, Parts};
pub(crate) use persist::{SILENCE, ask, in_time, persist};
pub(crate) use process::ProcessIdentity;
pub(crate) use record::partitions_in_words;
pub use record::{
    ChunkRecord, ChunkStatus, LoadKey, LoadRecord, Publication, PublicationStep, ReplacedPartition,
};
pub(crate) use record::{LoadSample, Verification, undivided};
pub use recorded::Definition;
pub use store::{Ledger, LedgerLocation};
pub use timestamp::Timestamp;
pub(crate) use versions::LoadVersions;
