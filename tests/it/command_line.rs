//! The command line as people and scripts meet it: what is printed where, what is read from where,
//! and the documents about it.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod documents;
mod environment;
mod help;
mod hostile;
mod job_schema;
mod output;
mod plan;
mod references;
