//! A table that counts repeated blocks once, and the tool with an input.

use std::path::PathBuf;

use crate::support::{Binary, Server, binary};

pub const WINDOW: &str = "SETTINGS non_replicated_deduplication_window = 100";

/// A table `t`, and its sums by a view.
pub fn server() -> Server {
    let server = Server::shared();
    server.query(&format!(
        "CREATE TABLE t (id UInt64, name String, at DateTime('UTC') DEFAULT 0) ENGINE = MergeTree ORDER BY id {WINDOW}"
    ));
    server.query(&format!(
        "CREATE TABLE s (k UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY k {WINDOW}"
    ));
    server.query(
        "CREATE MATERIALIZED VIEW v TO s AS SELECT id % 3 AS k, count() AS n FROM t GROUP BY k",
    );
    server
}

/// The tool with this input on stdin.
pub fn insert(server: &Server, input: &[u8], arguments: &[&str]) -> Binary {
    let binary = binary();
    let path: PathBuf = binary.folder().join("input");
    std::fs::write(path, input).unwrap();
    binary.args(&["insert"]).args(arguments).after("exec < input").envs(&server.environment())
}

/// Rows, different rows, and what the view has counted.
pub fn counts(server: &Server) -> String {
    server.text("SELECT count(), uniqExact(id, name), (SELECT sum(n) FROM s) FROM t")
}

/// JSON lines with ids from 0.
pub fn json_lines(rows: u64) -> String {
    (0..rows)
        .map(|id| format!("{{\"id\":{id},\"name\":\"n {id}\"}}\n"))
        .collect::<Vec<_>>()
        .concat()
}
