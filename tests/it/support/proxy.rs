//! A TCP proxy on loopback that fails on command: faults of a network, at a byte that the test
//! chooses.
//!
//! It does not parse HTTP. Offsets count the bytes of one connection in one direction, from its
//! beginning, or from the end of a marker in what the client sent ([`Proxy::after_request_with`]).
//! One fault is armed at a time; a new one replaces it. A fault that has happened `times` times is
//! spent, and everything passes again.

mod connection;
mod deaf;
mod fault;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use connection::Connection;
pub use deaf::Deaf;
pub use fault::Direction;
use fault::{Action, Fault};

/// Interval at which threads check whether to end.
const POLL: Duration = Duration::from_millis(5);

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    marker: Mutex<Option<Vec<u8>>>,
    deaf: Mutex<Option<Deaf>>,
    acceptor: Option<JoinHandle<()>>,
}

/// The state that the proxy's threads share.
#[derive(Debug)]
struct Shared {
    upstream: Mutex<SocketAddr>,
    fault: Mutex<Option<Fault>>,
    refusing: AtomicBool,
    /// The acceptor has closed its listener because of `refusing`.
    refuses: AtomicBool,
    ended: AtomicBool,
    fired: AtomicUsize,
    accepted: AtomicUsize,
    bytes: [AtomicU64; 2],
    connections: Mutex<Vec<Weak<Connection>>>,
}

impl Proxy {
    /// A proxy on a free port of 127.0.0.1 that forwards to another port of it.
    pub fn start(upstream_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream: Mutex::new((Ipv4Addr::LOCALHOST, upstream_port).into()),
            fault: Mutex::default(),
            refusing: AtomicBool::default(),
            refuses: AtomicBool::default(),
            ended: AtomicBool::default(),
            fired: AtomicUsize::default(),
            accepted: AtomicUsize::default(),
            bytes: [AtomicU64::new(0), AtomicU64::new(0)],
            connections: Mutex::default(),
        });
        let acceptor = Some(std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared, listener, port)
        }));
        Self { shared, port, marker: Mutex::default(), deaf: Mutex::default(), acceptor }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL to which the tool connects.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Forwards new connections to another port, such as that of a server that was started again.
    pub fn forward_to(&self, upstream_port: u16) {
        *self.shared.upstream.lock().unwrap() = (Ipv4Addr::LOCALHOST, upstream_port).into();
    }

    /// The faults armed from now on count their offsets from the end of these bytes in what the
    /// client sends, on connections that send them: `b"INSERT"`, or a part of a URL as it is
    /// encoded. On a connection that is used for several requests the first one after the fault was
    /// armed counts. An empty marker goes back to whole connections.
    pub fn after_request_with(&self, marker: &[u8]) -> &Self {
        *self.marker.lock().unwrap() = Some(marker.to_vec()).filter(|marker| !marker.is_empty());
        self
    }

    /// Resets (RST) both ends once `offset` bytes have passed in the direction.
    pub fn reset_at(&self, direction: Direction, offset: u64, times: usize) {
        self.arm(Action::Reset, direction, offset, times);
    }

    /// Closes both ends cleanly (FIN) once `offset` bytes have passed: the end of a response without
    /// a length.
    pub fn cut_at(&self, direction: Direction, offset: u64, times: usize) {
        self.arm(Action::Cut, direction, offset, times);
    }

    /// Inverts all bits of the byte at `offset`.
    pub fn flip_byte_at(&self, direction: Direction, offset: u64, times: usize) {
        self.arm(Action::Flip(u8::MAX), direction, offset, times);
    }

    /// Flips one bit of the byte at `offset`, once.
    pub fn flip_bit_at(&self, direction: Direction, offset: u64, bit: u32) {
        self.arm(Action::Flip(1 << (bit % 8)), direction, offset, 1);
    }

    /// Holds everything back behind `offset`, with connections left open, until [`Proxy::pass`].
    pub fn stall_at(&self, direction: Direction, offset: u64, times: usize) {
        self.arm(Action::Stall, direction, offset, times);
    }

    /// Answers requests that have the marker with these bytes, one after the other, instead of the
    /// server, which receives such a request only up to the marker's end. The connection ends after
    /// the answer, complete or not.
    pub fn answer(&self, answers: impl IntoIterator<Item = Vec<u8>>) {
        let answers: VecDeque<_> = answers.into_iter().collect();
        assert!(self.marker.lock().unwrap().is_some(), "which requests? after_request_with");
        self.arm_with(Action::Answer, Direction::ToServer, 0, answers.len(), answers);
    }

    /// Answers with these bytes and then with blanks, until the client gives up.
    pub fn answer_endlessly(&self, heads: impl IntoIterator<Item = Vec<u8>>) {
        let answers: VecDeque<_> = heads.into_iter().collect();
        assert!(self.marker.lock().unwrap().is_some(), "which requests? after_request_with");
        self.arm_with(Action::Endless, Direction::ToServer, 0, answers.len(), answers);
    }

    /// Refuses new connections, like a port without a listener, until [`Proxy::pass`]. Live ones
    /// continue.
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::SeqCst);
        while !self.shared.refuses.load(Ordering::SeqCst) {
            std::thread::sleep(POLL);
        }
    }

    /// Accepts no new connections, like a machine that does not answer, until [`Proxy::pass`]. Live
    /// ones continue.
    pub fn ignore(&self) {
        self.refuse();
        *self.deaf.lock().unwrap() = Some(Deaf::on(self.port));
    }

    /// Resets every live connection, once.
    pub fn reset_all(&self) {
        for connection in self.shared.live() {
            connection.reset();
        }
    }

    /// Forwards everything: ends refusal and stalls, disarms the fault.
    pub fn pass(&self) {
        *self.shared.fault.lock().unwrap() = None;
        for connection in self.shared.live() {
            connection.release();
        }
        *self.deaf.lock().unwrap() = None;
        self.shared.refusing.store(false, Ordering::SeqCst);
        while self.shared.refuses.load(Ordering::SeqCst) {
            std::thread::sleep(POLL);
        }
    }

    /// The number of faults that have happened. A test of a fault asserts it; otherwise it may have
    /// tested nothing.
    pub fn fired(&self) -> usize {
        self.shared.fired.load(Ordering::SeqCst)
    }

    /// The number of accepted connections.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// The number of bytes forwarded in the direction, over all connections.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.bytes[direction as usize].load(Ordering::SeqCst)
    }

    fn arm(&self, action: Action, direction: Direction, offset: u64, times: usize) {
        self.arm_with(action, direction, offset, times, VecDeque::new());
    }

    fn arm_with(
        &self,
        action: Action,
        direction: Direction,
        offset: u64,
        times: usize,
        answers: VecDeque<Vec<u8>>,
    ) {
        let marker = self.marker.lock().unwrap().clone();
        *self.shared.fault.lock().unwrap() =
            Some(Fault { action, direction, offset, times, marker, answers });
        for connection in self.shared.live() {
            connection.forget_marker();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.reset_all();
        if let Some(acceptor) = self.acceptor.take() {
            // A panic in the acceptor has been printed; a second one here would hide the test's
            // own.
            let _ = acceptor.join();
        }
        // One more, for a connection that was accepted meanwhile.
        self.reset_all();
    }
}

