//! How rows are compressed on the wire.

use url::{Host, Url};

/// How the bodies of source queries, lookup queries and inserts are compressed. Small queries never
/// are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WireCompression {
    /// Not at all: compressing costs the server more than twice as much for each row as sending it.
    #[default]
    None,
    /// [LZ4](https://clickhouse.com/docs/interfaces/http#compression): fast.
    Lz4,
    /// Zstandard at level 1: smaller and slower.
    Zstd,
}

impl WireCompression {
    /// What serves for a server at this URL: nothing where the network is this machine, LZ4
    /// elsewhere.
    pub fn for_url(url: &Url) -> Self {
        let local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if local { Self::None } else { Self::Lz4 }
    }

    /// In the client crate's terms.
    pub(super) fn of_client(self) -> ::clickhouse::Compression {
        match self {
            Self::None => ::clickhouse::Compression::None,
            Self::Lz4 => ::clickhouse::Compression::Lz4,
            Self::Zstd => ::clickhouse::Compression::Zstd(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_machines_are_worth_compressing_for() {
        let of = |url: &str| WireCompression::for_url(&Url::parse(url).unwrap());
        for url in ["http://localhost:8123", "http://127.0.0.1", "http://[::1]:8123"] {
            assert_eq!(of(url), WireCompression::None, "{url}");
        }
        for url in ["http://clickhouse:8123", "https://10.0.0.1", "http://localhost.example"] {
            assert_eq!(of(url), WireCompression::Lz4, "{url}");
        }
    }
}
