//! Whatever is wrong is said before a row moves, with the exit code that says whose it is: 2 usage
//! or configuration, 3 refused by a check. A wrong word in a file is shown by its line, a wrong
//! variable by its name.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod connection;
mod environment;
mod job;
mod tables;

use crate::orders::{JOB, Orders};
use crate::support::{Binary, Output, Server};

/// A few orders; no run of these tests may move one.
fn few_orders() -> Orders {
    Orders::on(Server::shared(), 100)
}

/// Runs, expects the exit code and these parts of the message, and nothing else on stdout.
#[track_caller]
pub fn fails(tool: Binary, code: i32, parts: &[&str]) -> Output {
    let output = tool.run().expect(code);
    assert_eq!(output.stdout, "", "stdout is for data\n{output}");
    assert!(output.stderr.contains("error: "), "{output}");
    for part in parts {
        assert!(output.stderr.contains(part), "{part:?} is not in the message\n{output}");
    }
    assert!(!output.stderr.contains("panicked"), "{output}");
    output
}

/// The same against a server; the target must be empty then.
#[track_caller]
pub fn refuses(orders: &Orders, tool: Binary, code: i32, parts: &[&str]) -> Output {
    let output = fails(tool, code, parts);
    assert_eq!(orders.target_rows(), 0, "rows have moved\n{output}");
    output
}

/// The job with one thing changed.
#[track_caller]
fn changed(from: &str, to: &str) -> String {
    assert_eq!(JOB.matches(from).count(), 1, "{from:?} does not say one place");
    JOB.replace(from, to)
}

/// The line of the job's file in which this stands, as messages name it.
#[track_caller]
fn line(text: &str, part: &str) -> String {
    let position =
        text.lines().position(|line| line.contains(part)).expect("the part is in the text");
    format!("line {}", position + 1)
}
