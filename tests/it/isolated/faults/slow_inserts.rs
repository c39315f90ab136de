//! A server whose inserts are so slow that it cuts off the readers that wait for them: the chunk is
//! divided, and what is done of it stays done.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use crate::faults::fixture::SOON;
use crate::orders::{JOB, Orders};
use crate::support::{Binary, Output, Running, Server, ServerOptions, process};

const ROWS: u64 = 44_000;
/// Parts have greater numbers.
const PART: &str = "chunk >= 4294967296";

/// Orders in one chunk, on a server that waits for a reader for a second; a view sleeps for about four
/// seconds in each insert.
fn start() -> Orders {
    let orders = on_a_slow_server(1);
    orders.server.query("CREATE TABLE slow (x UInt8) ENGINE = Null");
    orders.server.query(
        "CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleepEachRow(0.0012) AS x FROM shipments",
    );
    orders
}

/// Orders on a server that waits this many seconds for a reader.
fn on_a_slow_server(send_timeout: u32) -> Orders {
    let profile = format!(
        "<clickhouse><profiles><default><http_send_timeout>{send_timeout}</http_send_timeout>\
        <function_sleep_max_microseconds_per_block>60000000</function_sleep_max_microseconds_per_block></default></profiles></clickhouse>"
    );
    let server = Server::isolated_with(ServerOptions {
        users_xml: Some(profile),
        ..ServerOptions::default()
    });
    Orders::on(server, ROWS)
}

/// The same with a target that recognizes repeated batches, so that they must have the same rows.
fn start_recognizing(send_timeout: u32, seconds_a_row: &str) -> Orders {
    const WINDOW: &str = "SETTINGS non_replicated_deduplication_window = 1000";
    let orders = on_a_slow_server(send_timeout);
    let server = &orders.server;
    server.query(&format!(
        "CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY (customer, order_id) {WINDOW}"
    ));
    server.query(&format!("CREATE TABLE slow (x UInt8) ENGINE = MergeTree ORDER BY x {WINDOW}"));
    server.query(&format!(
        "CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleepEachRow({seconds_a_row}) AS x FROM plain"
    ));
    orders
}

/// No row is missing, wrong, or there twice, though nothing collapses.
#[track_caller]
fn assert_exactly_once(orders: &Orders, output: &Output) {
    let server = &orders.server;
    let twice = "SELECT count() - uniqExact(customer, order_id) FROM plain";
    assert_eq!(number(orders, twice), 0, "{output}");
    server.query("INSERT INTO shipments SELECT * FROM plain");
    orders.assert_complete();
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

/// The chunk is read again and again, but each of its batches is sent once, so that every attempt gets
/// further than the one before.
#[test]
#[ignore = "slow: inserts that sleep"]
fn batches_that_must_repeat_are_sent_once_however_often_their_chunk_is_cut_off() {
    let orders = start_recognizing(1, "0.0012");
    let server = &orders.server;
    let mut running = tool(&orders).args(&["--target-table", "plain"]).spawn();
    let (mut before, mut slow) = (0, true);
    while running.is_running() {
        let now = number(&orders, "SELECT count() FROM plain");
        assert!(now >= before, "{before} rows, then {now}");
        before = now;
        if slow && now > ROWS / 3 {
            // The rest need not take a minute.
            server.query("DROP VIEW slowly SYNC");
            slow = false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("the chunk is read again"), "{output}");
    assert!(!output.stderr.contains("is divided"), "some of its batches were sent\n{output}");
    assert_exactly_once(&orders, &output);
    server.query("SYSTEM FLUSH LOGS query_log");
    let sent = "FROM system.query_log WHERE type = 'QueryFinish' AND query_id LIKE 'clickhouse-backfill-%-insert-%' \
        AND Settings['insert_deduplication_token'] != ''";
    let token = "Settings['insert_deduplication_token']";
    assert!(number(&orders, &format!("SELECT uniqExact({token}) {sent}")) > 5, "{output}");
    let again = number(&orders, &format!("SELECT count() - uniqExact({token}) {sent}"));
    assert_eq!(again, 0, "batches that were acknowledged twice\n{output}");
}

/// A chunk keeps the batches with which it was begun, whatever happens to the run; later chunks get
/// smaller ones.
#[test]
#[ignore = "slow: inserts that sleep"]
fn batches_that_must_repeat_shrink_with_the_next_chunk() {
    let orders = start_recognizing(30, "0.0021");
    let server = &orders.server;
    let tool = || {
        orders
            .resuming_tool_at(server.url())
            .args(&["--target-table", "plain", "--batch-size", "2500", "--chunk-rows", "8000"])
            .args(&["--readers", "1", "--inserters", "2", "--claim-timeout", "2s"])
            .args(&["--batch-bytes", "2MiB", "--memory", "84MiB"])
    };
    let smaller =
        "SELECT count() FROM load_state_chunks FINAL WHERE batch_rows > 0 AND batch_rows < 2500";
    let mut running = tool().spawn();
    let some_of_a_smaller_one = || {
        number(&orders, "EXISTS TABLE load_state_chunks") > 0
            && number(&orders, smaller) > 0
            && number(&orders, "SELECT count() FROM plain") > 15_500
    };
    assert!(
        process::wait_until(SOON, || !running.is_running() || some_of_a_smaller_one()),
        "a later chunk has smaller batches"
    );
    assert!(running.is_running(), "it was too fast");
    running.signal("KILL");
    drop(running);
    server.query("DROP VIEW slowly SYNC");
    let begun = "SELECT groupArray((chunk, batch_rows)) FROM (SELECT * FROM load_state_chunks FINAL WHERE batch_rows > 0 ORDER BY chunk)";
    let before = server.text(begun);
    let output = tool().run().expect(0);
    let after = server.text(begun);
    assert!(after.starts_with(before.trim_end_matches(']')), "{before} became {after}");
    assert_exactly_once(&orders, &output);
}

/// Sorting the whole partition takes more memory than a query may have. As none of its batches was
/// sent, the chunk can be divided.
#[test]
fn a_chunk_of_which_no_batch_was_sent_is_divided_where_batches_must_repeat() {
    let orders = start_recognizing(30, "0");
    let job = format!("{JOB}\n[settings.source]\nmax_memory_usage = \"60000000\"\n");
    let tool = orders.tool().file("job.toml", &job).args(&["--target-table", "plain"]);
    let output = tool.args(&["--chunk-rows", "100000"]).run().expect(0);
    assert!(output.stderr.contains("a slow chunk is divided"), "{output}");
    assert_exactly_once(&orders, &output);
    let divided = "SELECT countIf(status = 'divided') > 0, countIf(status = 'completed') > 1 FROM load_state_chunks FINAL";
    assert_eq!(orders.server.text(divided), "1\t1", "{output}");
}
