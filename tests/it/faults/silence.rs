//! A server that takes connections and says nothing: each wait has its limit, and a flag.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::fixture::{Behind, INSERT, SOON, SOURCE};
use crate::orders::Orders;
use crate::support::{Deaf, Direction, Proxy, Server, process};
use bytes::Bytes;
use clickhouse_backfill::internals::clickhouse::{
    Connection, Endpoint, Error, ErrorClass, QueryPrefix, Settings, Timeouts, WireCompression,
};

/// What is waited for in these tests.
const SHORT: Duration = Duration::from_millis(300);
/// What is not: longer than a test may take.
const LONG: Duration = Duration::from_secs(600);

const PATIENT: Timeouts =
    Timeouts { connect: LONG, first_byte: LONG, idle: LONG, send: LONG, insert_end: LONG };

fn connection(address: SocketAddr, timeouts: Timeouts) -> Connection {
    let endpoint = Endpoint::new(&format!("http://{address}"), None, None, "default").unwrap();
    Connection::new(endpoint, WireCompression::None, QueryPrefix::new("silence"), timeouts).unwrap()
}

/// A server that says this on each connection, once something was asked, and keeps it open.
fn server(says: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 64];
            if !says.is_empty() && stream.read(&mut request).is_ok() {
                stream.write_all(says).unwrap();
            }
            open.push(stream);
        }
    });
    address
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Reads an answer to its end.
async fn read(connection: &Connection) -> Result<(), Error> {
    let mut stream = connection.stream("source", "SELECT 1", &Settings::read())?;
    while stream.next().await?.is_some() {}
    Ok(())
}

/// The limit was kept, and the error says what took too long.
#[track_caller]
fn assert_timed_out(began: Instant, ended: Result<(), Error>, words: &str) {
    let error = ended.unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert_ne!(error.class(), ErrorClass::Fatal, "{error}");
    assert!((SHORT..Duration::from_secs(60)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[test]
fn the_first_byte_of_an_answer() {
    let connection = connection(server(b""), Timeouts { first_byte: SHORT, ..PATIENT });
    let began = Instant::now();
    assert_timed_out(
        began,
        wait(read(&connection)),
        "the first part of a response took longer than",
    );
}

#[test]
fn the_next_byte_of_an_answer() {
    let start = b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let connection = connection(server(start), Timeouts { idle: SHORT, ..PATIENT });
    let began = Instant::now();
    assert_timed_out(
        began,
        wait(read(&connection)),
        "the next part of a response took longer than",
    );
}

#[test]
fn the_acknowledgement_of_an_insert() {
    let connection = connection(server(b""), Timeouts { insert_end: SHORT, ..PATIENT });
    let began = Instant::now();
    let body = [Bytes::from_static(b"abc")];
    let ended = wait(connection.insert(
        "insert",
        "INSERT INTO t FORMAT RowBinary",
        &Settings::insert(1),
        &body,
    ));
    assert_timed_out(began, ended, "an insert took longer than");
}

/// More bytes than the buffers of the connection take, and nobody reads them.
#[test]
fn the_body_of_an_insert() {
    let connection = connection(server(b""), Timeouts { send: SHORT, ..PATIENT });
    let began = Instant::now();
    let body = vec![Bytes::from(vec![0; 1 << 20]); 64];
    let ended = wait(connection.insert(
        "insert",
        "INSERT INTO t FORMAT RowBinary",
        &Settings::insert(1),
        &body,
    ));
    assert_timed_out(began, ended, "took longer than");
}

#[test]
fn the_connection_itself() {
    let deaf = Deaf::on(0);
    let address = deaf.address();
    let connection = connection(address, Timeouts { connect: SHORT, ..PATIENT });
    let began = Instant::now();
    assert_timed_out(
        began,
        wait(read(&connection)),
        &format!("the connection to http://{address}/ failed: connecting took longer than"),
    );
}

#[test]
#[ignore = "slow: waits for each limit"]
fn each_limit_has_a_flag_and_what_took_too_long_is_tried_again() {
    let behind = Behind::start();
    for (flag, marker, offset, words) in [
        ("--first-byte-timeout", SOURCE, 0, "the first part of a response took longer than 4 s"),
        ("--idle-timeout", SOURCE, 1_000_000, "the next part of a response took longer than 4 s"),
        ("--insert-timeout", INSERT, 0, "an insert took longer than 4 s"),
    ] {
        behind.begin_again();
        let before = behind.proxy.fired();
        behind.proxy.after_request_with(marker).stall_at(Direction::ToClient, offset, 1);
        let output = behind.tool().args(&[flag, "4s", "--max-retries", "20"]).run().expect(0);
        assert_eq!(behind.proxy.fired(), before + 1, "the fault happened once\n{output}");
        assert!(output.stderr.contains(words), "{words}\n{output}");
        assert!(behind.orders.figure("retries") >= 1, "{output}");
        behind.proxy.pass();
        behind.orders.assert_complete();
    }
}

#[test]
#[ignore = "slow: waits for each limit"]
fn so_have_those_of_connections_and_of_sending() {
    // One batch of all rows: more bytes than the buffers between the run and the server take.
    let orders = Orders::on(Server::shared(), 60_000);
    let proxy = Proxy::start(orders.server.port());
    let tool = || {
        orders
            .tool_at(&proxy.url())
            .args(&["--max-retries", "20", "--log-file", "run.log"])
            .limit(3 * SOON)
    };

    proxy.ignore();
    let running = tool().args(&["--connect-timeout", "4s"]).spawn();
    let log = running.folder().join("run.log");
    let words = "connecting took longer than 4 s";
    let noticed = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(words));
    assert!(
        process::wait_until(SOON, noticed),
        "{words}: {}",
        std::fs::read_to_string(&log).unwrap_or_default()
    );
    proxy.pass();
    let output = running.wait().expect(0);
    assert!(output.stderr.contains("the server answers again"), "{output}");
    orders.assert_complete();

    orders.server.query("TRUNCATE TABLE shipments");
    proxy.after_request_with(INSERT).stall_at(Direction::ToServer, 500_000, 1);
    let output = tool().args(&["--send-timeout", "4s"]).run().expect(0);
    assert_eq!(proxy.fired(), 1, "the fault happened once\n{output}");
    let words = "sending a part of an insert took longer than 4 s";
    let line = output.stderr.lines().find(|line| line.contains(words)).unwrap_or_default();
    assert!(line.contains("the same bytes are sent again"), "{words}\n{output}");
    assert!(orders.figure("retries") >= 1 && orders.figure("errors") == 0, "{output}");
    orders.assert_complete();
}
