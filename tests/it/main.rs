//! All integration tests, in one binary, against a real ClickHouse server.

mod bad_input;
mod command_line;
mod faults;
mod jobs;
mod ledger;
mod native;
mod oracle;
mod orders;
mod privileges;
mod proxy;
mod rowbinary;
mod screen;
mod server;
mod support;
mod tls;
mod two_servers;
mod verify;
