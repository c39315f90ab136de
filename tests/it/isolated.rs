//! Tests that start a server of their own, because they kill it, configure it, or look at all of it.
//!
//! At most two of them run at once (`.config/nextest.toml`, by this module's name). Everything else
//! shares one server, each test in a database of its own.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bad_input;
mod engine_choice;
mod faults;
mod history;
mod hooks;
mod ledger;
mod memory;
mod native_source;
mod operate;
mod oracle;
mod packs;
mod postgres;
mod preflight;
mod privileges;
mod publishing;
mod rollups;
mod server;
mod status;
mod two_servers;
