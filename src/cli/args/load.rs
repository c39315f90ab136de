//! The flags that say what is filled, how fast, where it is recorded, and what it puts up with. Pure:
//! nothing here looks at the world.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use clap::{ArgAction, ArgMatches, Args, ValueEnum};

use super::dotenv::Environment;
use super::values::{AtOnce, parse_at_once, parse_memory_size, parse_rows};
use crate::cli::failure::Failure;
use crate::clickhouse::Connection;
use crate::control::{MaxParts, Rules, Window, Wishes, parse_max_parts};
use crate::duration::{parse_duration, parse_timeout};
use crate::engine::stream::DEFAULT_BATCH_ROWS;
use crate::ledger::{Ledger, LedgerLocation, Slot};
use crate::load::Recording;
use crate::plan::{DEFAULT_CHUNK_ROWS, Months, Partition};
use crate::preflight::SKIPPABLE;

/// What to fill.
#[derive(Args, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct WhatArguments {
    /// Built-in job, or the file of a job.
    #[arg(long, value_name = "NAME|FILE", env = "JOB", default_value = "langfuse-events")]
    pub job: String,
    /// Another target table than the job's, such as `events_full`.
    #[arg(long, value_name = "TABLE", env = "TARGET_TABLE")]
    pub target_table: Option<String>,
    /// Leave out observations of traces that `dataset_run_items_rmt` references (the job's
    /// exclusion `dataset-items`).
    #[arg(long, env = "EXCLUDE_DATASET_ITEMS", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub exclude_dataset_items: bool,
}

/// One partition.
#[derive(Args, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct PartitionArguments {
    /// Partition of the source table: a month as YYYYMM, or id:ID for tables that are not
    /// partitioned by month.
    #[arg(long, value_name = "YYYYMM", env = "PARTITION")]
    pub partition: Partition,
}

/// One partition or several.
#[derive(Args, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct PartitionsArguments {
    /// Partition of the source table: a month as YYYYMM, or id:ID for tables that are not
    /// partitioned by month.
    #[arg(long, value_name = "YYYYMM", env = "PARTITION", required_unless_present = "partitions")]
    pub partition: Option<Partition>,
    /// The months from A to B, those that the source has, one after another; what is completed is
    /// skipped.
    #[arg(long, value_name = "A..B", env = "PARTITIONS")]
    pub partitions: Option<Months>,
    /// Which of several partitions comes first.
    #[arg(long, value_name = "ORDER", env = "ORDER", default_value = "oldest")]
    pub order: Order,
    /// Of several partitions, go on with the next where one fails.
    #[arg(long, env = "KEEP_GOING", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub keep_going: bool,
}

/// Which month comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The oldest.
    Oldest,
    /// The newest.
    Newest,
}

impl PartitionsArguments {
    /// Of one partition and several, keeps what was given in the stronger way: a flag wins over the
    /// environment, and that over `.env`.
    pub fn choose(
        &mut self,
        matches: &ArgMatches,
        environment: &Environment,
    ) -> Result<(), Failure> {
        let one = environment.given(matches.value_source("partition"), "PARTITION");
        let several = environment.given(matches.value_source("partitions"), "PARTITIONS");
        if one.is_some() && one == several {
            return Err(Failure::usage(
                "a partition and a range of partitions are both given; give one of --partition and --partitions",
            ));
        }
        if one > several {
            self.partitions = None;
        } else {
            self.partition = None;
        }
        Ok(())
    }
}

/// What is looked at before a run.
#[derive(Args, Debug)]
#[command(next_help_heading = "Preflight")]
pub(crate) struct PreflightArguments {
    /// Checks whose verdict forbids nothing, with commas between them: they judge by estimates and
    /// by what is there at this moment.
    #[arg(long, value_name = "NAMES", env = "SKIP_CHECKS", value_delimiter = ',', value_parser = PossibleValuesParser::new(SKIPPABLE))]
    pub skip_checks: Vec<String>,
}

/// Where a record is read.
#[derive(Args, Debug)]
#[command(next_help_heading = "Ledger")]
pub(crate) struct LedgerPlaceArguments {
    /// Where it is recorded what was done: tables of ClickHouse, or `file:DIR` for files in a
    /// folder.
    #[arg(long, value_name = "PLACE", env = "LEDGER", default_value = "tables")]
    pub ledger: LedgerLocation,
    /// Database of the ledger's tables [default: the target's].
    #[arg(long, value_name = "NAME", env = "LEDGER_DB")]
    pub ledger_db: Option<String>,
    /// After how long without a heartbeat a process on another host is taken for dead.
    #[arg(long, value_name = "TIME", env = "CLAIM_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub claim_timeout: Duration,
}

impl LedgerPlaceArguments {
    /// The ledger.
    pub fn open(&self, target: &Connection) -> Ledger {
        let database = self
            .ledger_db
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or(target.endpoint().database());
        Ledger::new(&self.ledger, target, database)
    }
}

