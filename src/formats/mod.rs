//! Pure codecs for ClickHouse's formats. Nothing here knows a server.

pub mod native;
pub mod rowbinary;
