//! Waiting because of how the server is.

use super::fixture::{assert_nothing_moves, orders, socket, time_of_a_run, tool, wait_for_reason};
use crate::orders::Orders;
use crate::support::assert_text_snapshot;

/// The target in partitions by month, with so many parts in that of the orders, of rows that newer
/// versions will replace.
fn crowded(orders: &Orders, parts: u64) {
    orders.server.script(
        "DROP TABLE shipments SYNC\n--;;\n\
         CREATE TABLE shipments (order_id UInt64, customer String, placed DateTime64(3, 'UTC'), amount Decimal(18, 2), note String, tags Array(String),
            letter String, version UInt32) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(placed) ORDER BY (customer, order_id)
            SETTINGS parts_to_delay_insert = 40\n--;;\n\
         SYSTEM STOP MERGES shipments",
    );
    for row in 1..=parts {
        orders.server.query(&format!(
            "INSERT INTO shipments SELECT id, customer, placed, 0, 'old', [], '', 0 FROM orders WHERE id = {row} AND id % 50 != 0 LIMIT 1"
        ));
    }
    // Another partition has more, which is no concern of this run.
    for row in 1..=parts + 5 {
        orders.server.query(&format!(
            "INSERT INTO shipments VALUES ({row}, 'c', '2031-01-01 00:00:00', 0, '', [], '', 1)"
        ));
    }
}

/// The default is half of what the table says itself, and the server merges on.
#[test]
#[ignore = "slow: about 10 s"]
fn a_run_waits_until_parts_are_merged() {
    let orders = orders();
    let time_of_a_run = time_of_a_run(&orders);
    crowded(&orders, 30);
    let running = tool(&orders).args(&["--inserters", "8"]).spawn();
    let socket = socket(&running);
    let status = wait_for_reason(&socket, "30 parts in 202506, limit 20");
    assert!(
        status["limits"]["inserters"].as_u64() <= Some(4),
        "half of them at the most: {status:#}"
    );
    assert_eq!(
        (&status["server"]["parts"]["parts"], &status["rules"]["parts_limit"]),
        (&30.into(), &20.into())
    );
    assert_nothing_moves(&socket, time_of_a_run);
    orders.server.query("SYSTEM START MERGES shipments");
    orders.server.query("OPTIMIZE TABLE shipments PARTITION 202506 FINAL");
    let output = running.wait().expect(0);
    assert!(
        output.stderr.contains("waiting: 30 parts in 202506, limit 20")
            && output.stderr.contains("going on"),
        "{output}"
    );
    orders.server.query("ALTER TABLE shipments DROP PARTITION 203101");
    orders.assert_complete();
}

#[test]
fn the_limit_of_parts_can_be_chosen() {
    let orders = orders();
    crowded(&orders, 30);
    let running = tool(&orders).args(&["--max-parts", "29"]).spawn();
    wait_for_reason(&socket(&running), "30 parts in 202506, limit 29");
    drop(running);
    // It takes what the server takes.
    orders.server.query("SYSTEM START MERGES shipments");
    tool(&orders).args(&["--max-parts", "none"]).run().expect(0);
}

#[test]
#[ignore = "slow: about 12 s"]
fn a_query_of_ones_own_decides() {
    let orders = orders();
    orders.server.script(
        "CREATE TABLE brake (reason String) ENGINE = MergeTree ORDER BY ()\n--;;\nINSERT INTO brake VALUES ('replicas are behind')",
    );
    let query = "SELECT reason FROM brake LIMIT 1 -- of the test;";
    let running = tool(&orders).args(&["--throttle-query", query]).spawn();
    let socket = socket(&running);
    wait_for_reason(&socket, "throttle query: replicas are behind");
    // A query that fails is no permission.
    orders.server.query("RENAME TABLE brake TO gone");
    super::fixture::wait_for(&socket, "the failure", |status| {
        status["waiting"][0].as_str().is_some_and(|reason| {
            reason.starts_with("throttle query: it fails: ") && reason.contains("UNKNOWN_TABLE")
        })
    });
    orders.server.query("RENAME TABLE gone TO brake");
    wait_for_reason(&socket, "throttle query: replicas are behind");
    orders.server.query("TRUNCATE TABLE brake");
    running.wait().expect(0);
    orders.assert_complete();

    orders.server.query("DROP TABLE brake SYNC");
    let refused = tool(&orders).args(&["--throttle-query", query]).run();
    assert_text_snapshot!(refused.failure(), @"
    exit code 3
    error: the throttle query fails, tested before the first row
      because: Code: 60. [WORDS OF THE SERVER] (UNKNOWN_TABLE)
    hint: correct --throttle-query; its value is the reason to wait, and 0 or an empty string is none
    ");
    let zero = tool(&orders).args(&["--throttle-query", "SELECT 0"]).run().expect(0);
    assert!(!zero.stderr.contains("waiting"), "{zero}");
}
