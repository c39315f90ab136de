//! The server engine: the server joins, one chunk a statement.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use crate::faults::fixture::{Behind, SOON};
use crate::metrics::exposition::Exposition;
use crate::metrics::fixture::{free_address, page, scraped};
use crate::orders::Orders;
use crate::support::{Binary, Direction, assert_text_snapshot, process};

fn by_the_server(tool: Binary) -> Binary {
    tool.args(&["--engine", "server", "--chunk-rows", "3000"])
}

/// Inserts of chunks that run on the server.
fn running_inserts(orders: &Orders) -> String {
    orders.server.text(
        "SELECT count() FROM system.processes WHERE query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()",
    )
}

/// Lets each row that is inserted take time: a third of a millisecond, and a block less than the 3 s that the server allows.
fn slow_inserts(orders: &Orders) {
    orders.server.script(
        "CREATE TABLE slow (order_id UInt64) ENGINE = Null
        --;;
        CREATE MATERIALIZED VIEW slowly TO slow AS SELECT order_id FROM shipments WHERE NOT ignore(sleepEachRow(0.00035))",
    );
}

#[test]
fn it_gives_the_join_and_counts_what_the_rows_found() {
    let orders = Orders::start(20_000);
    let output = by_the_server(orders.tool()).run().expect(0);
    orders.assert_complete();
    let found = orders.server.text(
        "SELECT count(), countIf(customer IN (SELECT id FROM customers FINAL))
        FROM orders FINAL WHERE toYYYYMM(placed) = 202506 FORMAT TSV",
    );
    let (rows, matched) = found.trim().split_once('\t').unwrap();
    let (rows, matched): (u64, u64) = (rows.parse().unwrap(), matched.parse().unwrap());
    assert_eq!(orders.figure("source_rows"), rows, "{output}");
    assert_eq!(orders.figure("inserted_rows"), rows, "{output}");
    assert_eq!(orders.figure("matched_rows"), matched, "{output}");
    assert_eq!(orders.figure("unmatched_rows"), rows - matched, "{output}");
    assert_eq!(orders.target_rows(), rows, "each row once, without FINAL");
    assert!(orders.figure("chunks") > 3, "{output}");
    let recorded = orders.server.text(
        "SELECT countIf(status = 'completed') = count(), sum(rows_inserted) FROM load_state_chunks FINAL",
    );
    assert_eq!(recorded.trim(), format!("1\t{rows}"));
}

#[test]
fn a_dry_run_evaluates_everything_and_writes_nothing() {
    let orders = Orders::start(5_000);
    by_the_server(orders.tool()).arg("--dry-run").run().expect(0);
    assert_eq!(orders.target_rows(), 0);
    assert!(orders.figure("inserted_rows") > 4_000);
}

#[test]
#[ignore = "slow: about 10 s"]
fn an_insert_whose_connection_is_lost_is_ended_before_the_chunk_is_filled_again() {
    let behind = Behind::start();
    let orders = &behind.orders;
    slow_inserts(orders);
    let running = by_the_server(behind.tool()).args(&["--inserters", "1"]).spawn();
    // Its view sleeps for more than a second.
    let just_begun = "SELECT countIf(elapsed < 0.5) FROM system.processes
        WHERE query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()";
    let repeated = || {
        orders.server.query("SYSTEM FLUSH LOGS");
        orders.server.text(
            "SELECT count() - uniqExact(extract(query_id, '-(chunk[0-9]+)-')) FROM system.query_log
            WHERE type = 'QueryStart' AND query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()",
        )
    };
    let begun = || {
        orders.server.text(
            "SELECT uniqExact(extract(query_id, '-(chunk[0-9]+)-')) FROM system.query_log
            WHERE type = 'QueryStart' AND query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()",
        )
    };
    // The insert may end before its connection does: then another chunk begins, and is tried.
    let cut_off = (0..6).any(|_| {
        assert!(process::wait_until(SOON, || orders.server.text(just_begun).trim() != "0"));
        behind.proxy.reset_all();
        repeated();
        let before = begun();
        process::wait_until(SOON, || repeated().trim() != "0" || begun() != before);
        repeated().trim() != "0"
    });
    assert!(cut_off, "no insert was repeated");
    let output = running.wait().expect(0);
    assert!(orders.figure("retries") >= 1, "{output}");
    orders.assert_complete();
    assert_eq!(running_inserts(orders).trim(), "0");
    // Neither attempt ran while the other did.
    orders.server.query("SYSTEM FLUSH LOGS");
    let overlapping = orders.server.text(
        "SELECT countIf(began < ended_before)
        FROM (
            SELECT query_start_time_microseconds AS began,
                lagInFrame(event_time_microseconds) OVER
                    (PARTITION BY extract(query_id, '-(chunk[0-9]+)-') ORDER BY query_start_time_microseconds) AS ended_before
            FROM system.query_log
            WHERE type != 'QueryStart' AND query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()
        )",
    );
    assert_eq!(overlapping.trim(), "0", "{output}");
}

