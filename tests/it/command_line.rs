//! The command line as people and scripts meet it: what is printed where, what is read from where,
//! and the documents about it.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod config_file;
mod documents;
mod environment;
mod help;
mod hostile;
mod job_schema;
mod output;
mod plan;
mod references;
