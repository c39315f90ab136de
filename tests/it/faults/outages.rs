//! A server that cannot be reached is waited for by all together, without using up retries.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::fixture::{Behind, INSERT, SOON, SOURCE, exception, wait_for_fault};
use crate::support::{Direction, Running, process};

/// Waits until the run waits for its server, as its log in `run.log` says.
#[track_caller]
fn wait_for_outage(running: &Running) {
    running.wait_for_log("cannot be reached");
}

#[test]
fn an_outage_does_not_use_up_retries() {
    let behind = Behind::start();
    // No retry is allowed at all.
    let running =
        behind.half_way_with(behind.tool().args(&["--max-retries", "0", "--log-file", "run.log"]));
    behind.proxy.refuse();
    behind.proxy.reset_all();
    wait_for_outage(&running);
    behind.proxy.pass();
    let output = running.wait().expect(0);
    let summary = behind.orders.summary();
    assert_eq!(behind.orders.figure("outages"), 1, "all tasks wait for the same one\n{output}");
    assert!(summary["outage_seconds"].as_f64().unwrap() > 0.0, "{summary}");
    assert_eq!(behind.orders.figure("errors"), 0, "{output}");
    for words in ["the server cannot be reached, waiting for it", "the server answers again"] {
        assert_eq!(output.stderr.matches(words).count(), 1, "{words}\n{output}");
    }
    behind.orders.assert_complete();
}

#[test]
fn what_an_outage_ended_is_still_allowed_its_retries() {
    let behind = Behind::start();
    let running = behind.half_way_with(behind.tool().args(&[
        "--max-retries",
        "1",
        "--readers",
        "1",
        "--log-file",
        "run.log",
    ]));
    behind.proxy.refuse();
    behind.proxy.reset_all();
    wait_for_outage(&running);
    let before = behind.proxy.fired();
    behind.proxy.pass();
    // The statement is sent again after a pause of at least a quarter of a second.
    behind.proxy.after_request_with(SOURCE).answer([exception(241, "MEMORY_LIMIT_EXCEEDED")]);
    let output = running.wait().expect(0);
    assert_eq!(
        behind.proxy.fired(),
        before + 1,
        "the one retry that is allowed was needed\n{output}"
    );
    behind.orders.assert_complete();
}

#[test]
fn a_server_that_stays_away_ends_the_run() {
    let behind = Behind::start();
    let running = behind.half_way_with(behind.tool().args(&["--outage-wait", "1s"]));
    behind.proxy.refuse();
    behind.proxy.reset_all();
    let output = running.wait().expect(1);
    for part in [
        "the server could not be reached for 1 s",
        "refused",
        "inserted rows stay",
        "run the same command again",
    ] {
        assert!(output.stderr.contains(part), "{part}\n{output}");
    }
    behind.proxy.pass();
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}

#[test]
fn inserts_in_flight_get_their_time_after_a_signal_and_no_more() {
    let behind = Behind::start();
    behind.proxy.after_request_with(INSERT).stall_at(Direction::ToClient, 0, 1);
    let running = behind.tool().args(&["--drain-timeout", "1s"]).spawn();
    wait_for_fault(&behind.proxy, 0);
    running.signal("TERM");
    let output = running.wait().expect(130);
    assert!(output.stderr.contains("inserts in flight were not acknowledged in time"), "{output}");
    assert_eq!(behind.orders.summary()["status"], "interrupted");
    behind.proxy.pass();
    let server = &behind.orders.server;
    let inserting = "SELECT count() FROM system.processes WHERE query_id LIKE 'clickhouse-backfill-%-insert-%' AND current_database = currentDatabase()";
    assert!(process::wait_until(SOON, || server.text(inserting) == "0"), "the insert goes on");
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}

#[test]
fn a_server_that_is_down_when_a_run_starts_is_waited_for() {
    let behind = Behind::start();
    behind.proxy.refuse();
    let running = behind.tool().args(&["--max-retries", "0", "--log-file", "run.log"]).spawn();
    wait_for_outage(&running);
    behind.proxy.pass();
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("the server answers again"), "{output}");
    behind.orders.assert_complete();
}

/// What comes before the first row: holding the job against the tables, the ledger and its claim,
/// the plan, the question of repeats.
#[test]
#[ignore = "slow: an outage in each step"]
fn what_comes_before_the_first_row_outlasts_an_outage() {
    let behind = Behind::start();
    for label in ["inspect", "functions", "ledger", "plan", "schema"] {
        let before = behind.proxy.fired();
        behind.begin_again();
        behind.proxy.after_request_with(format!("-{label}-").as_bytes()).reset_at(
            Direction::ToClient,
            0,
            1,
        );
        let output = behind.tool().args(&["--max-retries", "0"]).run().expect(0);
        assert_eq!(behind.proxy.fired(), before + 1, "{label}\n{output}");
        behind.orders.assert_complete();
    }
    // It ends when that has been long enough.
    let database = behind.orders.server.database();
    for (label, words) in [
        ("plan", format!("of the table {database}.orders failed")),
        ("ledger", format!("the ledger's table {database}.load_state failed")),
    ] {
        behind.proxy.after_request_with(format!("-{label}-").as_bytes()).reset_at(
            Direction::ToClient,
            0,
            1000,
        );
        let output = behind.tool().args(&["--outage-wait", "1s"]).run().expect(1);
        assert!(output.stderr.contains(&words), "{label}: {words}\n{output}");
        behind.proxy.pass();
    }
    assert_eq!(
        behind.orders.server.text("SELECT count() FROM load_claims FINAL WHERE status = 'held'"),
        "0"
    );
}

#[test]
fn a_server_that_stays_down_is_said_and_a_signal_ends_the_wait() {
    let behind = Behind::start();
    behind.proxy.refuse();
    let output = behind.tool().args(&["--outage-wait", "1s"]).run().expect(2);
    for part in ["waiting for it", "onnection refused", "hint: set --clickhouse-url"] {
        assert!(output.stderr.contains(part), "{part}\n{output}");
    }
    let running = behind.tool().args(&["--log-file", "run.log"]).spawn();
    wait_for_outage(&running);
    running.signal("INT");
    let output = running.wait().expect(130);
    assert!(output.stderr.contains("interrupted before the first row"), "{output}");
}
