//! Flags of a load: job, partitions, ledger, throughput, limits and tolerated faults. Pure: nothing
//! here reads the environment or a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use clap::{ArgAction, ArgMatches, Args, ValueEnum};

use super::help::EXPERT;
use super::layers::Resolved;
use super::packs::PackFolders;
use super::values::{
    AtOnce, parse_at_once, parse_memory_size, parse_moment, parse_percent, parse_rows,
};
use crate::cli::failure::Failure;
use crate::control::{DailyWindow, MaxParts, Rules, RuntimeOverrides, parse_max_parts};
use crate::engine::Engine;
use crate::engine::stream::DEFAULT_BATCH_ROWS;
use crate::job::Moment;
use crate::ledger::{LedgerLocation, WorkerPart};
use crate::plan::{DEFAULT_CHUNK_ROWS, Months, Partition, named};
use crate::preflight::SKIPPABLE;
use crate::units::{parse_duration, parse_timeout};

/// The job and its variants.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct WhatArguments {
    /// Built-in job, PACK/NAME of a pack's job or set of jobs, or path of a job file.
    ///
    /// `clickhouse-backfill job list` lists the built-in jobs.
    #[arg(long, value_name = "NAME|FILE", env = "JOB", default_value = "langfuse-events")]
    pub job: String,
    #[command(flatten)]
    pub packs: PackFolders,
    /// Write to this table instead of the job's target.
    #[arg(long, value_name = "TABLE", env = "TARGET_TABLE")]
    pub target_table: Option<String>,
    #[command(flatten)]
    pub objects: RootArguments,
    /// Leave out the rows of this exclusion of the job; may be given several times.
    ///
    /// A job names its exclusions under `[source.exclusions]`; `clickhouse-backfill job show NAME`
    /// prints them. In the variable, names are separated by commas.
    #[arg(long, value_name = "NAME", env = "EXCLUDE", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Keep only the rows of this filter of the job; with several, rows that pass all of them.
    ///
    /// A job names its filters under `[source.filters]`. In the variable, names are separated by commas.
    #[arg(long = "where", value_name = "NAME", env = "WHERE", value_delimiter = ',')]
    pub filters: Vec<String>,
    /// Keep only rows that were created before this moment, in ISO 8601.
    ///
    /// The job names the column under `[source]` as `before`. A moment without an offset from UTC is in the
    /// column's time zone; `plan` shows it in UTC.
    #[arg(long, value_name = "T", env = "BEFORE", value_parser = parse_moment)]
    pub before: Option<Moment>,
    /// The same as `--exclude dataset-items`, for the job `langfuse-events`: observations of traces
    /// that `dataset_run_items_rmt` references.
    #[arg(long, env = "EXCLUDE_DATASET_ITEMS", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub exclude_dataset_items: bool,
}

/// Where the objects of a job are.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Job")]
pub(crate) struct RootArguments {
    /// Address that `{root}` stands for in the objects of a job, such as `s3://BUCKET/FOLDER` or
    /// `file:/FOLDER`.
    ///
    /// Jobs without `{root}` do not use it.
    #[arg(long, value_name = "ADDRESS", env = "OBJECTS_ROOT")]
    pub objects_root: Option<String>,
    /// Named collection of the server with the credentials for --objects-root.
    #[arg(long, value_name = "NAME", env = "OBJECTS_COLLECTION")]
    pub objects_collection: Option<String>,
}

/// One partition.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct PartitionArguments {
    /// Partition of the source table: a month as YYYYMM, or id:ID if the table is not partitioned
    /// by month. For objects, their period, such as 2025-10.
    #[arg(long, value_name = "YYYYMM", env = "PARTITION", value_parser = named)]
    pub partition: Partition,
}

/// One partition or several.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Job")]
pub(crate) struct PartitionsArguments {
    /// Partition of the source table: a month as YYYYMM, or id:ID if the table is not partitioned
    /// by month. For objects, their period, such as 2025-10.
    #[arg(long, value_name = "YYYYMM", env = "PARTITION", required_unless_present = "partitions", value_parser = named)]
    pub partition: Option<Partition>,
    /// Fill the months from A to B, one after another.
    ///
    /// Months that are completed or that the source does not have are skipped. Use either this flag
    /// or --partition.
    #[arg(long, value_name = "A..B", env = "PARTITIONS")]
    pub partitions: Option<Months>,
    /// Order in which to fill several partitions.
    #[arg(long, value_name = "ORDER", env = "ORDER", default_value = "oldest")]
    pub order: Order,
    /// Continue with the next partition when one fails.
    #[arg(long, env = "KEEP_GOING", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub keep_going: bool,
}

