//! What a network, a server and a supervisor do to a run: afterwards the target must equal the join.
//!
//! Faults are placed by the query ids that every request has in its URL (`-lookup-`, `-source-`, `-insert-`), so that they hit the
//! statement that is meant. Each test asserts that its fault happened.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use crate::orders::Orders;
use crate::support::{Binary, Direction, Output, Proxy, Running, process};

const SOON: Duration = Duration::from_secs(30);
const ROWS: u64 = 20_000;

const LOOKUP: &[u8] = b"-lookup-";
const SOURCE: &[u8] = b"-source-";
const INSERT: &[u8] = b"-insert-";

/// Orders behind a proxy.
struct Behind {
    orders: Orders,
    proxy: Proxy,
}

impl Behind {
    fn start() -> Self {
        let orders = Orders::start(ROWS);
        let proxy = Proxy::start(orders.server.port());
        Self { orders, proxy }
    }

    /// A run through the proxy in batches that make several inserts.
    fn tool(&self) -> Binary {
        self.orders.tool_at(&self.proxy.url()).args(&["--batch-size", "2000"])
    }

    /// Runs, expects success in spite of the one fault that is armed, and holds the target against the join.
    #[track_caller]
    fn survives(&self, arm: impl FnOnce(&Proxy)) -> Output {
        self.orders.server.query("TRUNCATE TABLE shipments");
        let before = self.proxy.fired();
        arm(&self.proxy);
        let output = self.tool().run().expect(0);
        assert_eq!(self.proxy.fired(), before + 1, "the fault happened once\n{output}");
        assert!(self.orders.figure("retries") >= 1, "{output}");
        assert_eq!(self.orders.figure("errors"), 0, "{output}");
        self.orders.assert_complete();
        output
    }
}

#[test]
fn a_response_that_is_reset_or_cut_is_read_again() {
    let behind = Behind::start();
    let output = behind.survives(|proxy| proxy.after_request_with(LOOKUP).reset_at(Direction::ToClient, 200_000, 1));
    assert!(output.stderr.contains("loading attributes broke off"), "{output}");
    for offset in [0, 2_000_000] {
        let output = behind.survives(|proxy| proxy.after_request_with(SOURCE).reset_at(Direction::ToClient, offset, 1));
        assert!(output.stderr.contains("the chunk is read again"), "{output}");
    }
    // A clean end of the connection is none of the answer, which is chunked.
    behind.survives(|proxy| proxy.after_request_with(LOOKUP).cut_at(Direction::ToClient, 200_000, 1));
    let output = behind.survives(|proxy| proxy.after_request_with(SOURCE).cut_at(Direction::ToClient, 3_000_000, 1));
    assert!(output.stderr.contains("the chunk is read again"), "{output}");
    // What batches of the broken attempt inserted is told apart.
    assert!(behind.orders.figure("repeated_rows") > 0, "{output}");
}

#[test]
fn an_insert_that_is_cut_off_is_sent_again() {
    let behind = Behind::start();
    let output = behind.survives(|proxy| proxy.after_request_with(INSERT).reset_at(Direction::ToServer, 500_000, 1));
    assert!(output.stderr.contains("the same bytes are sent again"), "{output}");
}

#[test]
fn an_insert_whose_answer_is_lost_is_sent_again_and_counts_once() {
    let behind = Behind::start();
    behind.orders.server.query("SYSTEM STOP MERGES shipments");
    let output = behind.survives(|proxy| proxy.after_request_with(INSERT).reset_at(Direction::ToClient, 0, 1));
    assert!(output.stderr.contains("it is not known whether the rows arrived"), "{output}");
    // The rows had arrived. The table has a deduplication window, and equal bytes have an equal token.
    assert_eq!(behind.orders.target_rows(), behind.orders.figure("inserted_rows"), "rows without FINAL\n{output}");
}

