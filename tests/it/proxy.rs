//! The proxy of the tests: a fault that does not happen, or happens elsewhere, would make other
//! tests prove nothing.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Direction, Proxy, process};

const SOON: Duration = Duration::from_secs(10);

/// An echo server: sends back everything that it receives.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends bytes on a new connection and reads all that comes back, and how it ended.
fn exchange(proxy: &Proxy, bytes: &[u8]) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = connect(proxy);
    let mut answer = Vec::new();
    let sent = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let read = stream.read_to_end(&mut answer);
    (answer, sent.err().or(read.err()).map(|error| error.kind()))
}

#[test]
fn everything_passes_unchanged() {
    let proxy = Proxy::start(echo());
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut writer = connect(&proxy);
    let mut reader = writer.try_clone().unwrap();
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer).unwrap();
    sender.join().unwrap();
    assert!(answer == bytes);
    assert_eq!(
        (proxy.bytes(Direction::ToServer), proxy.bytes(Direction::ToClient)),
        (3_000_000, 3_000_000)
    );
    assert_eq!((proxy.accepted(), proxy.fired()), (1, 0));
}

#[test]
fn a_reset_comes_at_its_byte_and_as_often_as_said() {
    let proxy = Proxy::start(echo());
    proxy.reset_at(Direction::ToServer, 5, 2);
    for _ in 0..2 {
        let (answer, error) = exchange(&proxy, b"0123456789");
        assert!(
            answer.len() <= 5 && error == Some(ErrorKind::ConnectionReset),
            "{answer:?} {error:?}"
        );
    }
    assert_eq!(exchange(&proxy, b"0123456789"), (b"0123456789".to_vec(), None));
    assert_eq!((proxy.fired(), proxy.bytes(Direction::ToServer)), (2, 5 + 5 + 10));
}

#[test]
fn a_cut_answer_ends_cleanly_at_its_byte() {
    let proxy = Proxy::start(echo());
    proxy.cut_at(Direction::ToClient, 7, 1);
    let mut stream = connect(&proxy);
    stream.write_all(b"0123456789").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"0123456");
}

#[test]
fn a_flipped_byte_is_the_only_difference() {
    let proxy = Proxy::start(echo());
    proxy.flip_byte_at(Direction::ToClient, 3, 1);
    assert_eq!(exchange(&proxy, b"abcdef"), (vec![b'a', b'b', b'c', !b'd', b'e', b'f'], None));
    assert_eq!(proxy.fired(), 1);
}

#[test]
fn a_stall_holds_back_until_it_is_let_pass() {
    let proxy = Proxy::start(echo());
    proxy.stall_at(Direction::ToClient, 2, 1);
    let mut stream = connect(&proxy);
    stream.write_all(b"abcd").unwrap();
    let mut first = [0; 2];
    stream.read_exact(&mut first).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let nothing = stream.read(&mut [0; 2]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    proxy.pass();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut second = [0; 2];
    stream.read_exact(&mut second).unwrap();
    assert_eq!((&first, &second), (b"ab", b"cd"));
}

#[test]
fn a_refusal_is_one_and_ends() {
    let proxy = Proxy::start(echo());
    proxy.refuse();
    let refused = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.pass();
    assert_eq!(exchange(&proxy, b"again").0, b"again");
}

#[test]
fn who_is_ignored_waits() {
    let proxy = Proxy::start(echo());
    let mut before = connect(&proxy);
    let mut still = |bytes: &[u8]| {
        before.write_all(bytes).unwrap();
        before.read_exact(&mut vec![0; bytes.len()]).unwrap();
    };
    still(b"accepted");
    proxy.ignore();
    let address = (std::net::Ipv4Addr::LOCALHOST, proxy.port()).into();
    let ignored = TcpStream::connect_timeout(&address, Duration::from_secs(1)).unwrap_err();
    assert_eq!(ignored.kind(), ErrorKind::TimedOut);
    still(b"goes on");
    proxy.pass();
    assert_eq!(exchange(&proxy, b"again").0, b"again");
}

#[test]
fn a_marker_chooses_the_request_even_in_pieces() {
    let proxy = Proxy::start(echo());
    proxy.after_request_with(b"INSERT").reset_at(Direction::ToServer, 1, 1);
    assert_eq!(exchange(&proxy, b"SELECT 1").0, b"SELECT 1");
    let mut stream = connect(&proxy);
    stream.set_nodelay(true).unwrap();
    for piece in [b"xxIN".as_slice(), b"SE", b"RT"] {
        stream.write_all(piece).unwrap();
        let mut echoed = vec![0; piece.len()];
        stream.read_exact(&mut echoed).unwrap();
    }
    assert_eq!(proxy.fired(), 0);
    stream.write_all(b"12").unwrap();
    let error = stream.read(&mut [0; 2]).and_then(|_| stream.read(&mut [0; 2])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!((proxy.fired(), proxy.bytes(Direction::ToServer)), (1, 8 + 8 + 1));
}

#[test]
fn an_answer_can_be_withheld_after_the_request_has_arrived() {
    let proxy = Proxy::start(echo());
    proxy.after_request_with(b"INSERT").reset_at(Direction::ToClient, 0, 1);
    let (answer, error) = exchange(&proxy, b"INSERT 1");
    assert_eq!((answer, error), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    assert_eq!(proxy.bytes(Direction::ToServer), 8);
}

#[test]
fn live_connections_are_reset_when_told_and_when_it_ends() {
    let proxy = Proxy::start(echo());
    for drop_it in [false, true] {
        let mut stream = connect(&proxy);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        if drop_it {
            drop(proxy);
            assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
            break;
        }
        proxy.reset_all();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_server_that_is_not_there_resets_the_client() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let proxy = Proxy::start(gone);
    let mut stream = connect(&proxy);
    assert!(stream.read(&mut [0]).is_err());
    proxy.forward_to(echo());
    assert!(process::wait_until(SOON, || exchange(&proxy, b"x").0 == b"x"));
}
