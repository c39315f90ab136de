//! Codecs for the formats that ClickHouse reads and writes. No module here talks to a server.

pub(crate) mod native;
pub(crate) mod rowbinary;
pub(crate) mod varint;
