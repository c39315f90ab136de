//! The flags that say which partitions, and those of `history` and `report`. Pure: nothing here
//! looks at the world.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, ArgMatches, Args, ValueEnum};

use super::arguments::WhatArguments;
use super::dotenv::Environment;
use super::ledger_arguments::LedgerPlaceArguments;
use super::server_arguments::ServerArguments;
use crate::cli::failure::Failure;
use crate::plan::{Months, Partition};

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

/// `history`
#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    /// Built-in job, or the file of a job [default: all jobs that the ledger knows].
    #[arg(long, value_name = "NAME|FILE", env = "JOB", help_heading = "Job")]
    pub job: Option<String>,
    /// Another target table than the job's [default: all that the ledger knows].
    #[arg(long, value_name = "TABLE", env = "TARGET_TABLE", help_heading = "Job")]
    pub target_table: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub ledger: LedgerPlaceArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `report`
#[derive(Args, Debug)]
pub(crate) struct ReportArguments {
    #[command(flatten)]
    pub which: PartitionArguments,
    #[command(flatten)]
    pub what: WhatArguments,
    /// A run that is not the current one, as `history` lists them [default: the current one].
    #[arg(long, value_name = "ID", help_heading = "Report")]
    pub run: Option<String>,
    /// Write it to this file [default: print it].
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub out: Option<PathBuf>,
    /// Form of the report [default: by the end of the file's name; printed, md].
    #[arg(long, value_name = "FORM", help_heading = "Report")]
    pub format: Option<ReportFormat>,
    #[command(flatten)]
    pub ledger: LedgerPlaceArguments,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One page that needs nothing else.
    Html,
    /// Markdown.
    Md,
    /// All figures.
    Json,
}
