//! One forwarded connection: two threads that copy bytes, each for one direction, and look for the
//! armed fault.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use socket2::SockRef;

use super::fault::{Action, Direction, Position, Search};
use super::{POLL, Shared};

const BUFFER_BYTES: usize = 64 * 1024;
const BLOCK: Duration = Duration::from_millis(50);

/// What the two threads of a connection and the proxy share.
#[derive(Debug)]
pub(super) struct Connection {
    client: TcpStream,
    server: TcpStream,
    ended: AtomicBool,
    stalled: [AtomicBool; 2],
    /// The client has its answer from the proxy: the rest of its request is read and dropped.
    answered: AtomicBool,
    positions: Mutex<[Position; 2]>,
    search: Mutex<Search>,
}

/// A fault that happens now, at this index of the bytes at hand.
struct Happening {
    action: Action,
    index: usize,
    answer: Vec<u8>,
}

impl Connection {
    /// Starts forwarding, until either end closes.
    pub fn start(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) -> Weak<Self> {
        for stream in [&client, &server] {
            // Small pieces are passed on at once. A stream that was reset already fails here, and
            // then at its first read.
            let _ = stream.set_nodelay(true);
            // A read or write that gets nowhere ends now and then, to look whether the connection
            // was ended from elsewhere.
            let _ = stream.set_read_timeout(Some(BLOCK));
            let _ = stream.set_write_timeout(Some(BLOCK));
        }
        let connection = Arc::new(Self {
            client,
            server,
            ended: AtomicBool::new(false),
            stalled: [AtomicBool::new(false), AtomicBool::new(false)],
            answered: AtomicBool::new(false),
            positions: Mutex::default(),
            search: Mutex::default(),
        });
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (shared, connection) = (Arc::clone(shared), Arc::clone(&connection));
            std::thread::spawn(move || connection.forward(&shared, direction));
        }
        Arc::downgrade(&connection)
    }

    /// Both sockets send RST when the last of the two threads lets go of them.
    pub fn reset(&self) {
        for stream in [&self.client, &self.server] {
            reset_on_close(stream);
        }
        self.end();
    }

    /// Forwards the bytes that a stall holds back.
    pub fn release(&self) {
        for stalled in &self.stalled {
            stalled.store(false, Ordering::SeqCst);
        }
    }

    /// A marker counts from when its fault was armed.
    pub fn forget_marker(&self) {
        self.search.lock().unwrap().clear();
        for position in self.positions.lock().unwrap().iter_mut() {
            position.marked = None;
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            // Wakes a blocked read, and sends nothing to the other side. Fails where that has gone
            // already.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    fn forward(&self, shared: &Shared, direction: Direction) {
        let (mut from, mut to) = match direction {
            Direction::ToServer => (&self.client, &self.server),
            Direction::ToClient => (&self.server, &self.client),
        };
        let mut buffer = vec![0; BUFFER_BYTES];
        // An offset of 0 comes before the first byte. Behind a marker it comes with the first byte
        // of the answer: the other thread may have seen the marker before this one begins, and the
        // server has not read the request then.
        let of_connection =
            shared.fault.lock().unwrap().as_ref().is_some_and(|fault| fault.marker.is_none());
        if of_connection {
            self.pass_on(shared, direction, &mut [], &mut to);
        }
        while !self.ended.load(Ordering::SeqCst) {
            match from.read(&mut buffer) {
                Ok(0) if self.ended.load(Ordering::SeqCst) => break,
                Ok(0) => {
                    // The other direction may go on: a client that has sent all it wants to can
                    // still read.
                    let _ = to.shutdown(Shutdown::Write);
                    break;
                }
                Ok(length) => self.pass_on(shared, direction, &mut buffer[..length], &mut to),
                Err(error) if is_passing(&error) => {}
                Err(_) if self.answered.load(Ordering::SeqCst) => {
                    let _ = to.shutdown(Shutdown::Write);
                    break;
                }
                Err(_) => self.reset(),
            }
        }
    }

    /// Forwards bytes, with what the armed fault does to them.
    fn pass_on(
        &self,
        shared: &Shared,
        direction: Direction,
        mut bytes: &mut [u8],
        to: &mut &TcpStream,
    ) {
        if self.answered.load(Ordering::SeqCst) {
            return;
        }
        self.look_for_marker(shared, direction, bytes);
        while let Some(Happening { action, index, answer }) =
            self.next_fault(shared, direction, bytes.len())
        {
            if let Action::Flip(bits) = action {
                bytes[index] ^= bits;
                // The byte itself passes as well, so that the fault does not find it again.
                let (before, rest) = bytes.split_at_mut(index + 1);
                self.write(shared, direction, before, to);
                bytes = rest;
                continue;
            }
            let (before, rest) = bytes.split_at_mut(index);
            self.write(shared, direction, before, to);
            bytes = rest;
            match action {
                Action::Reset => return self.reset(),
                Action::Cut => {
                    // Unread bytes make a close a reset, so the clean end is sent before the
                    // sockets are let go.
                    for stream in [&self.client, &self.server] {
                        let _ = stream.shutdown(Shutdown::Write);
                    }
                    return self.end();
                }
                Action::Answer => return self.answer(&answer),
                Action::Endless => return self.answer_endlessly(&answer),
                Action::Stall | Action::Flip(_) => self.wait_while_stalled(shared, direction),
            }
        }
        self.write(shared, direction, bytes, to);
    }

    /// Gives the client these bytes and then the end. It may go on sending; a close before that
    /// would be a reset, which can overtake the answer.
    fn answer(&self, answer: &[u8]) {
        self.send_answer(answer);
        // The other thread sees an end here, and passes it on.
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// Gives the client these bytes, and then blanks until it closes the connection.
    fn answer_endlessly(&self, answer: &[u8]) {
        self.send_answer(answer);
        let blanks = vec![b' '; BUFFER_BYTES];
        while !self.ended.load(Ordering::SeqCst) {
            self.send_answer(&blanks);
        }
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn send_answer(&self, answer: &[u8]) {
        self.answered.store(true, Ordering::SeqCst);
        let mut bytes = answer;
        while !bytes.is_empty() && !self.ended.load(Ordering::SeqCst) {
            match (&self.client).write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if is_passing(&error) => {}
                Err(_) => return self.reset(),
            }
        }
    }

    /// The fault that happens within the next `length` bytes, taken off its count.
    fn next_fault(
        &self,
        shared: &Shared,
        direction: Direction,
        length: usize,
    ) -> Option<Happening> {
        if self.ended.load(Ordering::SeqCst) {
            return None;
        }
        let position = self.positions.lock().unwrap()[direction as usize];
        let mut armed = shared.fault.lock().unwrap();
        let fault = armed.as_mut()?;
        let index = fault.index_in(direction, position, length)?;
        if fault.action == Action::Stall {
            // Before the fault is counted, so that a test that reads the count can release it.
            if self.stalled[direction as usize].swap(true, Ordering::SeqCst) {
                return None;
            }
        }
        fault.times -= 1;
        shared.fired.fetch_add(1, Ordering::SeqCst);
        Some(Happening {
            action: fault.action,
            index,
            answer: fault.answers.pop_front().unwrap_or_default(),
        })
    }

    fn look_for_marker(&self, shared: &Shared, direction: Direction, bytes: &[u8]) {
        if direction != Direction::ToServer {
            return;
        }
        let Some(marker) =
            shared.fault.lock().unwrap().as_ref().and_then(|fault| fault.marker.clone())
        else {
            return;
        };
        let mut positions = self.positions.lock().unwrap();
        if positions[0].marked.is_some() {
            return;
        }
        if let Some(end) = self.search.lock().unwrap().end_in(&marker, bytes) {
            positions[0].marked = Some(positions[0].passed + end as u64);
            // The answer to it is what the server sends from now on.
            positions[1].marked = Some(positions[1].passed);
        }
    }

    fn wait_while_stalled(&self, shared: &Shared, direction: Direction) {
        while self.stalled[direction as usize].load(Ordering::SeqCst)
            && !self.ended.load(Ordering::SeqCst)
            && !shared.ended.load(Ordering::SeqCst)
        {
            std::thread::sleep(POLL);
        }
    }

    fn write(&self, shared: &Shared, direction: Direction, mut bytes: &[u8], to: &mut &TcpStream) {
        // Counted beforehand: who gets the end of an answer may have sent the next request, with a
        // marker, before this thread goes on.
        let count = |more: usize, less: usize| {
            let position = &mut self.positions.lock().unwrap()[direction as usize];
            position.passed = position.passed + more as u64 - less as u64;
        };
        while !bytes.is_empty() && !self.ended.load(Ordering::SeqCst) {
            count(bytes.len(), 0);
            let written = to.write(bytes);
            let length = *written.as_ref().unwrap_or(&0);
            count(0, bytes.len() - length);
            match written {
                Ok(length) => {
                    bytes = &bytes[length..];
                    shared.bytes[direction as usize].fetch_add(length as u64, Ordering::SeqCst);
                }
                Err(error) if is_passing(&error) => {}
                Err(_) => self.reset(),
            }
        }
    }
}

/// Whether a read or write failed for a reason that says nothing about the connection.
fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Makes the close of a socket send RST instead of FIN.
pub(super) fn reset_on_close(stream: &TcpStream) {
    // Fails only on a socket that is not connected any more.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
