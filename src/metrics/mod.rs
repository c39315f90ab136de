//! A run's metrics for Prometheus: as a page that is scraped and as a file for the [textfile
//! collector](https://github.com/prometheus/node_exporter#textfile-collector) (`exporter`), both
//! with the same text (`families`).
//!
//! The values are the stream's counters, read on request; nothing here changes a run or makes it
//! wait. The text is written by hand: the format is a few lines, every value exists elsewhere, and
//! the crates for it keep a registry of their own.

mod exporter;
mod exposition;
mod families;
mod observed;

pub(crate) use exporter::{Exporter, MetricsError};
pub(crate) use observed::{ObservedRun, RunInfo};
