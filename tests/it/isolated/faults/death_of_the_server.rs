//! A server that goes away and comes back: killed, stopped, or with its listener closed.

// A test fails by a panic.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use crate::faults::fixture::{Behind, INSERT, LOOKUP, SOURCE, wait_for_fault};
use crate::support::{Direction, Server, ServerOptions, process};

/// A server may take its time to start again. That uses up no retry.
const PATIENCE: [&str; 2] = ["--outage-wait", "2m"];

/// Runs; when `offset` bytes of the statement have passed in the direction, the server is killed
/// with `kill -9` and started again.
#[track_caller]
fn survives_death(behind: &mut Behind, marker: &[u8], direction: Direction, offset: u64) {
    behind.begin_again();
    let before = behind.proxy.fired();
    behind.proxy.after_request_with(marker).stall_at(direction, offset, 1);
    let running = behind.tool().args(&PATIENCE).spawn();
    wait_for_fault(&behind.proxy, before);
    behind.orders.server.kill9();
    behind.proxy.pass();
    behind.orders.server.restart();
    let output = running.wait().expect(0);
    assert!(behind.orders.figure("retries") >= 1, "{output}");
    assert_eq!(behind.orders.figure("errors"), 0, "{output}");
    assert_eq!(behind.orders.summary()["status"], "completed", "{output}");
    behind.orders.assert_complete();
}

#[test]
fn a_server_that_is_killed_while_attributes_load() {
    let mut behind = Behind::isolated();
    survives_death(&mut behind, LOOKUP, Direction::ToClient, 200_000);
}

#[test]
fn a_server_that_is_killed_while_rows_are_read() {
    let mut behind = Behind::isolated();
    survives_death(&mut behind, SOURCE, Direction::ToClient, 5_000_000);
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_server_that_is_killed_while_a_batch_arrives_or_before_it_is_acknowledged() {
    let mut behind = Behind::isolated();
    survives_death(&mut behind, INSERT, Direction::ToServer, 500_000);
    survives_death(&mut behind, INSERT, Direction::ToClient, 0);
}

#[test]
fn a_listener_that_is_closed_and_opened_again() {
    let mut behind = Behind::on(Server::isolated_with(ServerOptions {
        fixed_port: true,
        ..ServerOptions::default()
    }));
    let running = behind.half_way_with(behind.tool().args(&PATIENCE));
    behind.orders.server.stop_listening();
    behind.proxy.pass();
    let refused = behind.proxy.accepted();
    assert!(
        process::wait_until(Duration::from_secs(30), || behind.proxy.accepted() > refused),
        "the run tries again"
    );
    behind.orders.server.start_listening();
    let output = running.wait().expect(0);
    assert!(behind.orders.figure("retries") >= 1, "{output}");
    assert_eq!(behind.orders.figure("errors"), 0, "{output}");
    behind.orders.assert_complete();
}

#[test]
#[ignore = "slow: about 7 s"]
fn a_server_that_pauses_is_waited_for() {
    let behind = Behind::isolated();
    behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 3_000_000, 1);
    let mut running = behind.tool().spawn();
    wait_for_fault(&behind.proxy, 0);
    behind.orders.server.pause();
    behind.proxy.pass();
    std::thread::sleep(Duration::from_secs(2));
    assert!(running.is_running(), "the run waits");
    behind.orders.server.resume();
    let output = running.wait().expect(0);
    assert_eq!(behind.orders.figure("errors"), 0, "{output}");
    behind.orders.assert_complete();
}
