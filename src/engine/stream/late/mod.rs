//! Rows that found nothing in the lookup's window: their keys are looked up once more, without it,
//! before they count as unmatched.
//!
//! ```text
//! enrich ─ miss ─► rows put aside ─ full, or the chunk ends ─► their keys, each once ─► late query ─► late batches ─► queue
//!                                                                  └─► answers that are remembered
//! ```
//!
//! Misses of a chunk are put aside until so many bytes have gathered. Then the keys that are not
//! known yet are asked for, in few large queries, since a query costs the server a scan of its key
//! columns, however few keys it names. Meanwhile the reader goes on, and fills the next; it waits
//! only when that is full as well. So a reader has one late query in flight at most.
//!
//! Which rows lie in which batch depends on the rows alone, not on how the network cuts them: rows
//! that matched in the window are one sequence, the others are another, and where those never
//! filled the room for them, they follow the first in its own batches.
//!
//! What is known of a key, "not there" included, is remembered by the wave within a bound
//! (`answers`), for traces that many rows name.

mod advice;
mod answers;
mod aside;
mod ask;
mod lookup;
mod rows;

pub(super) use advice::Advice;
pub(super) use lookup::LateLookup;
pub(super) use rows::LateRows;
