//! The flags that say how long to wait, and what may fail. Pure: nothing here looks at the world.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::clickhouse::Timeouts;
use crate::duration::{parse_duration, parse_timeout};

/// How long to wait for a server before a statement counts as lost.
#[expect(clippy::struct_field_names, reason = "clap names the flags after the fields")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Timeouts")]
pub(crate) struct TimeoutArguments {
    /// How long a connection to the server may take.
    #[arg(long, value_name = "TIME", env = "CONNECT_TIMEOUT", default_value = "10s", value_parser = parse_timeout)]
    pub connect_timeout: Duration,
    /// From a query to the first bytes of its answer.
    #[arg(long, value_name = "TIME", env = "FIRST_BYTE_TIMEOUT", default_value = "10m", value_parser = parse_timeout)]
    pub first_byte_timeout: Duration,
    /// How long the server may be silent between two pieces of an answer.
    #[arg(long, value_name = "TIME", env = "IDLE_TIMEOUT", default_value = "5m", value_parser = parse_timeout)]
    pub idle_timeout: Duration,
    /// For the server to take a piece of an insert.
    #[arg(long, value_name = "TIME", env = "SEND_TIMEOUT", default_value = "5m", value_parser = parse_timeout)]
    pub send_timeout: Duration,
    /// From the last byte of an insert to its acknowledgement, materialized views included.
    #[arg(long, value_name = "TIME", env = "INSERT_TIMEOUT", default_value = "15m", value_parser = parse_timeout)]
    pub insert_timeout: Duration,
}

impl From<&TimeoutArguments> for Timeouts {
    fn from(arguments: &TimeoutArguments) -> Self {
        Self {
            connect: arguments.connect_timeout,
            first_byte: arguments.first_byte_timeout,
            idle: arguments.idle_timeout,
            send: arguments.send_timeout,
            insert_end: arguments.insert_timeout,
        }
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
