//! The flags of `verify` and `repair`. Pure: nothing here looks at the world.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{OutputArguments, ThroughputArguments, WhatArguments};
use super::fault_arguments::FaultArguments;
use super::partition_arguments::PartitionArguments;
use super::preflight_arguments::PreflightArguments;
use super::server_arguments::ServerArguments;
use super::size::parse_memory_size;
use crate::ledger::LedgerLocation;
use crate::verify::Share;

/// How the comparison is made.
#[derive(Args, Debug)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct CompareArguments {
    /// Name at most so many differing rows.
    #[arg(long, value_name = "N", env = "MAX_DIFFERENCES", default_value = "20", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub max_differences: u32,
    /// Memory that a query may take on the server, such as 4GiB; chunks that need more are halved
    /// [default: the server's own limit].
    #[arg(long, value_name = "SIZE", env = "MAX_SERVER_MEMORY", value_parser = parse_memory_size)]
    pub max_server_memory: Option<u64>,
    /// File that keeps what was compared when it is interrupted [default: one named after target
    /// and partition in the current directory].
    #[arg(long, value_name = "FILE", env = "VERIFY_STATE")]
    pub state: Option<PathBuf>,
    /// Where loads are recorded: a row that was added since the load began is a live writer's.
    #[arg(long, value_name = "PLACE", env = "LEDGER", default_value = "tables")]
    pub ledger: LedgerLocation,
    /// Database of the ledger's tables [default: the target's].
    #[arg(long, value_name = "NAME", env = "LEDGER_DB")]
    pub ledger_db: Option<String>,
}

/// `verify`
#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
    /// Compare only a share of the keys, such as 1/100, chosen by their hash.
    #[arg(long, value_name = "PARTS/OF", env = "VERIFY_SAMPLE", value_parser = parse_share, help_heading = "Comparison")]
    pub sample: Option<Share>,
    /// How often a failed query is tried again.
    #[arg(long, value_name = "N", env = "MAX_RETRIES", default_value = "3", value_parser = clap::value_parser!(u32).range(0..=1000),
        help_heading = "Comparison")]
    pub max_retries: u32,
    #[command(flatten)]
    pub compare: CompareArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `repair`
#[derive(Args, Debug)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Remove rows that should not be there; without it they are named and left.
    #[arg(long)]
    pub remove: bool,
    /// Print what was found and done as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compare: CompareArguments,
    #[command(flatten)]
    pub preflight: PreflightArguments,
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub throughput: ThroughputArguments,
    #[command(flatten)]
    pub faults: FaultArguments,
    #[command(flatten)]
    pub output: OutputArguments,
}

/// `1/100`
fn parse_share(text: &str) -> Result<Share, String> {
    let wrong = || "it must be a share such as 1/100".to_owned();
    let (parts, of) = text.split_once('/').ok_or_else(wrong)?;
    let share = Share {
        parts: parts.trim().parse().map_err(|_| wrong())?,
        of: of.trim().parse().map_err(|_| wrong())?,
    };
    if share.parts == 0 || share.parts > share.of { Err(wrong()) } else { Ok(share) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(parse_share("1/100"), Ok(Share { parts: 1, of: 100 }));
        for text in ["", "1", "0/5", "6/5", "1/0", "a/b", "0.5"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