/// The order of several partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Oldest month first.
    Oldest,
    /// Newest month first.
    Newest,
}

impl PartitionsArguments {
    /// Keeps one partition or the range, whichever has the higher precedence: a flag wins over the
    /// environment, the environment over `.env`, `.env` over the config file.
    pub(super) fn choose(
        &mut self,
        matches: &ArgMatches,
        resolved: &Resolved,
    ) -> Result<(), Failure> {
        let one = resolved.origin(matches, "partition");
        let several = resolved.origin(matches, "partitions");
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

/// The checks before a run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Preflight")]
pub(crate) struct PreflightArguments {
    /// Checks to downgrade to warnings, separated by commas.
    ///
    /// These checks judge by estimates and by the state of the server at this moment.
    #[arg(long, value_name = "NAMES", env = "SKIP_CHECKS", value_delimiter = ',', value_parser = PossibleValuesParser::new(SKIPPABLE))]
    pub skip_checks: Vec<String>,
}

/// The place of the ledger.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Ledger")]
pub(crate) struct LedgerArguments {
    /// Where loads are recorded: `tables` for tables in ClickHouse, `file:DIR` for files in a
    /// directory.
    ///
    /// The record makes a run resumable. Files suit users who cannot create tables.
    #[arg(long, value_name = "PLACE", env = "LEDGER", default_value = "tables")]
    pub ledger: LedgerLocation,
    /// Database of the ledger's tables [default: the target's database].
    #[arg(long, value_name = "NAME", env = "LEDGER_DB")]
    pub ledger_db: Option<String>,
}

/// The ledger of a command that shows which processes are alive.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Ledger")]
pub(crate) struct LedgerStatusArguments {
    #[command(flatten)]
    pub place: LedgerArguments,
    /// Time without a heartbeat after which a process on another host counts as dead.
    ///
    /// Its chunks can then be taken over.
    #[arg(long, value_name = "TIME", env = "CLAIM_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub claim_timeout: Duration,
}

/// The ledger of a run, and the run's part of the load.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Ledger")]
pub(crate) struct RecordingArguments {
    #[command(flatten)]
    pub ledger: LedgerStatusArguments,
    /// Process part I of N of the partition, while other processes do the other parts.
    #[arg(long, value_name = "I/N", env = "WORKER", default_value = "1/1")]
    pub worker: WorkerPart,
    /// Start a new version of the load, whatever the state of the previous version.
    ///
    /// The ledger keeps the previous version.
    #[arg(long, env = "RESTART", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub restart: bool,
}

/// Memory, sizes and concurrency.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Throughput")]
pub(crate) struct ThroughputArguments {
    /// What evaluates the job: `stream` sends rows through this process, `server` lets the server
    /// join, one chunk a statement, `auto` chooses one of the two for each partition.
    ///
    /// `server` needs source and target on one server, and a target that collapses repeated rows.
    /// `plan --engine auto` reports which engine would be used and why.
    #[arg(long, value_name = "ENGINE", env = "ENGINE", default_value = "stream")]
    pub engine: EngineChoice,
    /// Maximum memory of this process, such as 4GiB [default: half of the free memory].
    ///
    /// A partition whose attributes need more memory is filled in several waves.
    #[arg(long, value_name = "SIZE", env = "MEMORY", value_parser = parse_memory_size)]
    pub memory: Option<u64>,
    /// Approximate number of rows per chunk, the unit of retry and resume [default: 1000000, or
    /// 100000 with `--engine server`].
    ///
    /// By default, a chunk has at least 16 granules of each part of the partition, because each
    /// boundary between chunks costs one or two extra granules per part. A load that has started
    /// keeps its chunks.
    #[arg(long, value_name = "ROWS", env = "CHUNK_ROWS", value_parser = parse_rows)]
    pub chunk_rows: Option<u64>,
    /// Maximum number of rows per insert.
    ///
    /// Each insert creates a part, and many small parts cost the server many merges.
    #[arg(long, value_name = "ROWS", env = "BATCH_SIZE", default_value_t = DEFAULT_BATCH_ROWS, value_parser = parse_rows)]
    pub batch_size: u64,
    /// Maximum number of bytes per insert, such as 128MiB.
    #[arg(long, value_name = "SIZE", env = "BATCH_BYTES", default_value = "128MiB", value_parser = parse_memory_size)]
    pub batch_bytes: u64,
    /// Number of rows per block that the server reads [default: the server's setting].
    ///
    /// Smaller blocks need less memory on the server if rows are very large.
    #[arg(long, value_name = "ROWS", env = "STREAM_BLOCK_SIZE", value_parser = parse_rows, help_heading = EXPERT)]
    pub stream_block_size: Option<u64>,
    /// Number of chunks to read at once, or `auto`.
    ///
    /// `auto` adapts the number to the measured throughput, up to a third of the server's cores.
    #[arg(long, value_name = "N|auto", env = "READERS", default_value = "auto", value_parser = parse_at_once)]
    pub readers: AtOnce,
    /// Number of batches to insert at once, or `auto`.
    ///
    /// `auto` adapts the number to the measured throughput, up to one and a half times the server's
    /// cores. Each insert needs about twice its bytes of memory on the server.
    #[arg(long, value_name = "N|auto", env = "INSERTERS", default_value = "auto", value_parser = parse_at_once)]
    pub inserters: AtOnce,
    /// Format in which the source is read.
    #[arg(long, value_name = "FORMAT", env = "READ_FORMAT", default_value = "auto", help_heading = EXPERT)]
    pub read_format: ReadFormatChoice,
    /// Format of inserts.
    #[arg(long, value_name = "FORMAT", env = "INSERT_FORMAT", default_value = "auto", help_heading = EXPERT)]
    pub insert_format: FormatChoice,
    /// Compression of rows on the network.
    ///
    /// `lz4` and `zstd` also carry checksums, so a bit that flips on the way is detected and the
    /// statement is sent again. `none` relies on the checksums of TCP, which miss some errors, or of
    /// TLS with an https URL.
    #[arg(long, value_name = "METHOD", env = "COMPRESSION", default_value = "auto", help_heading = EXPERT)]
    pub compression: CompressionChoice,
}

impl ThroughputArguments {
    /// The aimed number of rows per chunk of this engine.
    pub(crate) fn chunk_rows(&self, engine: Engine) -> u64 {
        self.chunk_rows.unwrap_or(match engine {
            Engine::Stream => DEFAULT_CHUNK_ROWS,
            Engine::Server => SERVER_CHUNK_ROWS,
        })
    }
}

/// Rows of a chunk that the server joins at once: twice as many need half as much memory again and
/// are no faster.
const SERVER_CHUNK_ROWS: u64 = 100_000;

/// What evaluates the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineChoice {
    /// Rows pass through this process, which holds the attributes of a wave in memory.
    Stream,
    /// The server runs one INSERT … SELECT for each chunk.
    Server,
    /// `server` where it is possible and its memory suffices, else `stream`.
    Auto,
}

/// The format of inserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatChoice {
    /// `native`, unless a column has a type without a native encoding.
    Auto,
    /// Blocks of columns, which the server parses in half the time of rows.
    Native,
    /// Rows in the format RowBinary.
    Rowbinary,
}

