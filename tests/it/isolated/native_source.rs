//! The server engine between two servers: the target's server reads from the source's.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::two_servers::{Apart, assert_filled_with_orders, orders_apart, tool};
use crate::oracle::fixture::{DECEMBER, PARTITIONS, assert_filled};
use crate::orders::Orders;
use crate::support::shown::titled;
use crate::support::{Binary, Proxy, Server, assert_text_snapshot, process};

/// The orders' tool with the server engine, and with the address at which the source is reached.
fn by_the_target(source: &Orders, target: &Server, address: &str) -> Binary {
    let tool = tool(source, target).env("SOURCE_NATIVE", address);
    tool.args(&["run", "--job", "job.toml", "--engine", "server", "--chunk-rows", "500"])
}

fn native_address(server: &Server) -> String {
    format!("127.0.0.1:{}", server.native_port())
}

fn logged(server: &Server, sql: &str) -> String {
    server.query("SYSTEM FLUSH LOGS");
    server.text(&format!("SELECT {sql} FROM system.query_log WHERE type = 'QueryFinish'"))
}

#[test]
#[ignore = "slow: all adversarial data between two servers"]
fn the_built_in_job_fills_the_other_server() {
    let apart = Apart::start(DECEMBER);
    let address = native_address(&apart.source);
    for partition in PARTITIONS {
        let tool = |command: &str| {
            apart.tool(command, partition).env("SOURCE_NATIVE", &address).env("ENGINE", "server")
        };
        tool("run").arg("--dry-run").run().expect(0);
        assert_eq!(apart.target.text("SELECT count() FROM events WHERE _partition_id = ''"), "0");
        tool("run").run().expect(0);
        apart.bring_expected(partition);
        assert_filled(&apart.target, "events", partition, "SELECT * FROM expected");
        tool("verify").run().expect(0);
    }
}

#[test]
fn the_source_evaluates_chunks_by_its_key_and_no_log_shows_the_password() {
    let (source, target) = orders_apart();
    let address = native_address(&source.server);
    let summary = source.file("native.json");
    let tool = by_the_target(&source, &target, &address);
    let output = tool.args(&["--summary-json", summary.to_str().unwrap(), "-v"]).run().expect(0);
    assert_filled_with_orders(&source, &target);
    let figures: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&summary).unwrap()).unwrap();
    let found = source.server.text(
        "SELECT count(), countIf(customer IN (SELECT id FROM `the shop's`.customers FINAL))
        FROM `the shop's`.orders FINAL WHERE toYYYYMM(placed) = 202506",
    );
    let counted = format!("{}\t{}", figures["source_rows"], figures["matched_rows"]);
    assert_eq!(counted, found, "{output}");
    // No row passes through the program, and each chunk reads granules of its own.
    let chunks: u64 = figures["chunks"].as_u64().unwrap();
    assert!(chunks > 1, "{output}");
    let read = "sum(read_rows) <= 2 * (SELECT sum(rows) FROM system.parts WHERE active AND table IN ('orders', 'customers')) + 8192 * count()";
    let remote = format!(
        "countIf(NOT is_initial_query AND user = 'reader' AND query_kind = 'Select') >= {chunks}"
    );
    assert_eq!(
        logged(
            &source.server,
            &format!(
                "{remote}, maxIf(result_rows, is_initial_query AND user = 'reader') < 100, {read}"
            )
        ),
        "1\t1\t1"
    );
    for server in [&source.server, &target] {
        let shown = "countIf(position(query, 'read' || 'ing') > 0 AND query LIKE '%remote(%')";
        assert_eq!(logged(server, shown), "0", "the password is in the log");
    }
    assert!(
        !output.stderr.contains("'reading'") && !output.stdout.contains("'reading'"),
        "{output}"
    );
    let plan = tool_of_plan(&source, &target, &address).arg("--sql").run().expect(0).stdout;
    assert!(plan.contains("'reader', '[HIDDEN]')") && !plan.contains("'reading'"), "{plan}");
}

fn tool_of_plan(source: &Orders, target: &Server, address: &str) -> Binary {
    let tool = tool(source, target).env("SOURCE_NATIVE", address);
    tool.args(&["plan", "--job", "job.toml", "--engine", "server"])
}

#[test]
fn an_address_that_does_not_lead_to_the_source_is_refused() {
    let (source, target) = orders_apart();
    let fails = |address: &str| {
        let output = by_the_target(&source, &target, address).env("OUTAGE_WAIT", "0").run();
        (format!("--source-native {address}"), output.failure())
    };
    assert_text_snapshot!(titled([
        fails("http://127.0.0.1:9000"),
        fails("source"),
    ]), @"
    # --source-native [URL]
    exit code 2
    error: --source-native cannot be used: it is a URL; give HOST:PORT, or tls://HOST:PORT
    hint: it is where the target's server reaches the source's native protocol, as in source.internal:9000

    # --source-native source
    exit code 2
    error: --source-native cannot be used: it has no port; the native protocol's is 9000, with TLS 9440
    hint: it is where the target's server reaches the source's native protocol, as in source.internal:9000
    ");
    let closed =
        by_the_target(&source, &target, "127.0.0.1:1").env("OUTAGE_WAIT", "0").run().expect(3);
    assert!(
        closed.stderr.contains("error: the target's server cannot read from the source's at 127.0.0.1:1\n  because: Code: 519."),
        "{closed}"
    );
    let traveller = by_the_target(&source, &target, &native_address(&source.server));
    let traveller = traveller.env("SOURCE_USER", "traveller").run().failure();
    assert_text_snapshot!(traveller, @"
    exit code 3
    error: the profile of the source's user traveller sets session_timezone, which the target's server cannot reset there
    hint: name a source user whose profile sets none of them, or leave the rows to --engine stream
    ");
    assert_eq!(target.text("SELECT count() FROM shipments"), "0");
    let without = tool(&source, &target).args(&["run", "--job", "job.toml", "--engine", "server"]);
    assert_text_snapshot!(without.run().failure(), @"
    exit code 2
    error: --engine server needs source and target on one server, and they are on two
    hint: --source-native HOST:PORT lets the target's server read from the source's; --engine stream reads from one server and inserts into the other
    ");
}

#[test]
#[ignore = "slow: about 10 s"]
fn a_source_that_cannot_be_reached_for_a_while_is_waited_for() {
    let (source, target) = orders_apart();
    let (native, http) =
        (Proxy::start(source.server.native_port()), Proxy::start(source.server.port()));
    target.script(
        "CREATE TABLE slow (order_id UInt64) ENGINE = Null
        --;;
        CREATE MATERIALIZED VIEW slowly TO slow AS SELECT order_id FROM shipments WHERE NOT ignore(sleepEachRow(0.0007))",
    );
    let tool = by_the_target(&source, &target, &format!("127.0.0.1:{}", native.port()));
    let running = tool
        .env("SOURCE_URL", http.url())
        .args(&["--inserters", "1", "--max-retries", "1", "--outage-wait", "60s"])
        .args(&["--log-file", "run.log"])
        .spawn();
    let filled = || target.text("SELECT count() FROM shipments").parse::<u64>().unwrap();
    assert!(process::wait_until(Duration::from_secs(30), || filled() > 0));
    for proxy in [&native, &http] {
        proxy.refuse();
        proxy.reset_all();
    }
    running.wait_for_log("the server cannot be reached");
    for proxy in [&native, &http] {
        proxy.pass();
    }
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("unreachable"), "{output}");
    assert_filled_with_orders(&source, &target);
}
