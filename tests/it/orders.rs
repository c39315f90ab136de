//! A small job of the tests' own: orders enriched with their customers, and the same result by a
//! join that is written by hand.
//!
//! There are several versions, deletions on both sides, orders whose customer is not there, and
//! customers whose city is NULL.
// A test fails by a panic. No test uses all of the helpers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code
)]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Binary, Server, binary, process};

/// The partition that holds all orders.
pub const PARTITION: &str = "202506";

/// The job, as a file.
pub const JOB: &str = r#"name = "shipments"
description = "shipments from orders and customers"

[source]
table = "orders"
final = true
version = "version"
deleted = "is_deleted"
join_key = ["customer"]
time = "placed"

[lookup]
table = "customers"
join_key = ["id"]
version = "version"
deleted = "is_deleted"

[target]
table = "shipments"

[columns]
order_id = "source.id"
customer = "source.customer"
placed = "source.placed"
amount = "source.amount * 2"
note = "concat(source.note, ' to ', coalesce(lookup.city, 'nowhere'))"
tags = "lookup.tags"
letter = "lookup.letter"
version = "source.version"
"#;

/// The tables. `note` and `letter` are the last columns that are read, so their end is a row's end.
const TABLES: &str = "
CREATE TABLE orders (id UInt64, customer String, placed DateTime('UTC'), amount Decimal(18, 2), version UInt32, is_deleted UInt8, note String)
ENGINE = ReplacingMergeTree(version, is_deleted) PARTITION BY toYYYYMM(placed) ORDER BY (customer, id)
--;;
CREATE TABLE customers (id String, city Nullable(String), tags Array(String), version UInt32, is_deleted UInt8, letter String)
ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
--;;
CREATE TABLE shipments (order_id UInt64, customer String, placed DateTime64(3, 'UTC'), amount Decimal(18, 2), note String, tags Array(String),
    letter String, version UInt32)
ENGINE = ReplacingMergeTree(version) ORDER BY (customer, order_id) SETTINGS non_replicated_deduplication_window = 1000
--;;
CREATE TABLE expected AS shipments ENGINE = Memory
";

/// Orders and customers, and a folder for the files of runs.
pub struct Orders {
    pub server: Server,
    folder: TempDir,
}

impl Orders {
    /// This number of orders of 600 bytes, in a database of the test's own.
    pub fn start(rows: u64) -> Self {
        Self::on(Server::shared(), rows)
    }

    /// The same on this server.
    pub fn on(server: Server, rows: u64) -> Self {
        server.script(TABLES);
        server.query(&format!(
            "INSERT INTO orders SELECT number, concat('c', toString(number % 500)), toDateTime('2025-06-01 00:00:00', 'UTC') + number % 2500000,
                number / 100, 1, 0, concat('note ', toString(number), repeat(' and so on', 50)) FROM numbers({rows})"
        ));
        server.query("INSERT INTO orders SELECT id, customer, placed, amount + 1, 2, id % 50 = 0, concat(note, ', revised') FROM orders WHERE id % 10 = 0");
        server.query(
            "INSERT INTO customers SELECT concat('c', toString(number)), if(number % 7 = 0, NULL, concat('city ', toString(number))),
                ['a', toString(number)], 1, 0, repeat('dear ', 200) FROM numbers(400)",
        );
        server.query("INSERT INTO customers SELECT id, concat(city, ', moved'), tags, 2, id LIKE '%3', letter FROM customers WHERE id LIKE '%1' OR id LIKE '%3'");
        Self { server, folder: TempDir::with_prefix("orders-").unwrap() }
    }

    /// The tool with the job, the partition, this server and a summary; for more arguments. Each
    /// run fills the whole partition, whatever was recorded of those before.
    pub fn tool(&self) -> Binary {
        self.tool_at(self.server.url())
    }

    /// The same with another URL, such as that of a proxy before the server.
    pub fn tool_at(&self, url: &str) -> Binary {
        self.resuming_tool_at(url).env("RESTART", "true")
    }

    /// The same, but a run continues the load of earlier runs, and does nothing if it is completed.
    pub fn resuming_tool_at(&self, url: &str) -> Binary {
        let summary = self.summary_file();
        let tool = binary()
            .file("job.toml", JOB)
            .envs(&self.server.environment())
            .env("CLICKHOUSE_URL", url)
            .env("PARTITION", PARTITION);
        tool.args(&["run", "--job", "job.toml", "--summary-json"])
            .arg(summary)
            .limit(Duration::from_secs(180))
    }

    /// A file in the folder for the files of runs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn summary_file(&self) -> PathBuf {
        self.file("summary.json")
    }

    /// The summary of the last run.
    pub fn summary(&self) -> Value {
        let text = std::fs::read_to_string(self.summary_file()).expect("the run wrote a summary");
        serde_json::from_str(&text).expect("the summary is JSON")
    }

    /// A figure of the last run.
    pub fn figure(&self, name: &str) -> u64 {
        self.summary()[name].as_u64().unwrap_or_else(|| panic!("{name} in {}", self.summary()))
    }

    /// Rows of the target, repeated ones included.
    pub fn target_rows(&self) -> u64 {
        self.server.text("SELECT count() FROM shipments").parse().unwrap()
    }

    /// Waits until some rows are in the target.
    pub fn wait_for_rows(&self) {
        assert!(
            process::wait_until(Duration::from_secs(30), || self.target_rows() > 0),
            "no row was inserted"
        );
    }

    /// Holds the target against the join.
    #[track_caller]
    pub fn assert_complete(&self) {
        self.server.query("TRUNCATE TABLE expected");
        self.server.query(
            "INSERT INTO expected SELECT o.id, o.customer, o.placed, o.amount * 2, concat(o.note, ' to ', coalesce(c.city, 'nowhere')), c.tags, c.letter, o.version
            FROM (SELECT * FROM orders FINAL WHERE toYYYYMM(placed) = 202506) AS o LEFT ANY JOIN (SELECT * FROM customers FINAL) AS c ON o.customer = c.id
            SETTINGS join_use_nulls = 0",
        );
        // Equal in number and in the sum of the rows' hashes: far cheaper than rows, which are looked
        // at only where these differ.
        let rows = |table: &str| {
            self.server.text(&format!("SELECT count(), sum(sipHash64(*)) FROM {table}"))
        };
        let (found, expected) = (rows("shipments FINAL"), rows("expected"));
        if found == expected && !expected.starts_with("0\t") {
            return;
        }
        let figures = self.server.text(
            "SELECT (SELECT count() FROM expected) > 0, (SELECT count() FROM shipments FINAL) = (SELECT count() FROM expected),
                (SELECT count() FROM (SELECT * FROM shipments FINAL EXCEPT SELECT * FROM expected)),
                (SELECT count() FROM (SELECT * FROM expected EXCEPT SELECT * FROM shipments FINAL))",
        );
        panic!("any rows, as many rows, rows too many, rows missing: {figures}");
    }
}