impl Shared {
    fn live(&self) -> Vec<Arc<Connection>> {
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Accepts connections until the proxy ends, and closes the listener while it refuses.
fn accept(shared: &Arc<Shared>, listener: TcpListener, port: u16) {
    let mut listener = Some(listener);
    while !shared.ended.load(Ordering::SeqCst) {
        if shared.refusing.load(Ordering::SeqCst) {
            listener = None;
            shared.refuses.store(true, Ordering::SeqCst);
            std::thread::sleep(POLL);
            continue;
        }
        // Another process may have the port for a moment.
        let Some(open) =
            listener.take().or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        else {
            std::thread::sleep(POLL);
            continue;
        };
        shared.refuses.store(false, Ordering::SeqCst);
        open.set_nonblocking(true).unwrap();
        if let Ok((client, _)) = open.accept() {
            connect(shared, client);
        } else {
            std::thread::sleep(POLL);
        }
        listener = Some(open);
    }
}

/// Connects to the server and starts forwarding. A client whose server does not answer is reset.
fn connect(shared: &Arc<Shared>, client: TcpStream) {
    shared.accepted.fetch_add(1, Ordering::SeqCst);
    client.set_nonblocking(false).unwrap();
    let upstream = *shared.upstream.lock().unwrap();
    match TcpStream::connect(upstream) {
        Ok(server) => {
            let connection = Connection::start(shared, client, server);
            shared.connections.lock().unwrap().push(connection);
        }
        Err(_) => connection::reset_on_close(&client),
    }
}
