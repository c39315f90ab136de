//! The flags of `status`. Pure: nothing here looks at the world.

use std::time::Duration;

use clap::Args;

use super::arguments::WhatArguments;
use super::partition_arguments::PartitionArguments;
use super::server_arguments::ServerArguments;
use crate::duration::parse_duration;
use crate::ledger::LedgerLocation;

/// `status`
#[derive(Args, Debug)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// Print it as one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Look again every so many seconds, 2 unless said, until the load is completed.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// Where loads are recorded: tables of ClickHouse, or `file:DIR` for files in a folder.
    #[arg(
        long,
        value_name = "PLACE",
        env = "LEDGER",
        default_value = "tables",
        help_heading = "Ledger"
    )]
    pub ledger: LedgerLocation,
    /// Database of the ledger's tables [default: the target's].
    #[arg(long, value_name = "NAME", env = "LEDGER_DB", help_heading = "Ledger")]
    pub ledger_db: Option<String>,
    /// After how long without a heartbeat a process on another host is taken for dead.
    #[arg(long, value_name = "TIME", env = "CLAIM_TIMEOUT", default_value = "60s", value_parser = parse_duration, help_heading = "Ledger")]
    pub claim_timeout: Duration,
    #[command(flatten)]
    pub server: ServerArguments,
}
