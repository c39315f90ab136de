//! All integration tests, in one binary, against a real ClickHouse server.

mod bad_input;
mod command_line;
mod faults;
mod history;
mod hooks;
mod jobs;
mod ledger;
mod library;
mod metrics;
mod native;
mod operate;
mod oracle;
mod orders;
mod preflight;
mod privileges;
mod proxy;
mod report;
mod rowbinary;
mod screen;
mod server;
mod snapshots;
mod status;
mod support;
mod tls;
mod two_servers;
mod verify;
