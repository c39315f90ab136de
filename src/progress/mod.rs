//! The progress of a run: a screen or lines while it runs, a summary at its end.
//!
//! Reads the pipeline's [`Counters`](crate::engine::stream::Counters), or those of a comparison, and
//! never changes them. All
//! output goes to stderr through one [`Terminal`], so that log lines and the screen do not tear each
//! other. Stdout is for data and belongs to the commands.

mod bottleneck;
mod comparison;
mod figures;
mod screen;
#[cfg(test)]
mod snapshots;
mod summary;
mod terminal;
mod view;
pub(crate) mod words;

pub(crate) use comparison::show_comparison;
pub(crate) use figures::{
    FigureSampler, Figures, Shown, available_memory_bytes, memory_bytes, peak_memory_bytes,
};
pub(crate) use screen::title;
pub(crate) use summary::{Canary, Seconds, Summary};
pub(crate) use terminal::{Terminal, TerminalOptions};
pub(crate) use view::{show, show_startup};

pub(crate) use crate::units::{bytes, count, counted, duration, row_rate};
