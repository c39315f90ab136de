//! The flags that say where a load is recorded, and which part of it a process does. Pure: nothing
//! here looks at the world.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::cli::failure::Failure;
use crate::clickhouse::Connection;
use crate::duration::parse_duration;
use crate::ledger::{Ledger, LedgerLocation, Slot};
use crate::load::Recording;

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
