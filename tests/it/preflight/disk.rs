//! Disk and memory of the server.

// A test fails by a panic.
#![allow(clippy::unwrap_used)]

use super::fixture::{look, tool};
use crate::orders::Orders;
use crate::support::Server;

#[test]
fn the_disk_that_is_needed_is_that_of_the_rows() {
    let orders = Orders::on(Server::shared(), 1_000);
    let looked = look(tool(&orders), 0);
    looked.assert("disk", "ok", &["are free"]);
    let source = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'orders'";
    assert_eq!(looked.plan["disk"]["needed_bytes"].to_string(), orders.server.text(source));
    let free = looked.plan["disk"]["free_bytes"].as_u64().unwrap_or_default();
    let by_server: u64 = orders
        .server
        .text("SELECT least(free_space, unreserved_space) FROM system.disks")
        .parse()
        .unwrap_or_default();
    assert!(free.abs_diff(by_server) < 10 << 30, "{free} against {by_server}");
    // A target that has rows says itself how large they are.
    orders
        .server
        .query("INSERT INTO shipments (order_id, customer, note) SELECT number, 'x', randomPrintableASCII(200) FROM numbers(100000)");
    let target = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'shipments'";
    let expected =
        orders.server.text(target).parse::<f64>().unwrap_or_default() / 100_000.0 * 1_100.0;
    let looked = look(tool(&orders), 0);
    let needed = looked.plan["disk"]["needed_bytes"].as_f64().unwrap_or_default();
    assert!((needed / expected - 1.0).abs() < 0.05, "{needed} against {expected}");
    looked.assert("disk", "ok", &["as those of ", ".shipments"]);
}
