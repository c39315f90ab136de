//! A server that gives up a reader that does not read.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use crate::faults::fixture::{INSERT, SOON};
use crate::orders::Orders;
use crate::support::{Direction, Proxy, Server, ServerOptions, process};

/// Inserts stand still, so the queue fills and rows are not read any more; the server tries to send
/// for three seconds, and then no longer. That is no failure of the server, and uses up no retry.
#[test]
#[ignore = "slow: waits until the server gives up"]
fn a_chunk_that_the_server_gave_up_while_inserts_stood_still_is_read_again() {
    let orders = Orders::on(impatient(), 120_000);
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(INSERT).stall_at(Direction::ToClient, 0, 50);
    let arguments = [
        "--batch-size",
        "2000",
        "--readers",
        "1",
        "--inserters",
        "1",
        "--batch-bytes",
        "1MiB",
        "--memory",
        "96MiB",
        "--max-retries",
        "0",
    ];
    let mut running = orders.tool_at(&proxy.url()).args(&arguments).spawn();
    assert!(
        process::wait_until(SOON, || !running.is_running() || proxy.fired() > 0),
        "a batch is inserted"
    );
    // So many rows that the server cannot have sent them all.
    let given_up =
        || thrown(&orders.server, "SOCKET_TIMEOUT") + thrown(&orders.server, "NETWORK_ERROR") > 0;
    assert!(
        process::wait_until(SOON, || !running.is_running() || given_up()),
        "the server gives up"
    );
    proxy.pass();
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("the chunk is read again"), "{output}");
    assert_eq!(orders.figure("errors"), 0, "{output}");
    orders.assert_complete();
}

/// How often the server has thrown an error, by its name.
fn thrown(server: &Server, name: &str) -> u64 {
    server
        .text(&format!("SELECT sum(value) FROM system.errors WHERE name = '{name}'"))
        .parse()
        .unwrap()
}

/// For two times as long as the server waits for a reader, a single insert is not acknowledged. The
/// reader takes a little now and then, so the chunk is read once.
#[test]
#[ignore = "slow: about 34 s"]
fn a_reader_that_waits_for_inserts_keeps_its_stream_alive() {
    let orders = Orders::on(impatient(), 200_000);
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(INSERT).stall_at(Direction::ToClient, 0, 1);
    let arguments = [
        "--batch-size",
        "2000",
        "--readers",
        "1",
        "--inserters",
        "1",
        "--batch-bytes",
        "1MiB",
        "--memory",
        "256MiB",
        "--max-retries",
        "0",
    ];
    let running = orders.tool_at(&proxy.url()).args(&arguments).spawn();
    assert!(process::wait_until(SOON, || proxy.fired() > 0), "a batch is inserted");
    std::thread::sleep(Duration::from_secs(8));
    proxy.pass();
    let output = running.wait().expect(0);
    assert_eq!(orders.figure("retries"), 0, "{output}");
    assert_eq!(thrown(&orders.server, "SOCKET_TIMEOUT"), 0, "{output}");
    orders.assert_complete();
}

/// A server that waits for a reader for three seconds.
fn impatient() -> Server {
    let profile = "<clickhouse><profiles><default><http_send_timeout>3</http_send_timeout></default></profiles></clickhouse>";
    Server::isolated_with(ServerOptions {
        users_xml: Some(profile.to_owned()),
        ..ServerOptions::default()
    })
}
