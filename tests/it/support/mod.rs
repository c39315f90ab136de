//! Helpers of the tests: a real server, the tool's binary, and a network that fails on command.
//!
//! They do not use the tool's code; tables and data of the tests are elsewhere. The lints against
//! panics are off: a test fails by a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]
// No test uses all of the helpers.
#![allow(dead_code, unused_imports)]

mod binary;
mod comparison;
mod launcher;
mod own;
mod postgres;
pub mod process;
pub mod proxy;
mod query;
mod server;
mod shared;
pub mod shown;
pub mod tables;
pub mod tls;

pub use binary::{Binary, Output, Running, binary, run};
pub use comparison::{Comparison, literal, quoted};
pub use launcher::{Launch, Launcher, disks_are_allowed};
pub use postgres::Postgres;
pub use proxy::{Deaf, Direction, Proxy};
pub use query::Endpoint;
pub use server::{Server, ServerOptions};
pub(crate) use shown::assert_text_snapshot;
