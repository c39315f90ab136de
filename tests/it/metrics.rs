//! What Prometheus is told of a run, and what it sees when things go wrong.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Counts are whole numbers, which values of Prometheus hold exactly.
#![allow(clippy::float_cmp)]

mod clients;
mod documents;
pub mod exposition;
mod figures;
pub mod fixture;
mod live;
#[cfg(feature = "otlp")]
mod otlp;
mod refusals;
