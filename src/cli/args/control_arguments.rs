//! The flags that say when a run waits, and those of `ctl`. Pure: nothing here looks at the world.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::size::parse_rows;
use crate::control::{MaxParts, Rules, Window, Wishes, parse_max_parts};
use crate::duration::parse_timeout;

/// When a run waits, and how fast it may be.
#[derive(Args, Debug)]
#[command(next_help_heading = "Throttling")]
pub(crate) struct ThrottleArguments {
    /// Source rows that are read a second at most, all readers together.
    #[arg(long, value_name = "ROWS", env = "MAX_ROWS_PER_SECOND", value_parser = parse_rows)]
    pub max_rows_per_second: Option<u64>,
    /// Wait while a partition of the target has more active parts; auto: half of those from which
    /// on the server slows inserts down.
    #[arg(long, value_name = "N|auto|none", env = "MAX_PARTS", default_value = "auto", value_parser = parse_max_parts)]
    pub max_parts: MaxParts,
    /// Wait while more merges are under way on the server.
    #[arg(long, value_name = "N", env = "MAX_MERGES")]
    pub max_merges: Option<u64>,
    /// Wait while the server uses more of the memory that it may take, in percent.
    #[arg(long, value_name = "PERCENT", env = "MAX_SERVER_MEMORY_USED", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub max_server_memory_used: Option<u8>,
    /// Wait while the target's replica on this server is further behind.
    #[arg(long, value_name = "TIME", env = "MAX_REPLICA_DELAY", value_parser = parse_timeout)]
    pub max_replica_delay: Option<Duration>,
    /// Wait while this query, sent to the target's server every 2 s, answers anything but nothing
    /// or 0; the answer is shown as the reason.
    #[arg(long, value_name = "SQL", env = "THROTTLE_QUERY")]
    pub throttle_query: Option<String>,
    /// Wait outside of this part of the day, in local time (TZ), such as 22:00-06:00.
    #[arg(long, value_name = "FROM-TO", env = "RUN_WINDOW")]
    pub window: Option<Window>,
    /// The Unix socket through which `ctl` reaches the run [default: beside the log file, else in
    /// `XDG_RUNTIME_DIR`, else in the current directory].
    #[arg(long, value_name = "PATH", env = "CONTROL_SOCKET")]
    pub control_socket: Option<PathBuf>,
}

impl ThrottleArguments {
    /// What is asked for so far.
    pub fn wishes(&self) -> Arc<Wishes> {
        let rules = Rules {
            max_parts: self.max_parts,
            max_merges: self.max_merges,
            max_server_memory_percent: self.max_server_memory_used,
            max_replica_delay: self.max_replica_delay,
            window: self.window,
        };
        Arc::new(Wishes::new(rules, self.max_rows_per_second))
    }
}

/// `ctl`
#[derive(Args, Debug)]
pub(crate) struct CtlArguments {
    /// The control socket of the run [default: that of the one run that is found].
    #[arg(long, value_name = "PATH", env = "CONTROL_SOCKET", global = true)]
    pub socket: Option<PathBuf>,
    /// The run's log file, beside which its socket lies.
    #[arg(long, value_name = "FILE", env = "LOG_FILE", global = true)]
    pub log_file: Option<PathBuf>,
    /// Print everything that the run says of itself as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What to say to a run.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Show how far the run is, why it waits, and what it is set to.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl status\n  clickhouse-backfill ctl status --json"
    )]
    Status,
    /// Begin no new chunk; those under way are finished.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl pause")]
    Pause,
    /// Take a pause back. Other reasons to wait stay.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl resume")]
    Resume,
    /// Change settings while the run is on.
    #[command(
        after_help = "Examples:\n  clickhouse-backfill ctl set inserters=4\n  clickhouse-backfill ctl set inserters=auto\n  \
clickhouse-backfill ctl set max-rows-per-second=50000\n  clickhouse-backfill ctl set max-rows-per-second=none max-parts=400\n\n\
Settings:\n  inserters, readers: a number, or auto for one that finds itself\n  \
max-rows-per-second, max-merges, max-server-memory-used, max-replica-delay, window: as run takes them, or none\n  max-parts: the same, or auto"
    )]
    Set {
        /// The settings, each with its new value.
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = parse_pair)]
        settings: Vec<(String, String)>,
    },
    /// End the run as the first Ctrl-C does: inserts in flight are finished.
    #[command(after_help = "Examples:\n  clickhouse-backfill ctl stop")]
    Stop,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let pair =
        text.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    pair.filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "give a setting and its value, such as inserters=4".to_owned())
}
