//! A server that is not there, does not let in, or lacks what is asked for.

use std::net::TcpListener;

use super::{fails, few_orders, refuses};

#[test]
fn a_server_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let orders = few_orders();
    let url = format!("http://127.0.0.1:{port}");
    let impatient = |url: &str| orders.tool_at(url).env("OUTAGE_WAIT", "0s");
    refuses(
        &orders,
        impatient(&url),
        2,
        &[&url, "onnection refused", "--clickhouse-url or CLICKHOUSE_URL"],
    );
    for url in ["127.0.0.1:8123", "localhost", "tcp://127.0.0.1:9000", "http://", ""] {
        fails(orders.tool_at(url), 2, &["the ClickHouse URL cannot be used"]);
    }
    fails(
        impatient("http://no-such-host.invalid:8123"),
        2,
        &["no-such-host.invalid", "CLICKHOUSE_URL"],
    );
}

#[test]
fn a_database_that_is_not_there() {
    let orders = few_orders();
    refuses(
        &orders,
        orders.tool().args(&["--clickhouse-db", "nowhere"]),
        2,
        &["nowhere", "UNKNOWN_DATABASE", "--clickhouse-db or CLICKHOUSE_DB"],
    );
    refuses(
        &orders,
        orders.tool().args(&["--clickhouse-db", ""]),
        2,
        &["--clickhouse-db or CLICKHOUSE_DB"],
    );
}
