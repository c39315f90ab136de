//! What the target does with rows: whether it takes them, what becomes of repeated ones, whom they
//! wake.

use super::fixture::{look, tool};
use crate::orders::Orders;
use crate::support::Server;

#[test]
fn a_target_that_keeps_repeated_rows_forbids_it() {
    let orders = Orders::on(Server::shared(), 100);
    let server = &orders.server;
    look(tool(&orders), 0).assert("repeats", "ok", &["collapse in", "(ReplacingMergeTree)"]);
    server.query("CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY order_id SETTINGS non_replicated_deduplication_window = 0");
    let plain = || tool(&orders).args(&["--target-table", "plain"]);
    let words = [
        "would stay twice",
        "MODIFY SETTING non_replicated_deduplication_window = 10000",
        "--allow-duplicates",
    ];
    look(plain(), 3).assert("repeats", "blocked", &words);
    look(plain().env("ALLOW_DUPLICATES", "true"), 0).assert(
        "repeats",
        "warning",
        &["that is allowed"],
    );
    server.query("ALTER TABLE plain MODIFY SETTING non_replicated_deduplication_window = 1000");
    look(plain(), 0).assert("repeats", "ok", &["recognizes the last 1,000 blocks"]);
}

#[test]
fn views_that_fire_are_named() {
    let orders = Orders::on(Server::shared(), 100);
    let server = &orders.server;
    look(tool(&orders), 0).assert(
        "views",
        "ok",
        &["no materialized view that the user can see reads"],
    );
    server.script(
        "CREATE TABLE counted (customer String, orders UInt64) ENGINE = SummingMergeTree ORDER BY customer
         --;;
         CREATE MATERIALIZED VIEW counting TO counted AS SELECT customer, count() AS orders FROM shipments GROUP BY customer",
    );
    let database = server.database();
    let words = format!("every batch triggers {database}.counting, which fills {database}.counted");
    look(tool(&orders), 0).assert("views", "warning", &[&words]);
    let run = orders.tool().run().expect(0);
    assert!(run.stderr.contains(&format!("note: views: {words}")), "{run}");
    let dry = orders.tool().arg("--dry-run").run().expect(0);
    assert!(!dry.stderr.contains("note: views"), "a dry run fires none\n{dry}");
}

#[test]
fn a_buffer_that_keeps_rows_in_memory_is_refused() {
    let orders = Orders::on(Server::shared(), 100);
    let server = &orders.server;
    server.query(&format!(
        "CREATE TABLE buffered AS shipments ENGINE = Buffer({}, shipments, 1, 100, 1000, 1000000, 10000000, 100000000, 1000000000)",
        server.database()
    ));
    let into = ["--target-table", "buffered", "--allow-duplicates"];
    let words =
        ["(Buffer) acknowledges rows that are only in memory", "--target-table names the table"];
    look(tool(&orders).args(&into), 3).assert("delivery", "blocked", &words);
    let run = orders.tool().args(&into).run().expect(3);
    assert!(words.iter().all(|part| run.stderr.contains(part)), "{run}");
    assert_eq!(orders.target_rows(), 0);
}
