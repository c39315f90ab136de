//! What lies between the two ends: versions, time zones, and others who write.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::fixture::{look, tool};
use crate::orders::Orders;
use crate::support::{Proxy, Server};

/// The first answer, as a server of this version gives it.
fn hello(version: &str) -> Vec<u8> {
    let body = format!("{{\"version\":\"{version}\"}}\n");
    format!("HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {{}}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

#[test]
fn versions_that_do_not_mark_errors_are_said() {
    let orders = Orders::on(Server::shared(), 100);
    let version = orders.server.text("SELECT version()");
    look(tool(&orders), 0).assert(
        "version",
        "ok",
        &[&format!("ClickHouse {version}; tested with 26.7")],
    );
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(b"-hello-").answer([hello("25.8.11.66")]);
    let looked = look(tool(&orders).env("CLICKHOUSE_URL", proxy.url()), 0);
    assert_eq!(proxy.fired(), 1);
    looked.assert(
        "version",
        "warning",
        &[
            "ClickHouse 25.8.11.66; tested with 26.7",
            "does not tag errors",
            "held back",
            "25.11 or newer",
        ],
    );
    assert_eq!(looked.plan["servers"]["target"]["version"], "25.8.11.66");
}

/// Makes everything in a folder two hours old.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(7200);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        }
        std::fs::File::open(&path).unwrap().set_modified(then).unwrap();
    }
}

#[test]
fn a_partition_that_is_written_to_is_said() {
    let orders = Orders::on(Server::shared_here(), 100);
    let server = &orders.server;
    let words = [
        &format!(
            "2 inserts of 110 rows into partition 202506 of {}.orders in the last 10 min",
            server.database()
        ),
        "`verify` and `repair` afterwards",
    ];
    look(tool(&orders), 0).assert("live-writes", "warning", &words);
    let run = orders.tool().run().expect(0);
    assert!(run.stderr.contains("note: live-writes: 2 inserts of 110 rows"), "{run}");
    let folder = server.text("SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = 'orders'");
    server.query("DETACH TABLE orders");
    age(Path::new(&folder));
    server.query("ATTACH TABLE orders");
    look(tool(&orders), 0).assert(
        "live-writes",
        "ok",
        &["no other client wrote to partition 202506"],
    );
    // Another partition is none of its business.
    server.query("INSERT INTO orders SELECT * REPLACE (toDateTime('2025-07-01 00:00:00', 'UTC') AS placed) FROM orders LIMIT 1");
    look(tool(&orders), 0).assert("live-writes", "ok", &[]);
}
