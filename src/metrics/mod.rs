//! A run's figures for Prometheus: as a page that is scraped (`server`), as a file for the
//! [textfile collector](https://github.com/prometheus/node_exporter#textfile-collector) (`file`),
//! both with the same text (`families`).
//!
//! The figures are the pipeline's counters, read when they are asked for; nothing here changes a
//! run or waits for it. The text is written by hand: the format is a few lines, all values exist
//! elsewhere, and crates for it keep values of their own.

mod exporter;
mod exposition;
mod families;
mod file;
mod observed;
mod server;

pub use exporter::{Exporter, MetricsError};
pub use observed::{Observed, RunInfo, RunState};
