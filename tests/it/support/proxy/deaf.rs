//! A port that lets everyone wait: the queue of its listener is full, so that the kernel drops what
//! knocks, as if the machine were not there.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// How long a connection is waited for that is there at once where there is room in the queue.
const NO_ROOM: Duration = Duration::from_millis(500);

/// Such a port of 127.0.0.1, until this is dropped.
#[derive(Debug)]
pub struct Deaf {
    socket: Socket,
    /// What fills the queue.
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    /// On this port; 0 takes any that is free.
    pub fn on(port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, NO_ROOM) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue never fills");
        }
        Self { socket, _waiting: waiting }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }
}
