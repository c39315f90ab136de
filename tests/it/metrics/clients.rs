//! Clients that are slow, many, or no clients at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::fixture::{SOON, free_address, page, scraped};
use crate::faults::fixture::Behind;
use crate::support::process;

/// Sends this and gives what is answered until the connection ends, however it does.
fn said(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // What is cut off in the middle may be refused by then.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
#[ignore = "slow: about 7 s"]
fn clients_cannot_disturb_a_run() {
    let behind = Behind::start();
    let address = free_address();
    let running =
        behind.half_way_with(behind.tool().args(&["--metrics-listen", &address.to_string()]));
    scraped(address);
    let post = said(address, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(
        post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nallow: GET, HEAD\r\n"),
        "{post}"
    );
    // What is shown is of this moment, whoever is between.
    let live = said(address, b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n");
    for header in ["cache-control: no-store", "x-content-type-options: nosniff"] {
        assert!(live.contains(&format!("\r\n{header}\r\n")), "{header}\n{live}");
    }
    assert!(
        said(address, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("\r\n\r\n"),
        "a head and no body"
    );
    assert!(
        said(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").len() < 200,
        "this is TLS"
    );
    let endless = [b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    assert!(!said(address, &endless).starts_with("HTTP/1.1 200 "), "a head without an end");
    // One request a connection, whatever the client would like.
    let twice = said(address, &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2));
    assert_eq!(twice.matches("HTTP/1.1 200 ").count(), 1, "{twice}");

    // Connections that say nothing, or a little, and stay: more than there are places.
    let silent: Vec<_> = (0..100)
        .map(|number| {
            let mut stream = TcpStream::connect(address).unwrap();
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX-");
            }
            stream
        })
        .collect();
    let served = || page(address, "/metrics").is_ok_and(|(status, ..)| status == 200);
    assert!(process::wait_until(SOON, served), "those who say nothing keep their places");
    behind.proxy.pass();
    running.wait().expect(0);
    behind.orders.assert_complete();
    drop(silent);
}
