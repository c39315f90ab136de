//! What was done of a load, and who is at it.
//!
//! A *load* is one filling of one partition of a target by one job. It has a row of its own
//! ([`LoadRecord`]) and one for each of its chunks ([`ChunkRecord`]); every process that works on
//! it holds a claim ([`Claim`]). The same content is kept in one of two places: in tables of
//! ClickHouse (`tables/`), or in files (`files/`) where the user may not create tables.
//!
//! Beside them lie, where that is permitted, figures of how a run went ([`LoadSample`]) and what
//! comparisons found ([`Verification`]).
//!
//! This room knows records and claims. What a load is made of, when it is complete, and what is
//! done again is decided in `load`.

mod claim;
mod claiming;
mod error;
mod files;
mod fingerprint;
#[doc(hidden)]
pub mod fuzzing;
mod leftovers;
mod location;
mod persist;
mod process;
mod record;
mod sample;
pub mod status;
mod store;
mod tables;
mod timestamp;
mod verification;

pub use claim::{Claim, ClaimStatus, LiveClaim, Slot, SlotError};
pub use claiming::{ClaimOptions, HeldClaim};
pub use error::LedgerError;
pub use fingerprint::{Difference, Fingerprint};
pub use leftovers::kill_leftovers;
pub use location::{LedgerLocation, LedgerLocationError};
pub use persist::{SILENCE, ask, in_time, persist};
pub use process::ProcessIdentity;
pub use record::{ChunkRecord, ChunkStatus, LoadKey, LoadRecord, LoadStatus};
pub use sample::LoadSample;
pub use store::Ledger;
pub use timestamp::Timestamp;
pub use verification::Verification;
