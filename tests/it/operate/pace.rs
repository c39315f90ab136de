//! Rows a second, and runs that wait for longer than the server waits for a reader.

use std::time::{Duration, Instant};

use super::fixture::{ctl, orders, orders_on, socket, tool, wait_for, wait_for_reason};
use crate::support::{Server, ServerOptions};

#[test]
fn a_run_keeps_to_its_rows_a_second() {
    let orders = orders();
    let began = Instant::now();
    tool(&orders).args(&["--max-rows-per-second", "15000", "--readers", "4"]).run().expect(0);
    let took = began.elapsed().as_secs_f64();
    let rows = orders.figure("source_rows") as f64;
    assert!(rows > 50_000.0 && took > rows / 15_000.0 * 0.95, "{rows} rows in {took} s");
    assert_eq!(orders.figure("retries"), 0);
    orders.assert_complete();
}

/// A server that gives up a reader after so few seconds.
fn impatient() -> Server {
    let profile = "<clickhouse><profiles><default><http_send_timeout>2</http_send_timeout></default></profiles></clickhouse>";
    Server::start_with(ServerOptions { users_xml: Some(profile.to_owned()), ..Default::default() })
}

#[test]
fn a_run_that_is_paused_for_longer_than_the_server_waits_loses_nothing() {
    let orders = orders_on(impatient());
    let running = tool(&orders).envs(&[super::fixture::SLOWLY]).spawn();
    let socket = socket(&running);
    wait_for(&socket, "some rows", |status| status["progress"]["rows_read"].as_u64() > Some(0));
    ctl(&socket, &["pause"]).expect(0);
    wait_for_reason(&socket, "paused with ctl");
    // Chunks under way go on to their end, and then nothing is read any more.
    ctl(&socket, &["set", "max-rows-per-second=none"]).expect(0);
    let idle = |status: &serde_json::Value| {
        let progress = &status["progress"];
        progress["rows_read"] == progress["rows"]
            && progress["inserts_in_flight"] == 0
            && progress["chunks_done"].as_u64() > Some(0)
    };
    let before = wait_for(&socket, "chunks under way end", idle);
    assert!(
        before["progress"]["chunks_done"].as_u64() < before["progress"]["chunks"].as_u64(),
        "{before:#}"
    );
    std::thread::sleep(Duration::from_secs(5));
    let after = wait_for_reason(&socket, "paused with ctl");
    assert_eq!(after["progress"], before["progress"]);
    ctl(&socket, &["resume"]).expect(0);
    running.wait().expect(0);
    assert_eq!((orders.figure("errors"), orders.figure("retries")), (0, 0));
    orders.assert_complete();
}

/// So slow that several readers would each stand still for longer than that: fewer read.
#[test]
fn a_slow_run_keeps_its_readers_moving() {
    let orders = orders_on(impatient());
    let running = tool(&orders).args(&["--max-rows-per-second", "1000", "--readers", "6"]).spawn();
    let socket = socket(&running);
    let status = wait_for(&socket, "some rows", |status| {
        status["progress"]["rows_read"].as_u64() > Some(5000)
    });
    assert_eq!(
        (&status["limits"]["readers"], &status["limits"]["readers_most"]),
        (&1.into(), &6.into()),
        "{status:#}"
    );
    ctl(&socket, &["set", "max-rows-per-second=none"]).expect(0);
    wait_for(&socket, "all readers", |status| status["limits"]["readers"] == 6);
    running.wait().expect(0);
    assert_eq!(orders.figure("errors"), 0);
    orders.assert_complete();
}