/// Checked are bytes of HTTP itself: the protocol's name and the status of a response. No protocol on top of
/// TCP could tell a changed byte of a value from the value; TCP's own checksum is what guards those.
#[test]
fn a_flipped_byte_of_the_protocol_is_noticed() {
    let behind = Behind::start();
    behind.survives(|proxy| proxy.after_request_with(LOOKUP).flip_byte_at(Direction::ToClient, 0, 1));
    behind.survives(|proxy| proxy.after_request_with(SOURCE).flip_byte_at(Direction::ToClient, 9, 1));
    behind.survives(|proxy| proxy.after_request_with(INSERT).flip_byte_at(Direction::ToClient, 3, 1));
}

#[test]
fn a_server_that_pauses_is_waited_for() {
    let behind = Behind::start();
    behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 3_000_000, 1);
    let mut running = behind.tool().spawn();
    wait_for_fault(&behind.proxy);
    behind.orders.server.pause();
    behind.proxy.pass();
    std::thread::sleep(Duration::from_secs(2));
    assert!(running.is_running(), "the run waits");
    behind.orders.server.resume();
    let output = running.wait().expect(0);
    assert_eq!(behind.orders.figure("errors"), 0, "{output}");
    behind.orders.assert_complete();
}

#[test]
fn a_killed_query_is_sent_again() {
    let behind = Behind::start();
    behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 1_000_000, 1);
    let running = behind.tool().spawn();
    wait_for_fault(&behind.proxy);
    let server = &behind.orders.server;
    let reading = "query_id LIKE 'clickhouse-backfill-%-source-%'";
    assert_eq!(server.text(&format!("SELECT count() FROM system.processes WHERE {reading}")), "1", "the server still has rows to send");
    std::thread::scope(|scope| {
        // The server may answer only when the query has ended, and that is stuck until the stall is over.
        let killing = scope.spawn(|| server.query(&format!("KILL QUERY WHERE {reading}")));
        std::thread::sleep(Duration::from_millis(300));
        behind.proxy.pass();
        killing.join().unwrap();
    });
    let output = running.wait().expect(0);
    assert!(behind.orders.figure("retries") >= 1, "{output}");
    assert!(output.stderr.contains("QUERY_WAS_CANCELLED"), "the reason is shown\n{output}");
    behind.orders.assert_complete();
}

#[test]
fn too_many_parts_pass() {
    let orders = Orders::start(ROWS);
    let server = &orders.server;
    server.query("SYSTEM STOP MERGES shipments");
    server.query("ALTER TABLE shipments MODIFY SETTING parts_to_throw_insert = 2, parts_to_delay_insert = 2, max_delay_to_insert = 1");
    let running = orders.tool().args(&["--batch-size", "2000", "--max-retries", "20"]).spawn();
    let refused = || server.text("SELECT sum(value) FROM system.errors WHERE name = 'TOO_MANY_PARTS'") != "0";
    assert!(process::wait_until(SOON, refused), "no insert was refused");
    server.query("ALTER TABLE shipments RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert");
    let output = running.wait().expect(0);
    assert!(orders.figure("retries") >= 1, "{output}");
    assert!(output.stderr.contains("TOO_MANY_PARTS"), "{output}");
    orders.assert_complete();
}

#[test]
fn when_retries_are_used_up_the_last_words_say_what_to_do() {
    let orders = Orders::start(ROWS);
    let server = &orders.server;
    server.query("SYSTEM STOP MERGES shipments");
    server.query("ALTER TABLE shipments MODIFY SETTING parts_to_throw_insert = 2, parts_to_delay_insert = 2, max_delay_to_insert = 1");
    let output = orders.tool().args(&["--batch-size", "2000", "--max-retries", "1"]).run().expect(1);
    let summary = orders.summary();
    assert_eq!(summary["status"], "failed", "{summary}");
    assert!(summary["error"].as_str().unwrap().contains("TOO_MANY_PARTS"), "{summary}");
    assert!(orders.figure("retries") >= 1 && orders.figure("errors") >= 1, "{summary}");
    let last_words = output.stderr.rsplit_once("error: ").map(|(_, words)| words).unwrap_or_default();
    assert!(last_words.starts_with("inserting a batch of 2000 rows"), "{output}");
    for part in ["failed after 2 attempts", "TOO_MANY_PARTS", "what was inserted stays", "run the same command again", "collapse"] {
        assert!(last_words.contains(part), "{part}\n{output}");
    }
    server.query("ALTER TABLE shipments RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert");
    orders.tool().run().expect(0);
    orders.assert_complete();
}