#[test]
fn what_running_inserts_have_done_is_exported() {
    let orders = Orders::start(20_000);
    slow_inserts(&orders);
    let address = free_address();
    let tool = by_the_server(orders.tool()).args(&["--inserters", "2"]);
    let running = tool.args(&["--metrics-listen", &address.to_string()]).spawn();
    scraped(address);
    let mut seen = [0.0; 3];
    let names = ["chunk_memory_bytes", "chunk_read_rows", "chunk_written_rows"];
    assert!(process::wait_until(SOON, || {
        // The page ends with the run.
        let Ok((_, _, text)) = page(address, "/metrics") else { return true };
        let metrics = Exposition::read(&text);
        for (most, name) in seen.iter_mut().zip(names) {
            *most = metrics.known(name, &[]).unwrap_or_default().max(*most);
        }
        seen[0] > 1_000_000.0 && seen[1] >= 3_000.0
    }));
    let output = running.wait().expect(0);
    // An insert reads at least its chunk, and needs more than its blocks.
    assert!(seen[1] >= 3_000.0 && seen[0] > 1_000_000.0, "{seen:?} {output}");
    orders.assert_complete();
}

#[test]
fn bytes_are_those_of_the_inserts() {
    let orders = Orders::start(20_000);
    let output = by_the_server(orders.tool()).run().expect(0);
    orders.server.query("SYSTEM FLUSH LOGS");
    let bytes = orders.server.text(
        "SELECT sum(read_bytes), sum(written_bytes) FROM system.query_log
        WHERE type = 'QueryFinish' AND query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase() FORMAT TSV",
    );
    let counted = format!("{}\t{}", orders.figure("bytes_read"), orders.figure("bytes_written"));
    assert_eq!(bytes.trim(), counted, "{output}");
    assert!(orders.figure("bytes_read") > 20_000 * 500, "{output}");
}

#[test]
fn a_stop_that_does_not_wait_kills_the_inserts_and_the_next_run_continues() {
    let behind = Behind::start();
    slow_inserts(&behind.orders);
    let tool = || {
        by_the_server(behind.orders.resuming_tool_at(behind.orders.server.url()))
            .args(&["--inserters", "2"])
    };
    let running = tool().args(&["--drain-timeout", "0s"]).spawn();
    assert!(process::wait_until(SOON, || running_inserts(&behind.orders).trim() != "0"));
    running.signal("INT");
    let output = running.wait().expect(130);
    assert!(
        process::wait_until(SOON, || running_inserts(&behind.orders).trim() == "0"),
        "an insert goes on\n{output}"
    );
    behind.orders.server.query("DROP TABLE slowly");
    tool().run().expect(0);
    behind.orders.assert_complete();
}

#[test]
fn a_killed_run_is_continued_with_the_chunks_that_are_left() {
    let orders = Orders::start(20_000);
    slow_inserts(&orders);
    let tool = || by_the_server(orders.resuming_tool_at(orders.server.url()));
    let running = tool().args(&["--inserters", "1"]).spawn();
    let completed = "SELECT countIf(status = 'completed') FROM load_state_chunks FINAL";
    assert!(process::wait_until(SOON, || {
        orders.server.try_query(completed).is_ok_and(|rows| rows != b"0\n")
    }));
    running.signal("KILL");
    running.wait();
    orders.server.query("DROP TABLE slowly");
    tool().run().expect(0);
    orders.assert_complete();
    assert!(orders.figure("chunks_before") >= 1);
    assert_eq!(
        orders.figure("chunks_before") + orders.figure("chunks_now"),
        orders.figure("chunks")
    );
}

