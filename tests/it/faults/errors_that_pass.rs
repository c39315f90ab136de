//! Errors that a real server throws for a while, and what is said when they last longer than the
//! retries.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::fixture::{Behind, ROWS, SOON, SOURCE, wait_for_fault};
use crate::orders::{JOB, Orders};
use crate::support::{Direction, process};

/// Enough retries for a fault to pass, and a log to wait for.
pub const RETRYING: [&str; 4] = ["--max-retries", "30", "--log-file", "run.log"];

#[test]
fn a_killed_query_is_sent_again() {
    let behind = Behind::start();
    behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 1_000_000, 1);
    let running = behind.tool().spawn();
    wait_for_fault(&behind.proxy, 0);
    let server = &behind.orders.server;
    let reading =
        "query_id LIKE 'clickhouse-backfill-%-source-%' AND current_database = currentDatabase()";
    assert_eq!(
        server.text(&format!("SELECT count() FROM system.processes WHERE {reading}")),
        "1",
        "the server still has rows to send"
    );
    std::thread::scope(|scope| {
        // The server may answer only when the query has ended, and that is stuck until the stall is
        // over.
        let killing = scope.spawn(|| server.query(&format!("KILL QUERY WHERE {reading}")));
        let told = format!("SELECT count() FROM system.processes WHERE is_cancelled AND {reading}");
        assert!(
            process::wait_until(SOON, || server.text(&told) == "1"),
            "the query was not killed"
        );
        behind.proxy.pass();
        killing.join().unwrap();
    });
    let output = running.wait().expect(0);
    assert!(behind.orders.figure("retries") >= 1, "{output}");
    assert!(output.stderr.contains("QUERY_WAS_CANCELLED"), "the reason is shown\n{output}");
    behind.orders.assert_complete();
}

#[test]
fn a_query_that_takes_longer_than_allowed_is_sent_again() {
    let behind = Behind::start();
    let job = JOB.replace("[columns]", "[settings.source]\nmax_execution_time = 2\n\n[columns]");
    behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 1_000_000, 1);
    let running = behind.tool().file("job.toml", &job).args(&["--max-retries", "20"]).spawn();
    wait_for_fault(&behind.proxy, 0);
    std::thread::sleep(Duration::from_millis(2_500));
    behind.proxy.pass();
    let output = running.wait().expect(0);
    assert!(behind.orders.figure("retries") >= 1, "{output}");
    assert!(output.stderr.contains("TIMEOUT_EXCEEDED"), "the reason is shown\n{output}");
    behind.orders.assert_complete();
}

#[test]
fn too_many_parts_pass() {
    let orders = Orders::start(ROWS);
    let server = &orders.server;
    server.query("SYSTEM STOP MERGES shipments");
    server.query("ALTER TABLE shipments MODIFY SETTING parts_to_throw_insert = 2, parts_to_delay_insert = 2, max_delay_to_insert = 1");
    let running = orders.tool().args(&["--batch-size", "2000"]).args(&RETRYING).spawn();
    running.wait_for_log("TOO_MANY_PARTS");
    server.query("ALTER TABLE shipments RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert");
    let output = running.wait().expect(0);
    assert!(orders.figure("retries") >= 1, "{output}");
    assert!(output.stderr.contains("TOO_MANY_PARTS"), "{output}");
    orders.assert_complete();
}

/// The server's disk as the target's setting sees it: full, until it is given back.
#[test]
fn no_space_on_the_servers_disk_passes() {
    let behind = Behind::start();
    let server = &behind.orders.server;
    let running = behind.half_way_with(behind.tool().args(&RETRYING));
    server.query("ALTER TABLE shipments MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000");
    behind.proxy.pass();
    running.wait_for_log("NOT_ENOUGH_SPACE");
    server.query("ALTER TABLE shipments RESET SETTING min_free_disk_bytes_to_perform_insert");
    let output = running.wait().expect(0);
    assert!(
        behind.orders.figure("retries") >= 1 && output.stderr.contains("NOT_ENOUGH_SPACE"),
        "{output}"
    );
    behind.orders.assert_complete();
}

#[test]
fn when_retries_are_used_up_the_last_words_say_what_to_do() {
    let orders = Orders::start(ROWS);
    let server = &orders.server;
    server.query("SYSTEM STOP MERGES shipments");
    server.query("ALTER TABLE shipments MODIFY SETTING parts_to_throw_insert = 2, parts_to_delay_insert = 2, max_delay_to_insert = 1");
    let output =
        orders.tool().args(&["--batch-size", "2000", "--max-retries", "1"]).run().expect(1);
    let summary = orders.summary();
    assert_eq!(summary["status"], "failed", "{summary}");
    assert!(summary["error"].as_str().unwrap().contains("TOO_MANY_PARTS"), "{summary}");
    assert!(orders.figure("retries") >= 1 && orders.figure("errors") >= 1, "{summary}");
    let last_words =
        output.stderr.rsplit_once("error: ").map(|(_, words)| words).unwrap_or_default();
    assert!(last_words.starts_with("1 of 1 chunk failed\n"), "{output}");
    assert!(last_words.contains("chunk 1: inserting a batch of 2,000 rows"), "{output}");
    for part in [
        "failed after 2 attempts",
        "TOO_MANY_PARTS",
        "inserted rows stay",
        "run the same command again",
        "collapse",
    ] {
        assert!(last_words.contains(part), "{part}\n{output}");
    }
    server.query("ALTER TABLE shipments RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert");
    orders.tool().run().expect(0);
    orders.assert_complete();
}
