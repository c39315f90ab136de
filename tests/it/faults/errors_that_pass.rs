//! Errors that a real server throws for a while, and what is said when they last longer than the
//! retries.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::fixture::{Behind, ROWS, SOON, SOURCE, wait_for_fault};
use crate::orders::{JOB, Orders};
use crate::support::{Direction, Server, ServerOptions, process};

/// Enough retries for a fault to pass, and a log to wait for.
const RETRYING: [&str; 4] = ["--max-retries", "30", "--log-file", "run.log"];

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

/// A view makes each insert slow, and the user may send two queries at once.
#[test]
fn too_many_queries_at_once_pass() {
    let orders = Orders::on(
        limited("<max_concurrent_queries_for_user>2</max_concurrent_queries_for_user>", ""),
        ROWS,
    );
    let server = &orders.server;
    server.query("CREATE TABLE slow (x UInt8) ENGINE = Null");
    server.query("CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleep(1) AS x FROM shipments");
    let tool = orders.tool().env("CLICKHOUSE_USER", "limited");
    let running = tool.args(&RETRYING).args(&["--batch-size", "2000", "--inserters", "4"]).spawn();
    running.wait_for_log("TOO_MANY_SIMULTANEOUS_QUERIES");
    server.query("DROP VIEW slowly SYNC");
    let output = running.wait().expect(0);
    assert!(
        orders.figure("retries") >= 1 && output.stderr.contains("TOO_MANY_SIMULTANEOUS_QUERIES"),
        "{output}"
    );
    orders.assert_complete();
}

#[test]
fn limits_that_last_are_tried_again_and_then_shown() {
    let quota = "<interval><duration>86400</duration><query_inserts>4</query_inserts></interval>";
    let orders = Orders::on(limited("<readonly>0</readonly>", quota), ROWS);
    let tool = || orders.tool().args(&["--batch-size", "2000", "--max-retries", "1"]);
    let memory =
        JOB.replace("[columns]", "[settings.source]\nmax_memory_usage = 1000000\n\n[columns]");
    for (tool, name, what) in [
        // A ledger in tables would wait for the quota as well.
        (
            tool().env("CLICKHOUSE_USER", "limited").args(&["--ledger", "file:ledger"]),
            "QUOTA_EXCEEDED",
            "inserting a batch of 2,000 rows",
        ),
        (tool().file("job.toml", &memory), "MEMORY_LIMIT_EXCEEDED", "reading chunk 1"),
    ] {
        let output = tool.run().expect(1);
        let summary = orders.summary();
        assert_eq!(summary["status"], "failed", "{summary}");
        assert!(orders.figure("retries") >= 1 && orders.figure("errors") >= 1, "{summary}");
        let last_words =
            output.stderr.rsplit_once("error: ").map(|(_, words)| words).unwrap_or_default();
        for part in [name, what, "run the same command again"] {
            assert!(last_words.contains(part), "{part}\n{output}");
        }
    }
    orders.tool().run().expect(0);
    orders.assert_complete();
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

/// A server with a user `limited`, who has this profile and this quota.
fn limited(profile: &str, quota: &str) -> Server {
    let users = format!(
        "<clickhouse><profiles><limited>{profile}</limited></profiles><quotas><limited>{quota}</limited></quotas>
        <users><limited><password></password><networks><ip>127.0.0.1</ip></networks><profile>limited</profile><quota>limited</quota>
        <default_database>default</default_database></limited></users></clickhouse>"
    );
    Server::start_with(ServerOptions { users_xml: Some(users), ..ServerOptions::default() })
}
