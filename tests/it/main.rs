//! All integration tests, in one binary, against a real ClickHouse server.

mod proxy;
mod rowbinary;
mod server;
mod support;