/// An exception in the middle of an answer looks like this; values of users may quote one, and end a row with it.
#[test]
fn values_that_quote_an_exception_are_values() {
    let orders = Orders::start(5_000);
    let server = &orders.server;
    for words in [
        "concat('Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.7.3.1 (official build))', char(10))",
        "concat(char(13, 10), '__exception__', char(13, 10), 'abcdefghijklmnop', char(13, 10), 'Code: 159. DB::Exception: x', char(10), '27 abcdefghijklmnop', char(13, 10), '__exception__', char(13, 10))",
    ] {
        server.query(&format!("INSERT INTO orders SELECT id, customer, placed, amount, version + 1, 0, concat(substring(note, 1, id % 40), {words}) FROM orders FINAL"));
        server.query(&format!("INSERT INTO customers SELECT id, city, tags, version + 1, 0, {words} FROM customers FINAL"));
        let output = orders.tool().run().expect(0);
        assert_eq!(orders.figure("errors"), 0, "{output}");
        orders.assert_complete();
    }
}

/// Starts a run and lets it insert some rows; then the source stops sending.
fn half_way(behind: &Behind) -> Running {
    behind.proxy.after_request_with(SOURCE).stall_at(Direction::ToClient, 5_000_000, 1);
    let running = behind.tool().spawn();
    wait_for_fault(&behind.proxy);
    behind.orders.wait_for_rows();
    running
}

#[track_caller]
fn wait_for_fault(proxy: &Proxy) {
    assert!(process::wait_until(SOON, || proxy.fired() > 0), "the fault did not happen");
}

#[test]
fn an_interrupted_run_finishes_what_is_in_flight_and_can_be_run_again() {
    let behind = Behind::start();
    for signal in ["INT", "TERM", "HUP"] {
        behind.orders.server.query("TRUNCATE TABLE shipments");
        let running = half_way(&behind);
        running.signal(signal);
        let output = running.wait().expect(130);
        assert!(output.stderr.contains(&format!("SIG{signal}: finishing the inserts in flight")), "{output}");
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
    wait_for_fault(&behind.proxy);
    running.signal("TERM");
    let output = running.wait().expect(130);
    assert_eq!((behind.orders.figure("inserted_rows"), behind.orders.target_rows()), (0, 0), "{output}");
    assert_eq!(behind.orders.summary()["status"], "interrupted");
}

#[test]
fn a_second_signal_ends_at_once() {
    let behind = Behind::start();
    behind.proxy.after_request_with(INSERT).stall_at(Direction::ToClient, 0, 1);
    let mut running = behind.tool().spawn();
    wait_for_fault(&behind.proxy);
    running.signal("INT");
    std::thread::sleep(Duration::from_secs(1));
    assert!(running.is_running(), "an insert is in flight, and is waited for");
    let began = Instant::now();
    running.signal("INT");
    running.wait().expect(130);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    behind.proxy.pass();
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}

#[test]
fn a_killed_run_can_be_run_again() {
    let behind = Behind::start();
    let running = half_way(&behind);
    running.signal("KILL");
    assert_eq!(running.wait().status, None);
    behind.proxy.pass();
    let reading = "SELECT count() FROM system.processes WHERE query_id LIKE 'clickhouse-backfill-%-source-%'";
    assert!(process::wait_until(SOON, || behind.orders.server.text(reading) == "0"), "the dead run's query goes on");
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}
