//! A server whose inserts are so slow that it cuts off the readers that wait for them: the chunk is
//! divided, and what is done of it stays done.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use crate::faults::fixture::SOON;
use crate::orders::Orders;
use crate::support::{Binary, Running, Server, ServerOptions, process};

const ROWS: u64 = 44_000;
/// Parts have greater numbers.
const PART: &str = "chunk >= 4294967296";

/// Orders in one chunk, on a server that waits for a reader for a second; a view sleeps for about four
/// seconds in each insert.
fn start() -> Orders {
    let profile = "<clickhouse><profiles><default><http_send_timeout>1</http_send_timeout>\
        <function_sleep_max_microseconds_per_block>60000000</function_sleep_max_microseconds_per_block></default></profiles></clickhouse>";
    let server = Server::isolated_with(ServerOptions {
        users_xml: Some(profile.to_owned()),
        ..ServerOptions::default()
    });
    let orders = Orders::on(server, ROWS);
    orders.server.query("CREATE TABLE slow (x UInt8) ENGINE = Null");
    orders.server.query(
        "CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleepEachRow(0.0012) AS x FROM shipments",
    );
    orders
}

/// Too little memory for sips.
fn tool(orders: &Orders) -> Binary {
    orders
        .resuming_tool_at(orders.server.url())
        .args(&["--batch-bytes", "2MiB", "--readers", "1", "--inserters", "1"])
        .args(&["--memory", "76MiB", "--max-retries", "0"])
        .limit(3 * SOON)
}

fn number(orders: &Orders, sql: &str) -> u64 {
    orders.server.text(sql).parse().unwrap()
}

/// Rows of completed chunks.
fn recorded(orders: &Orders) -> u64 {
    if number(orders, "EXISTS TABLE load_state_chunks") == 0 {
        return 0;
    }
    number(
        orders,
        "SELECT sum(rows_inserted) FROM load_state_chunks FINAL WHERE status = 'completed'",
    )
}

fn parts_done(orders: &Orders) -> u64 {
    if recorded(orders) == 0 {
        return 0;
    }
    number(
        orders,
        &format!(
            "SELECT count() FROM load_state_chunks FINAL WHERE status = 'completed' AND {PART}"
        ),
    )
}

/// Follows the ledger until the run has ended; it never shows fewer rows than before.
fn follow(orders: &Orders, running: &mut Running) {
    let mut before = 0;
    let mut slow = true;
    while running.is_running() {
        if slow && parts_done(orders) > 0 {
            // The rest need not take a minute.
            orders.server.query("DROP VIEW slowly SYNC");
            slow = false;
        }
        let now = recorded(orders);
        assert!(now >= before, "{before} rows, then {now}");
        before = now;
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "slow: inserts that sleep"]
fn a_chunk_that_is_cut_off_is_divided_and_progress_only_grows() {
    let orders = start();
    let mut running = tool(&orders).spawn();
    follow(&orders, &mut running);
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("a slow chunk is divided"), "{output}");
    assert_eq!(orders.figure("errors"), 0, "{output}");
    assert!(orders.figure("chunks") > 1, "{output}");
    assert_eq!(orders.figure("chunks"), orders.figure("chunks_now"), "{output}");
    let rows = number(&orders, "SELECT count() FROM orders FINAL");
    assert_eq!(recorded(&orders), rows);
    let load = orders.server.text(
        "SELECT status, rows_read, chunks = chunks_completed, chunks > 1 FROM load_state FINAL",
    );
    assert_eq!(load, format!("completed\t{rows}\t1\t1"));
    orders.assert_complete();
    let output = tool(&orders).run().expect(0);
    assert!(output.stderr.contains("completed"), "{output}");
}

#[test]
#[ignore = "slow: inserts that sleep"]
fn a_killed_run_continues_with_the_parts_that_are_left() {
    let orders = start();
    let mut running = tool(&orders).spawn();
    let some = || parts_done(&orders) > 0;
    assert!(
        process::wait_until(SOON, || !running.is_running() || some()),
        "a part of the chunk is done"
    );
    running.signal("KILL");
    drop(running);
    let before = recorded(&orders);
    let rows = number(&orders, "SELECT count() FROM orders FINAL");
    assert!(before > 0 && before < rows, "{before} of {rows}");
    orders.server.query("DROP VIEW slowly SYNC");
    let output = tool(&orders).run().expect(0);
    assert_eq!(orders.figure("inserted_rows"), rows - before, "{output}");
    assert_eq!(recorded(&orders), rows, "{output}");
    orders.assert_complete();
    let status = orders.server.text("SELECT status, rows_read FROM load_state FINAL");
    assert_eq!(status, format!("completed\t{rows}"));
}
