//! The job: a file that says what a backfill does, and the statements that are derived from it.
//!
//! [`Job`] is the file as read; [`BoundJob`] is the job held against its tables, every expression
//! checked by the target's server and every type known; [`statements`] turns that into the four
//! statements that do the work. Nothing here reads rows, and no code here evaluates an expression:
//! the server does, in each of the statements.

mod bind;
mod bound;
mod builtin;
mod denied;
mod error;
mod file;
mod fit;
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
mod lexer;
pub mod statements;

pub use bind::{BindOptions, bind};
pub use bound::{BoundColumn, BoundJob, BoundLookup, LeftOut, Owned, UsedColumn};
pub use builtin::{BUILT_IN_JOBS, BuiltInJob, load};
pub use error::JobError;
pub(crate) use error::suggestion;
pub use file::{
    Expression, Job, Lookup, LookupWindow, SettingMap, Source, StatementSettings, Target,
};
