//! Jobs: the file that describes a backfill, and the statements that are derived from it.
//!
//! [`Job`] is the parsed file. [`BoundJob`] is the job bound to its tables, with every expression
//! checked by the target's server and every type known. [`statements`] derives the four statements
//! that do the work. Nothing here reads rows or evaluates expressions: the server does.

mod bind;
mod bound;
mod builtin;
mod cutoff;
mod draft;
mod error;
mod file;
mod fit;
#[doc(hidden)]
pub(crate) mod fuzzing;
mod group;
mod horizon;
mod inspect;
mod keys;
mod lexer;
mod listing;
mod manifest;
mod merging;
mod objects;
mod postgres;
pub(crate) mod removal;
mod schema;
pub(crate) mod statements;
mod tables;
pub(crate) mod target_key;
mod ttl;

pub use bind::{BindOptions, bind};
pub(crate) use bound::{
    Aggregate, BoundColumn, BoundGroup, BoundJob, BoundLookup, Horizon, UsedColumn,
};
pub use builtin::load;
pub(crate) use builtin::{BUILT_IN_JOBS, BUILT_IN_SETS, JobSet, job_text};
pub(crate) use cutoff::Moment;
pub(crate) use draft::{Draft, DraftError, DraftRequest, DraftTable, table_names};
pub(crate) use error::{JobError, suggestion};
pub use file::Job;
pub(crate) use inspect::{QueryTree, query_tree};
pub(crate) use keys::{Condition, EqualVersion, Publish, RemovalMethod};
pub(crate) use lexer::{Token, tokens};
pub(crate) use merging::{Combining, simple_value_type, with_combinator};
pub(crate) use objects::{BoundObjects, OBJECT_CHANGED, ObjectChange, PinnedObject, changes};
pub(crate) use postgres::{BoundPostgres, PostgresRanges};
pub use schema::reference;
pub(crate) use schema::schema;
pub(crate) use statements::{is_read_narrow, narrow, narrow_settings};
pub(crate) use ttl::{TableTtl, names_in, table_ttl};
