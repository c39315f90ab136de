//! The handle of a run, through a Unix socket: one JSON object a line, a question and an answer.
//!
//! ```text
//! {"command":"status"}                                    {"ok":true,"status":{…}}
//! {"command":"pause"}                                     {"ok":true,"status":{…}}
//! {"command":"set","name":"inserters","value":"4"}        {"ok":false,"error":"inserters must be 1 to 64, and 99 was asked for"}
//! ```
//!
//! The file has the mode 0600, and only processes of the same user, or of root, are listened to. It
//! goes when the run ends; where a run was killed, the next one takes its place. Where the file
//! lies is chosen by whoever calls.

mod client;
mod file;
mod protocol;
mod server;

pub(super) use protocol::answer;

pub use client::{ClientError, ask};
pub use file::{SocketError, default_path, find_live};
pub use protocol::{Answer, Request};
pub use server::{ControlSocket, listen};
