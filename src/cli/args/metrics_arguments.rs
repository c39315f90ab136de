//! The flags that export a run's figures to Prometheus. Pure: nothing here looks at the world.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

/// Where figures go.
#[derive(Args, Debug)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsArguments {
    /// Serve metrics for Prometheus at this address, such as 127.0.0.1:9464, or at this port of
    /// this machine only.
    #[arg(long, value_name = "ADDRESS", env = "METRICS_LISTEN", value_parser = parse_address)]
    pub metrics_listen: Option<SocketAddr>,
    /// Write metrics to this file every 10 s, for the textfile collector of `node_exporter`; its
    /// name must end in .prom there.
    #[arg(long, value_name = "FILE", env = "METRICS_FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// An address with a port, or a port alone, which then is for this machine only.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        || "it must be an address with a port, such as 127.0.0.1:9464, or a port".to_owned();
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_this_machine_unless_they_say_otherwise() {
        let parsed = |text| parse_address(text).map(|address| address.to_string());
        for text in ["9464", ":9464", "localhost:9464", "127.0.0.1:9464"] {
            assert_eq!(parsed(text).as_deref(), Ok("127.0.0.1:9464"), "{text}");
        }
        assert_eq!(parsed("0.0.0.0:1").as_deref(), Ok("0.0.0.0:1"));
        assert_eq!(parsed("[::1]:9464").as_deref(), Ok("[::1]:9464"));
        for text in ["", ":", "host:9464", "127.0.0.1", "65536", "-1", "localhost:"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
