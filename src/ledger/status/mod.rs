//! Where a load stands, seen from its ledger alone: from any host, without a word from the
//! processes that work on it.
//!
//! This room reads, and judges what it has read; it changes nothing. What is shown of it, and which
//! command comes next, is decided in `cli`.

mod rate;
mod read;
mod standing;

pub use read::read;
pub use standing::{Process, Standing, State};
