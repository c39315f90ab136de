//! What a person or a machine sees of a run: bars or lines while it goes on, a summary at its end.
//!
//! Reads the pipeline's [`Counters`](crate::pipeline::Counters) and never changes them. Everything here goes to stderr, through
//! one [`Terminal`], so that log lines and bars do not tear each other; stdout is for data and belongs to the commands.

mod bars;
mod format;
mod lines;
mod memory;
mod rate;
mod summary;
mod terminal;
mod view;

pub use format::{bytes, count, duration};
pub use memory::{available_memory_bytes, peak_memory_bytes};
pub use summary::{Seconds, Status, Summary};
pub use terminal::{Terminal, TerminalOptions};
pub use view::show;
