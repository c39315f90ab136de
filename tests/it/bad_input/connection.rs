//! A server that is not there, does not let in, or lacks what is asked for.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{fails, few_orders, refuses};
use crate::support::{Binary, assert_text_snapshot};

#[test]
fn a_server_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let orders = few_orders();
    let url = format!("http://127.0.0.1:{port}");
    let impatient = |url: &str| orders.tool_at(url).env("OUTAGE_WAIT", "0s");
    let refused = refuses(&orders, impatient(&url), 2);
    assert!(refused.contains("onnection refused"), "the system's words\n{refused}");
    assert_text_snapshot!(refused, @"
    exit code 2
    error: the connection to [URL] failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    ");
    // A name that does not resolve is not waited for.
    let began = Instant::now();
    let unknown = fails(orders.tool_at("http://no-such-host.invalid:8123"), 2);
    assert_text_snapshot!(unknown, @"
    exit code 2
    error: the connection to http://no-such-host.invalid:8123/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    ");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

/// What is wrong with the URL, and the flags to use instead, on two lines.
#[track_caller]
fn says(tool: Binary, problem: &str, hint: &str) {
    let expected = format!("exit code 2\nerror: the ClickHouse URL {problem}\nhint: {hint}\n");
    assert_eq!(fails(tool, 2), expected);
}

const EXAMPLE: &str = "set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface, such as http://localhost:8123";

#[test]
fn a_url_of_another_kind_is_named_with_the_right_one() {
    let orders = few_orders();
    for (url, problem, hint) in [
        ("", "is empty", EXAMPLE),
        ("http://", "has no host", EXAMPLE),
        ("localhost", "has no scheme", "--clickhouse-url http://localhost:8123"),
        ("localhost:28123", "has no scheme", "--clickhouse-url http://localhost:28123"),
        ("127.0.0.1:28123", "has no scheme", "--clickhouse-url http://127.0.0.1:28123"),
        (
            "clickhouse://ann:secret@host:9000/shop",
            "has the scheme clickhouse, but only http and https are supported",
            "--clickhouse-url http://host:8123 --clickhouse-db shop",
        ),
        (
            "tcp://host:9440?secure=1",
            "has the scheme tcp, but only http and https are supported",
            "--clickhouse-url https://host:8443",
        ),
        (
            "http://ann:secret@host:8123/?database=small%20one",
            "has the parameter database, but parameters are not supported",
            "--clickhouse-url http://host:8123 --clickhouse-db 'small one'",
        ),
        (
            "http://host:8123/?password=secret",
            "has the parameter password, but parameters are not supported",
            "--clickhouse-url http://host:8123",
        ),
    ] {
        says(orders.tool_at(url), problem, hint);
    }
    let source = orders.tool().env("SOURCE_URL", "host:8123");
    assert_text_snapshot!(fails(source, 2), @"
    exit code 2
    error: cannot use the source's server
      because: the ClickHouse URL has no scheme
    hint: --source-url http://host:8123
    ");
}

#[test]
fn a_path_that_the_server_does_not_serve_is_named() {
    let orders = few_orders();
    let url = orders.server.url();
    says(
        orders.tool_at(&format!("{url}/shop")),
        "has the path /shop, which the server does not serve",
        &format!("--clickhouse-url {url} --clickhouse-db shop"),
    );
    says(
        orders.tool_at(&format!("{url}/a/b")),
        "has the path /a/b, which the server does not serve",
        &format!("--clickhouse-url {url}"),
    );
}

/// The URL of a server that answers every request with this.
fn answering(response: &str) -> String {
    let response = response.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8_192];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    url
}

#[test]
fn a_redirect_names_its_target() {
    let orders = few_orders();
    for (moved, url) in [
        ("301 Moved Permanently\r\nLocation: https://db.example/ch/?x=1", "https://db.example/ch"),
        ("302 Found\r\nLocation: http://ann:secret@db.example/", "http://db.example"),
        ("307 Temporary Redirect\r\nLocation: //db.example:8443/", "http://db.example:8443"),
        ("308 Permanent Redirect\r\nLocation: https://db.example", "https://db.example"),
    ] {
        let moved =
            format!("HTTP/1.1 {moved}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nmoved");
        let hint = format!("--clickhouse-url {url}");
        says(orders.tool_at(&answering(&moved)), "redirects to another URL", &hint);
    }
}

#[test]
fn the_port_of_the_native_protocol_is_named() {
    let orders = few_orders();
    let native = "HTTP/1.0 400 Bad Request\r\n\r\nPort 9000 is for clickhouse-client program\r\nYou must use port 8123 for HTTP.\r\n";
    says(
        orders.tool_at(&answering(native)),
        "has the port of ClickHouse's native protocol, not of its HTTP interface",
        "--clickhouse-url http://127.0.0.1:8123",
    );
}

#[test]
fn a_database_that_is_not_there() {
    let orders = few_orders();
    let nowhere = refuses(&orders, orders.tool().args(&["--clickhouse-db", "nowhere"]), 2);
    assert_text_snapshot!(nowhere, @"
    exit code 2
    error: the server does not have the database
      because: Code: 81. [WORDS OF THE SERVER] (UNKNOWN_DATABASE)
    hint: set --clickhouse-db or CLICKHOUSE_DB to the database of the tables
    ");
    let empty = refuses(&orders, orders.tool().args(&["--clickhouse-db", ""]), 2);
    assert_text_snapshot!(empty, @"
    exit code 2
    error: the name of the database is empty
    hint: set --clickhouse-db or CLICKHOUSE_DB
    ");
}