/// The format in which the source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadFormatChoice {
    /// `rowbinary`.
    Auto,
    /// Blocks of columns, which are passed on as they came, or rows where a type or the target does not
    /// allow blocks.
    Native,
    /// Rows in the format RowBinary.
    Rowbinary,
}

/// The compression of rows on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionChoice {
    /// `none` for a server on this machine, else `lz4`.
    Auto,
    /// No compression.
    None,
    /// Fast compression.
    Lz4,
    /// Smaller, but slower.
    Zstd,
}

/// The limits at which a run waits.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Throttling")]
pub(crate) struct ThrottleArguments {
    /// Maximum number of source rows to read per second, over all readers.
    ///
    /// At a low limit, fewer readers run.
    #[arg(long, value_name = "ROWS", env = "MAX_ROWS_PER_SECOND", value_parser = parse_rows)]
    pub max_rows_per_second: Option<u64>,
    /// Wait while a partition of the target has more active parts than this.
    ///
    /// `auto` is half of the server's `parts_to_delay_insert`, the number at which it slows inserts
    /// down. While a run waits, it starts no new chunk; chunks in progress finish.
    #[arg(long, value_name = "N|auto|none", env = "MAX_PARTS", default_value = "auto", value_parser = parse_max_parts)]
    pub max_parts: MaxParts,
    /// Wait while the target's server runs more merges than this.
    #[arg(long, value_name = "N", env = "MAX_MERGES")]
    pub max_merges: Option<u64>,
    /// Wait while the target's server uses more than this percentage of its memory limit.
    #[arg(long, value_name = "PERCENT", env = "MAX_SERVER_MEMORY_USED", value_parser = parse_percent)]
    pub max_server_memory_used: Option<u8>,
    /// Wait while the target's replica on this server is further behind than this.
    #[arg(long, value_name = "TIME", env = "MAX_REPLICA_DELAY", value_parser = parse_timeout)]
    pub max_replica_delay: Option<Duration>,
    /// Wait while this query returns a value other than 0 or an empty string.
    ///
    /// The query is sent to the target's server every 2 s, and the value is shown as the reason.
    #[arg(long, value_name = "SQL", env = "THROTTLE_QUERY")]
    pub throttle_query: Option<String>,
    /// Run only in this part of the day, such as 22:00-06:00, in local time (TZ).
    ///
    /// Outside of this window the run waits. A window can span midnight.
    #[arg(long, value_name = "FROM-TO", env = "RUN_WINDOW")]
    pub window: Option<DailyWindow>,
    /// Unix socket through which `ctl` reaches the run [default: beside the log file, else in
    /// `XDG_RUNTIME_DIR`, else in the current directory].
    #[arg(long, value_name = "PATH", env = "CONTROL_SOCKET")]
    pub control_socket: Option<PathBuf>,
}