/// Where a load is recorded, and which part of it is done.
#[derive(Args, Debug)]
#[command(next_help_heading = "Ledger")]
pub(crate) struct LedgerArguments {
    /// Where it is recorded what was done: tables of ClickHouse, or `file:DIR` for files in a
    /// folder.
    #[arg(long, value_name = "PLACE", env = "LEDGER", default_value = "tables")]
    pub ledger: LedgerLocation,
    /// Database of the ledger's tables [default: the target's].
    #[arg(long, value_name = "NAME", env = "LEDGER_DB")]
    pub ledger_db: Option<String>,
    /// Do part I of N of the partition, while other processes do the others.
    #[arg(long, value_name = "I/N", env = "WORKER", default_value = "1/1")]
    pub worker: Slot,
    /// Begin a new version of the load, whatever became of the one before, which stays in the
    /// ledger.
    #[arg(long, env = "RESTART", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub restart: bool,
    /// After how long without a heartbeat a process on another host is taken for dead.
    #[arg(long, value_name = "TIME", env = "CLAIM_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub claim_timeout: Duration,
}

impl LedgerArguments {
    /// What is recorded, and where; `database` is the target's. A ledger that cannot be reached is
    /// tried again for as long as `patience`.
    pub fn recording(&self, database: &str, patience: Duration) -> Result<Recording, Failure> {
        if self.restart && self.worker.workers > 1 {
            let message = "--restart and --worker are both given: every worker, and every one that is started again, would begin anew";
            return Err(Failure::usage(message).hint(
                "begin the new version with --restart alone; interrupt it, and start the workers",
            ));
        }
        let database = self
            .ledger_db
            .clone()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| database.to_owned());
        Ok(Recording {
            location: self.ledger.clone(),
            database,
            slot: self.worker,
            claim_timeout: self.claim_timeout,
            restart: self.restart,
            patience,
        })
    }
}

/// How fast, how much at once.
#[derive(Args, Debug)]
#[command(next_help_heading = "Throughput")]
pub(crate) struct ThroughputArguments {
    /// Memory that the whole process may take, such as 4GiB [default: half of what the machine has
    /// free].
    #[arg(long, value_name = "SIZE", env = "MEMORY", value_parser = parse_memory_size)]
    pub memory: Option<u64>,
    /// About how many rows a chunk has, the unit that is retried and resumed; every cut costs a
    /// granule or two of each part.
    #[arg(long, value_name = "ROWS", env = "CHUNK_ROWS", default_value_t = DEFAULT_CHUNK_ROWS, value_parser = parse_rows)]
    pub chunk_rows: u64,
    /// Rows of an insert.
    #[arg(long, value_name = "ROWS", env = "BATCH_SIZE", default_value_t = DEFAULT_BATCH_ROWS, value_parser = parse_rows)]
    pub batch_size: u64,
    /// Bytes of an insert at most, such as 128MiB.
    #[arg(long, value_name = "SIZE", env = "BATCH_BYTES", default_value = "128MiB", value_parser = parse_memory_size)]
    pub batch_bytes: u64,
    /// Rows of the blocks in which the server reads [default: the server's].
    #[arg(long, value_name = "ROWS", env = "STREAM_BLOCK_SIZE", value_parser = parse_rows)]
    pub stream_block_size: Option<u64>,
    /// Chunks read at once, or auto: as many as bring something, at most a third of the server's
    /// cores.
    #[arg(long, value_name = "N|auto", env = "READERS", default_value = "auto", value_parser = parse_at_once)]
    pub readers: AtOnce,
    /// Batches inserted at once, or auto: as many as bring something, at most one and a half times
    /// the server's cores.
    #[arg(long, value_name = "N|auto", env = "INSERTERS", default_value = "auto", value_parser = parse_at_once)]
    pub inserters: AtOnce,
    /// Format of inserts; auto: native, unless a type has no place in it.
    #[arg(long, value_name = "FORMAT", env = "INSERT_FORMAT", default_value = "auto")]
    pub insert_format: FormatChoice,
    /// Compression of rows on the network; auto: none on this machine, lz4 elsewhere.
    #[arg(long, value_name = "METHOD", env = "COMPRESSION", default_value = "auto")]
    pub compression: CompressionChoice,
    /// How often a failed statement is tried again.
    #[arg(long, value_name = "N", env = "MAX_RETRIES", default_value = "3", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub max_retries: u32,
}

/// In which format rows are inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatChoice {
    /// Native, unless a type has no place in it.
    Auto,
    /// Blocks of columns, which the server parses in half the time.
    Native,
    /// Rows.
    Rowbinary,
}

/// How rows are compressed on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionChoice {
    /// None on this machine, lz4 elsewhere.
    Auto,
    /// For networks that are no limit.
    None,
    /// Fast.
    Lz4,
    /// Smaller and slower.
    Zstd,
}

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

/// What a run puts up with.
#[derive(Args, Debug)]
#[command(next_help_heading = "Faults")]
pub(crate) struct FaultArguments {
    /// How long a server that cannot be reached is waited for, without using up retries.
    #[arg(long, value_name = "TIME", env = "OUTAGE_WAIT", default_value = "5m", value_parser = parse_duration)]
    pub outage_wait: Duration,
    /// Chunks that may fail before the run stops; the others go on. 0 stops it at the first.
    #[arg(long, value_name = "N", env = "MAX_FAILED_CHUNKS", default_value = "10")]
    pub max_failed_chunks: usize,
    /// Fill a target in which rows that are sent twice, after a failure, stay twice.
    #[arg(long, env = "ALLOW_DUPLICATES", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub allow_duplicates: bool,
    /// How long inserts in flight may take after the first signal.
    #[arg(long, value_name = "TIME", env = "DRAIN_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
}
