//! Flags of `insert`. Pure: nothing here reads the environment or a file.

use std::time::Duration;

use clap::Args;

use super::load::RetryArguments;
use super::server::ServerArguments;
use super::values::{parse_pair, parse_rows};
use crate::units::parse_duration;

/// `insert`
#[derive(Args, Debug)]
pub(crate) struct InsertArguments {
    /// Table that receives the rows, as TABLE or DATABASE.TABLE.
    #[arg(long, value_name = "TABLE")]
    pub table: String,
    /// Input format of ClickHouse.
    ///
    /// JSON lines, CSV and TSV, with and without names, are streamed in batches. Any other format, such as
    /// Parquet, is inserted whole, up to 256 MiB.
    #[arg(long, value_name = "FORMAT")]
    pub format: String,
    /// Identity of the input [default: a random one].
    ///
    /// The same input with the same identity, format and batch size counts once, however often it is sent.
    #[arg(long, value_name = "ID")]
    pub load_id: Option<String>,
    /// Rows per insert.
    #[arg(long, value_name = "ROWS", default_value = "100000", value_parser = parse_rows)]
    pub batch_rows: u64,
    /// Setting of the input format, such as `date_time_input_format=best_effort`; may be given several
    /// times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub setting: Vec<(String, String)>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub retries: RetryArguments,
    /// Maximum time to wait for a server that cannot be reached.
    ///
    /// Waiting for a server does not use up retries.
    #[arg(long, value_name = "TIME", env = "OUTAGE_WAIT", default_value = "5m", value_parser = parse_duration, help_heading = "Faults")]
    pub outage_wait: Duration,
    #[command(flatten)]
    pub server: ServerArguments,
}
