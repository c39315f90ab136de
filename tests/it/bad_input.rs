//! Errors are reported before a row moves, with the exit code of their kind: 2 for usage and
//! configuration, 3 for a check that blocks the run. An error in a file names its line, a wrong
//! variable its name.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod config_file;
mod connection;
mod environment;
mod job;
mod tables;

use crate::orders::{JOB, Orders};
use crate::support::{Binary, Server};

/// A few orders; no run of these tests may move one.
fn few_orders() -> Orders {
    Orders::on(Server::shared(), 100)
}

/// Runs, and expects the exit code, an error and nothing on stdout. Returns the error with its hints.
#[track_caller]
pub fn fails(tool: Binary, code: i32) -> String {
    let output = tool.run().expect(code);
    assert_eq!(output.stdout, "", "stdout is for data\n{output}");
    output.failure()
}

/// The same against a server; the target must be empty then.
#[track_caller]
pub fn refuses(orders: &Orders, tool: Binary, code: i32) -> String {
    let failure = fails(tool, code);
    assert_eq!(orders.target_rows(), 0, "rows have moved\n{failure}");
    failure
}

/// The job with one thing changed.
#[track_caller]
fn changed(from: &str, to: &str) -> String {
    assert_eq!(JOB.matches(from).count(), 1, "{from:?} is not in one place");
    JOB.replace(from, to)
}
