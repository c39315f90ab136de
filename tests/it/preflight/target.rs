//! What the target does with rows: whether it takes them, what becomes of repeated ones, whom they
//! wake.

use super::fixture::{look, tool};
use crate::orders::Orders;
use crate::support::{Server, ServerOptions};

/// May see all of it, and write nothing.
const READER: &str = "<clickhouse><users><reader><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
    <default_database>default</default_database><grants><query>GRANT SELECT ON *.*</query></grants></reader></users></clickhouse>";

#[test]
fn a_target_that_may_not_be_written_to_forbids_it() {
    let orders = Orders::on(
        Server::start_with(ServerOptions {
            users_xml: Some(READER.to_owned()),
            ..Default::default()
        }),
        100,
    );
    look(tool(&orders), 0).assert("insert", "ok", &["the server accepts the insert"]);
    let looked = look(tool(&orders).env("CLICKHOUSE_USER", "reader"), 3);
    looked.assert(
        "insert",
        "forbids",
        &["Not enough privileges", "INSERT", "GRANT INSERT ON `default`.`shipments`"],
    );
    assert!(
        looked.output.stderr.contains("error: the check insert blocks the run"),
        "{}",
        looked.output
    );
}

#[test]
fn a_target_that_keeps_repeated_rows_forbids_it() {
    let orders = Orders::on(Server::start(), 100);
    let server = &orders.server;
    look(tool(&orders), 0).assert("repeats", "ok", &["collapse in", "(ReplacingMergeTree)"]);
    server.query("CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY order_id SETTINGS non_replicated_deduplication_window = 0");
    let plain = || tool(&orders).args(&["--target-table", "plain"]);
    let words = [
        "would stay twice",
        "MODIFY SETTING non_replicated_deduplication_window = 10000",
        "--allow-duplicates",
    ];
    look(plain(), 3).assert("repeats", "forbids", &words);
    look(plain().env("ALLOW_DUPLICATES", "true"), 0).assert(
        "repeats",
        "warning",
        &["that is allowed"],
    );
    server.query("ALTER TABLE plain MODIFY SETTING non_replicated_deduplication_window = 1000");
    look(plain(), 0).assert("repeats", "ok", &["recognizes the last 1000 blocks"]);
}

#[test]
fn views_that_fire_are_named() {
    let orders = Orders::on(Server::start(), 100);
    let server = &orders.server;
    look(tool(&orders), 0).assert("views", "ok", &["no materialized view reads"]);
    server.script(
        "CREATE TABLE counted (customer String, orders UInt64) ENGINE = SummingMergeTree ORDER BY customer
         --;;
         CREATE MATERIALIZED VIEW counting TO counted AS SELECT customer, count() AS orders FROM shipments GROUP BY customer",
    );
    let database = server.database();
    let words = format!("with every batch {database}.counting fires and fills {database}.counted");
    look(tool(&orders), 0).assert("views", "warning", &[&words]);
    let run = orders.tool().run().expect(0);
    assert!(run.stderr.contains(&format!("note: views: {words}")), "{run}");
    let dry = orders.tool().arg("--dry-run").run().expect(0);
    assert!(!dry.stderr.contains("note: views"), "a dry run fires none\n{dry}");
}
