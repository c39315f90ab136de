//! All integration tests, in one binary, against a real ClickHouse server.

#![allow(clippy::disallowed_types, reason = "a poisoned mutex fails a test")]

mod bad_input;
mod command_line;
mod engine_choice;
mod faults;
mod health;
mod history;
mod hooks;
mod insert;
mod isolated;
mod jobs;
mod ledger;
mod library;
mod loads;
mod metrics;
mod native;
mod operate;
mod oracle;
mod orders;
mod packs;
mod preflight;
mod proxy;
mod publish;
mod report;
mod rollups;
mod rowbinary;
mod screen;
mod server_engine;
mod snapshots;
mod status;
mod support;
mod tls;
mod undo;
mod verify;
