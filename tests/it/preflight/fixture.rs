//! Orders, and what `plan --json` says of them.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Output, Server};

/// A plan that was printed as JSON.
pub struct Looked {
    pub output: Output,
    pub plan: Value,
}

/// `plan` on orders, without a measurement.
pub fn tool(orders: &Orders) -> Binary {
    tool_with(orders, JOB)
}

/// The same with another job.
pub fn tool_with(orders: &Orders, job: &str) -> Binary {
    let tool = crate::support::binary().file("job.toml", job).envs(&orders.server.environment());
    tool.args(&["plan", "--job", "job.toml", "--partition", PARTITION, "--measure", "0s"])
}

/// Runs it with `--json` and expects this exit code.
#[track_caller]
pub fn look(tool: Binary, code: i32) -> Looked {
    let output = tool.arg("--json").run().expect(code);
    let plan =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error} in\n{output}"));
    Looked { output, plan }
}

impl Looked {
    /// A check's verdict and what was found, with what would lift it.
    #[track_caller]
    pub fn check(&self, name: &str) -> (String, String) {
        let checks = self.plan["checks"].as_array().unwrap();
        let check = checks
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("no check {name} in\n{}", self.output));
        let lifted: Vec<_> = check["lifted_by"]
            .as_array()
            .unwrap()
            .iter()
            .map(|means| means.as_str().unwrap())
            .collect();
        let verdict = check["verdict"].as_str().unwrap().to_owned();
        (verdict, format!("{}\n{}", check["detail"].as_str().unwrap(), lifted.join("\n")))
    }

    /// Asserts the verdict, and that these words are said.
    #[track_caller]
    pub fn assert(&self, name: &str, verdict: &str, words: &[&str]) {
        let (found, said) = self.check(name);
        assert_eq!(found, verdict, "{name}: {said}");
        for part in words {
            assert!(said.contains(part), "{part:?} is not in what {name} says:\n{said}");
        }
    }
}

/// So many parts more for the partition of shipments, which no merge touches.
pub fn more_parts(server: &Server, parts: u64) {
    server.query("SYSTEM STOP MERGES shipments");
    for _ in 0..parts {
        // The table would recognize the same rows.
        server.query(
            "INSERT INTO shipments (order_id, customer) SELECT 1, toString(generateUUIDv4())",
        );
    }
}
