//! Being asked to end: what is in flight is finished, and the same command goes on.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use super::fixture::{Behind, INSERT, LOOKUP, ROWS, wait_for_fault};
use crate::support::Direction;

#[test]
#[ignore = "slow: about 7 s"]
fn an_interrupted_run_finishes_what_is_in_flight_and_can_be_run_again() {
    let behind = Behind::start();
    for signal in ["INT", "TERM", "HUP"] {
        behind.orders.server.query("TRUNCATE TABLE shipments");
        let running = behind.half_way();
        running.signal(signal);
        let output = running.wait().expect(130);
        assert!(
            output.stderr.contains(&format!("SIG{signal}: finishing inserts in flight")),
            "{output}"
        );
        assert!(output.stderr.contains("run the same command again"), "{output}");
        let summary = behind.orders.summary();
        assert_eq!(summary["status"], "interrupted", "{summary}");
        let inserted = behind.orders.figure("inserted_rows");
        assert!(inserted > 0 && inserted < ROWS, "{summary}");
        assert_eq!(behind.orders.target_rows(), inserted, "what the summary counts is there");
        behind.proxy.pass();
    }
    behind.tool().run().expect(0);
    assert_eq!(behind.orders.summary()["status"], "completed");
    behind.orders.assert_complete();
}

#[test]
fn a_run_that_is_interrupted_while_attributes_load_has_inserted_nothing() {
    let behind = Behind::start();
    behind.proxy.after_request_with(LOOKUP).stall_at(Direction::ToClient, 100_000, 1);
    let running = behind.tool().spawn();
    wait_for_fault(&behind.proxy, 0);
    running.signal("TERM");
    let output = running.wait().expect(130);
    assert_eq!(
        (behind.orders.figure("inserted_rows"), behind.orders.target_rows()),
        (0, 0),
        "{output}"
    );
    assert_eq!(behind.orders.summary()["status"], "interrupted");
}

#[test]
fn a_second_signal_ends_at_once() {
    let behind = Behind::start();
    behind.proxy.after_request_with(INSERT).stall_at(Direction::ToClient, 0, 1);
    let mut running = behind.tool().spawn();
    wait_for_fault(&behind.proxy, 0);
    running.signal("INT");
    running.wait_for_stderr("SIGINT: finishing inserts in flight");
    assert!(running.is_running(), "an insert is in flight, and is waited for");
    let began = Instant::now();
    running.signal("INT");
    let output = running.wait().expect(130);
    let safe = "SIGINT: ended at once; no chunk was done; rows that were inserted stay";
    assert!(output.stderr.contains(safe), "{output}");
    assert!(output.stderr.contains("\nnext: clickhouse-backfill run --job job.toml"), "{output}");
    // Far less than the minute that inserts in flight are given.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    behind.proxy.pass();
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}
