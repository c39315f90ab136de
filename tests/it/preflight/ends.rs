//! What lies between the two ends: versions, time zones, and others who write.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::fixture::{look, tool, tool_with};
use crate::orders::{JOB, Orders};
use crate::support::{Proxy, Server, ServerOptions};

/// The first answer, as a server of this version gives it.
fn hello(version: &str) -> Vec<u8> {
    let body = format!("{{\"version\":\"{version}\"}}\n");
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

#[test]
fn versions_that_do_not_mark_errors_are_said() {
    let orders = Orders::on(Server::start(), 100);
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
            "not marked reliably",
            "held back",
            "25.11 or newer",
        ],
    );
    assert_eq!(looked.plan["servers"]["target"]["version"], "25.8.11.66");
}

#[test]
fn ends_in_different_time_zones_are_said() {
    let orders = Orders::on(Server::start(), 100);
    look(tool(&orders), 0).assert("time-zones", "ok", &["on both ends"]);
    let job = format!("{JOB}\n[settings.insert]\nsession_timezone = \"Asia/Kathmandu\"\n");
    look(tool_with(&orders, &job), 0).assert(
        "time-zones",
        "warning",
        &["expressions are evaluated in Asia/Kathmandu"],
    );
    let users = "<clickhouse><profiles><default><session_timezone>Europe/Berlin</session_timezone></default></profiles></clickhouse>";
    let other = Server::start_with(ServerOptions {
        users_xml: Some(users.to_owned()),
        ..Default::default()
    });
    let create = orders
        .server
        .text("SHOW CREATE TABLE shipments FORMAT TSVRaw")
        .replace(&format!("{}.shipments", orders.server.database()), "shipments");
    other.query(&create);
    let apart = tool(&orders)
        .envs(&other.environment())
        .env("SOURCE_URL", orders.server.url())
        .env("SOURCE_DB", orders.server.database());
    let looked = look(
        apart
            .env("SOURCE_USER", orders.server.user())
            .env("SOURCE_PASSWORD", orders.server.password()),
        0,
    );
    looked.assert("time-zones", "warning", &["evaluated in Europe/Berlin", "session_timezone = '"]);
    assert_eq!(looked.plan["servers"]["one"], false);
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
    let orders = Orders::on(Server::start_here(), 100);
    let server = &orders.server;
    let words = [
        &format!(
            "2 inserts of 110 rows into partition 202506 of {}.orders within 10 min",
            server.database()
        ),
        "`verify` afterwards",
    ];
    look(tool(&orders), 0).assert("live-writes", "warning", &words);
    let run = orders.tool().run().expect(0);
    assert!(run.stderr.contains("note: live-writes: 2 inserts of 110 rows"), "{run}");
    let folder = server.text("SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = 'orders'");
    server.query("DETACH TABLE orders");
    age(Path::new(&folder));
    server.query("ATTACH TABLE orders");
    look(tool(&orders), 0).assert("live-writes", "ok", &["nobody has written to partition 202506"]);
    // Another partition is none of its business.
    server.query("INSERT INTO orders SELECT * REPLACE (toDateTime('2025-07-01 00:00:00', 'UTC') AS placed) FROM orders LIMIT 1");
    look(tool(&orders), 0).assert("live-writes", "ok", &[]);
}

#[test]
fn writes_are_seen_in_the_log_of_parts_as_well() {
    let config = "<clickhouse><part_log><database>system</database><table>part_log</table></part_log></clickhouse>";
    let orders = Orders::on(
        Server::start_with(ServerOptions {
            config_xml: Some(config.to_owned()),
            ..Default::default()
        }),
        100,
    );
    let server = &orders.server;
    server.query("SYSTEM FLUSH LOGS");
    let before = look(tool(&orders), 0);
    before.assert("live-writes", "warning", &["2 inserts of 110 rows"]);
    // The parts themselves are gone, and what this program inserts is no live write.
    server.query("OPTIMIZE TABLE orders FINAL");
    server.query_with(
        "INSERT INTO orders SELECT * FROM orders LIMIT 1",
        &[("query_id", "clickhouse-backfill-of-another-run-insert-1")],
    );
    server.query("SYSTEM FLUSH LOGS");
    look(tool(&orders), 0).assert("live-writes", "warning", &["2 inserts of 110 rows"]);
}
