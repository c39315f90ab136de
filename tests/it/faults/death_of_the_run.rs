//! A run that is killed: the same command again completes the work.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::fixture::{Behind, SOON};
use crate::support::process;

#[test]
fn a_killed_run_can_be_run_again() {
    let behind = Behind::start();
    let running = behind.half_way();
    running.signal("KILL");
    assert_eq!(running.wait().status, None);
    behind.proxy.pass();
    let reading = "SELECT count() FROM system.processes WHERE query_id LIKE 'clickhouse-backfill-%-source-%' AND current_database = currentDatabase()";
    assert!(
        process::wait_until(SOON, || behind.orders.server.text(reading) == "0"),
        "the dead run's query goes on"
    );
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}

#[test]
fn a_run_that_is_killed_at_any_moment_can_be_run_again() {
    let behind = Behind::start();
    // From the first look at the server to the last insert; where exactly depends on the machine,
    // and any moment will do.
    for milliseconds in [20, 120, 250, 400, 600, 900] {
        let running = behind.tool().spawn();
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.signal("KILL");
        running.wait();
    }
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}