#[test]
fn a_target_that_recognizes_blocks_is_refused_before_a_row_moves() {
    let orders = Orders::start(1_000);
    orders.server.query(
        "CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY (customer, order_id) SETTINGS non_replicated_deduplication_window = 1000",
    );
    let output = by_the_server(orders.tool()).args(&["--target-table", "plain"]).run().expect(3);
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: --engine server repeats a chunk as a whole, which only a target that collapses rows takes once, and the target table default.plain has the engine MergeTree
    hint: publish = "replace" under [target] of the job, with --engine server, builds the partition beside the target and replaces it
    hint: --engine stream sends blocks that the target recognizes
    "#);
    assert_eq!(orders.server.text("SELECT count() FROM plain").trim(), "0");
}

#[test]
fn an_expression_that_fails_on_a_row_fails_the_chunk_alone() {
    let behind = Behind::start();
    let job = crate::orders::JOB.replace(
        "order_id = \"source.id\"",
        "order_id = \"if(throwIf(source.id = 77, 'not this one') = 0, source.id, 0)\"",
    );
    let tool = by_the_server(behind.orders.tool()).file("job.toml", &job);
    let output = tool.args(&["--max-retries", "1"]).run().expect(1);
    assert!(output.stderr.contains("not this one"), "{output}");
    assert!(output.stderr.contains("1 of "), "{output}");
    let missing = behind.orders.server.text(
        "SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = 202506 AND id NOT IN (SELECT order_id FROM shipments)",
    );
    let missing: u64 = missing.trim().parse().unwrap();
    assert!((1..=6_000).contains(&missing), "only the failed chunk's rows are missing: {missing}");
}

#[test]
fn two_servers_and_a_sample_are_refused() {
    let orders = Orders::start(10);
    let output =
        by_the_server(orders.tool()).args(&["--source-url", "http://localhost:1/"]).run().expect(2);
    assert_text_snapshot!(output.failure(), @"
    exit code 2
    error: --engine server needs source and target on one server, and they are on two
    hint: --source-native HOST:PORT lets the target's server read from the source's; --engine stream reads from one server and inserts into the other
    ");
    let output = by_the_server(orders.tool()).args(&["--show-rows", "3"]).run().expect(2);
    assert_text_snapshot!(output.failure(), @"
    exit code 2
    error: --show-rows shows rows that pass through this process, and with --engine server none do
    hint: a dry run with --engine stream shows them
    ");
}

#[test]
fn a_run_that_gives_up_leaves_no_insert_behind() {
    let orders = Orders::start(20_000);
    slow_inserts(&orders);
    // The row lies in the third chunk, which fails at once while the second is being filled.
    let job = crate::orders::JOB.replace(
        "order_id = \"source.id\"",
        "order_id = \"if(throwIf(source.id = 301, 'not this one') = 0, source.id, 0)\"",
    );
    let tool = by_the_server(orders.tool()).file("job.toml", &job);
    let output = tool.args(&["--inserters", "2", "--max-failed-chunks", "0"]).run().expect(1);
    assert_eq!(running_inserts(&orders).trim(), "0", "{output}");
    assert!(output.stderr.contains("not this one"), "{output}");
}

#[test]
fn a_count_that_fails_does_not_fill_the_chunk_again() {
    let behind = Behind::start();
    let orders = &behind.orders;
    let before = behind.proxy.fired();
    behind.proxy.after_request_with(b"-matches-").reset_at(Direction::ToClient, 0, 1);
    let output = by_the_server(behind.tool()).run().expect(0);
    assert_eq!(behind.proxy.fired(), before + 1, "{output}");
    assert!(orders.figure("retries") >= 1, "{output}");
    orders.assert_complete();
    orders.server.query("SYSTEM FLUSH LOGS");
    let inserts = orders.server.text(
        "SELECT count() FROM system.query_log
        WHERE type = 'QueryFinish' AND query_id LIKE 'clickhouse-backfill-%-chunk%' AND current_database = currentDatabase()",
    );
    assert_eq!(inserts.trim(), orders.figure("chunks").to_string(), "{output}");
}
