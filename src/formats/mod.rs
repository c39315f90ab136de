//! Codecs for the formats that ClickHouse reads and writes. No module here talks to a server.

pub mod native;
pub mod rowbinary;
pub(crate) mod varint;
