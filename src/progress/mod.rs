//! What a person or a machine sees of a run: one screen or lines while it goes on, a summary at its
//! end.
//!
//! Reads the pipeline's [`Counters`](crate::engine::stream::Counters) and never changes them. Everything
//! here goes to stderr, through one [`Terminal`], so that log lines and the screen do not tear each
//! other; stdout is for data and belongs to the commands.

mod bar;
mod block;
mod bottleneck;
mod figures;
mod line;
mod lines;
mod memory;
mod rate;
mod screen;
#[cfg(test)]
mod snapshots;
mod summary;
mod terminal;
mod title;
mod view;
mod waiting;

pub use figures::Shown;
pub use memory::{available_memory_bytes, memory_bytes, peak_memory_bytes};
pub use summary::{Seconds, Status, Summary};
pub use terminal::{Terminal, TerminalOptions};
pub use view::show;

pub use crate::units::{byte_rate, bytes, count, counted, duration, row_rate};
