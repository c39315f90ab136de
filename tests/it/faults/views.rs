//! Views of the target that fail after the target has its rows.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::fixture::{Behind, SOON};
use crate::orders::JOB;
use crate::support::{Output, process};

/// A view that fails with an error that passes, as long as it is told to.
fn add_view(behind: &Behind, target: &str) {
    behind.orders.server.script(
        "CREATE TABLE broken (yes UInt8) ENGINE = Memory
         --;;
         INSERT INTO broken VALUES (1)
         --;;
         CREATE TABLE seen (order_id UInt64) ENGINE = MergeTree ORDER BY order_id SETTINGS non_replicated_deduplication_window = 1000",
    );
    let view = format!(
        "CREATE MATERIALIZED VIEW seeing TO seen AS
         SELECT order_id FROM {target} WHERE throwIf(order_id > 0 AND (SELECT max(yes) FROM broken) = 1, 'not now', toInt16(202)) = 0"
    );
    behind.orders.server.query_with(&view, &[("allow_custom_error_code_in_throwif", "1")]);
}

/// Runs until the view has failed twice, mends it, and lets the run go on.
fn run(behind: &Behind, target: &str) -> Output {
    let server = &behind.orders.server;
    let job = JOB.replace(
        "[columns]",
        "[settings.insert]\nallow_custom_error_code_in_throwif = 1\n\n[columns]",
    );
    let arguments = [
        "--target-table",
        target,
        "--max-retries",
        "20",
        "--inserters",
        "1",
        "--log-file",
        "run.log",
    ];
    let running = behind.tool().file("job.toml", &job).args(&arguments).spawn();
    let log = running.folder().join("run.log");
    let words = "the rows may be in the target, of which a view failed";
    let failed = || std::fs::read_to_string(&log).is_ok_and(|log| log.matches(words).count() >= 2);
    assert!(
        process::wait_until(SOON, failed),
        "{}",
        std::fs::read_to_string(&log).unwrap_or_default()
    );
    server.query("TRUNCATE TABLE broken");
    let output = running.wait().expect(0);
    assert!(!output.stderr.contains("no row was inserted"), "{output}");
    // What the target has is right, and its view has seen every row once.
    if target != "shipments" {
        server.query(&format!("INSERT INTO shipments SELECT * FROM {target}"));
    }
    behind.orders.assert_complete();
    let seen = server.text("SELECT count() = (SELECT count() FROM shipments FINAL), count() = uniqExact(order_id) FROM seen");
    assert_eq!(seen, "1\t1", "{output}");
    output
}

#[test]
fn where_blocks_are_recognized_the_rows_are_there_once_without_final() {
    let behind = Behind::start();
    let server = &behind.orders.server;
    server.query(
        "CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY (customer, order_id) SETTINGS non_replicated_deduplication_window = 1000",
    );
    add_view(&behind, "plain");
    let output = run(&behind, "plain");
    assert_eq!(
        server.text("SELECT count() = uniqExact(customer, order_id) FROM plain"),
        "1",
        "{output}"
    );
}

#[test]
fn where_rows_collapse_they_are_there_again_until_they_do() {
    let behind = Behind::start();
    let server = &behind.orders.server;
    server.query("ALTER TABLE shipments RESET SETTING non_replicated_deduplication_window");
    server.query("SYSTEM STOP MERGES shipments");
    add_view(&behind, "shipments");
    let output = run(&behind, "shipments");
    // The first batch came three times; this is what the words are about.
    let more: u64 = server
        .text("SELECT count() - uniqExact(customer, order_id) FROM shipments")
        .parse()
        .unwrap();
    assert!(more >= 2 * 2000, "{more} rows are there again\n{output}");
}