impl ThrottleArguments {
    /// The limits at the start of the run.
    pub(crate) fn overrides(&self) -> Arc<RuntimeOverrides> {
        let rules = Rules {
            max_parts: self.max_parts,
            max_merges: self.max_merges,
            max_server_memory_percent: self.max_server_memory_used,
            max_replica_delay: self.max_replica_delay,
            window: self.window,
        };
        Arc::new(RuntimeOverrides::new(rules, self.max_rows_per_second))
    }
}

/// Retries.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Faults")]
pub(crate) struct RetryArguments {
    /// Maximum number of retries of a failed statement.
    ///
    /// The pause before each retry is longer than the previous one.
    #[arg(long, value_name = "N", env = "MAX_RETRIES", default_value = "3", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub max_retries: u32,
}

/// What a run tolerates.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Faults")]
pub(crate) struct FaultArguments {
    #[command(flatten)]
    pub retries: RetryArguments,
    /// Maximum time to wait for a server that cannot be reached.
    ///
    /// Waiting for a server does not use up retries.
    #[arg(long, value_name = "TIME", env = "OUTAGE_WAIT", default_value = "5m", value_parser = parse_duration)]
    pub outage_wait: Duration,
    /// Maximum number of chunks that may fail while the run continues with the others.
    ///
    /// A chunk fails after all its retries. 0 stops the run at the first failed chunk.
    #[arg(long, value_name = "N", env = "MAX_FAILED_CHUNKS", default_value = "10")]
    pub max_failed_chunks: usize,
    /// Allow a target that keeps duplicates.
    ///
    /// Rows that are sent again after a failure stay twice in a table that neither collapses
    /// repeated rows nor recognizes repeated blocks.
    #[arg(long, env = "ALLOW_DUPLICATES", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true",
        value_parser = BoolishValueParser::new(), action = ArgAction::Set, value_name = "BOOL", hide_default_value = true, hide_possible_values = true)]
    pub allow_duplicates: bool,
    /// Maximum time to finish inserts in flight after the first signal.
    ///
    /// A second signal stops the run at once.
    #[arg(long, value_name = "TIME", env = "DRAIN_TIMEOUT", default_value = "60s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
}
