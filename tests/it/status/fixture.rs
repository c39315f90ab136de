//! `status` of the orders, as JSON.

use serde_json::Value;

use crate::ledger::fixture::Chunked;
use crate::orders::{JOB, PARTITION};
use crate::support::{Binary, binary};

/// `status` of the partition, to be given more.
pub fn tool(chunked: &Chunked) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&chunked.server().environment());
    tool.args(&["status", "--job", "job.toml", "--partition", PARTITION])
}

/// The line of JSON that a look prints.
#[track_caller]
pub fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// What it says now.
#[track_caller]
pub fn standing(tool: Binary) -> Value {
    let output = tool.arg("--json").run().expect(0);
    assert!(output.stderr.is_empty() && output.stdout.lines().count() == 1, "{output}");
    parsed(&output.stdout)
}
