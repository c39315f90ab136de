//! Merges and mutations under way.

use std::time::Duration;

use super::fixture::{look, tool};
use crate::orders::Orders;
use crate::support::{Server, process};

#[test]
fn mutations_that_are_not_done_are_named() {
    let orders = Orders::on(Server::shared(), 100);
    let server = &orders.server;
    look(tool(&orders), 0).assert("mutations", "ok", &["no unfinished mutation"]);
    server.query("SYSTEM STOP MERGES customers");
    server.query(
        "ALTER TABLE customers UPDATE letter = 'x' WHERE id = 'c1' SETTINGS mutations_sync = 0",
    );
    let words = [
        "1 of",
        ".customers",
        "UPDATE letter = 'x'",
        "parts to do",
        "KILL MUTATION WHERE database = ",
    ];
    look(tool(&orders), 0).assert("mutations", "warning", &words);
    // One that fails says why.
    server.query("SYSTEM START MERGES customers");
    server.query("ALTER TABLE shipments UPDATE note = toString(throwIf(1, 'on purpose')) WHERE 1 SETTINGS mutations_sync = 0");
    server.query("INSERT INTO shipments (order_id) VALUES (1)");
    server.query("ALTER TABLE shipments UPDATE note = toString(throwIf(order_id = 1, 'on purpose')) WHERE 1 SETTINGS mutations_sync = 0");
    let failed = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND latest_fail_reason != ''";
    assert!(
        process::wait_until(Duration::from_secs(60), || server.text(failed) != "0"),
        "the mutation does not fail"
    );
    look(tool(&orders), 0).assert(
        "mutations",
        "warning",
        &[".shipments", "which fails: ", "on purpose"],
    );
    // A run says it, and goes on.
    let run = orders.tool().run().expect(0);
    assert!(run.stderr.contains("note: mutations: unfinished: "), "{run}");
}
