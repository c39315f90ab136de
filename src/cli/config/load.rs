//! The job, the ledger, and what identifies a load.

use std::path::PathBuf;
use std::time::Duration;

use super::servers::ServerConfig;
use crate::cli::args::{
    CompareArguments, LedgerArguments, LedgerStatusArguments, ServerArguments, WhatArguments,
};
use crate::cli::failure::Failure;
use crate::clickhouse::Connection;
use crate::job::BindOptions;
use crate::ledger::{Ledger, LedgerLocation};
use crate::plan::Partition;

/// A job, and how it is bound to its tables.
#[derive(Clone, Debug)]
pub(crate) struct JobConfig {
    /// The name of a built-in job, or the path of a job file.
    pub reference: String,
    pub options: BindOptions,
}

impl From<&WhatArguments> for JobConfig {
    fn from(arguments: &WhatArguments) -> Self {
        let WhatArguments { job, target_table, exclude, exclude_dataset_items } = arguments;
        let alias = exclude_dataset_items.then(|| "dataset-items".to_owned());
        let mut exclusions: Vec<_> =
            exclude.iter().filter(|name| !name.is_empty()).cloned().chain(alias).collect();
        exclusions.sort_unstable();
        exclusions.dedup();
        Self {
            reference: job.clone(),
            options: BindOptions { target_table: target_table.clone(), exclusions },
        }
    }
}

/// The place of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerConfig {
    pub location: LedgerLocation,
    /// The database of the ledger's tables.
    pub database: String,
}

impl LedgerConfig {
    /// By default, the ledger's tables are in the target's database.
    pub(crate) fn resolve(arguments: &LedgerArguments, target_database: &str) -> Self {
        let database = arguments.ledger_db.as_deref().filter(|name| !name.is_empty());
        Self {
            location: arguments.ledger.clone(),
            database: database.unwrap_or(target_database).to_owned(),
        }
    }

    /// The ledger, reached through the target's connection.
    pub(crate) fn open(&self, target: &Connection) -> Ledger {
        Ledger::new(&self.location, target, &self.database)
    }
}

/// A load, for a command that only reads the ledger.
#[derive(Clone, Debug)]
pub(crate) struct LoadConfig {
    pub job: JobConfig,
    pub partition: Partition,
    pub servers: ServerConfig,
    pub ledger: LedgerConfig,
    pub claim_timeout: Duration,
}

impl LoadConfig {
    /// # Errors
    /// See [`ServerConfig::resolve`].
    pub(crate) fn resolve(
        job: &WhatArguments,
        partition: &Partition,
        servers: &ServerArguments,
        ledger: &LedgerStatusArguments,
    ) -> Result<Self, Failure> {
        let servers = ServerConfig::resolve(servers)?;
        Ok(Self {
            job: JobConfig::from(job),
            partition: partition.clone(),
            ledger: LedgerConfig::resolve(&ledger.place, servers.target_database()),
            claim_timeout: ledger.claim_timeout,
            servers,
        })
    }
}

/// How `verify` and `repair` compare.
#[derive(Clone, Debug)]
pub(crate) struct CompareConfig {
    pub ledger: LedgerConfig,
    /// How many different rows are named.
    pub max_differences: usize,
    /// The limit of a query's memory on the server.
    pub server_memory: Option<u64>,
    /// The file for the state of an interrupted comparison, if it is not the default.
    pub state: Option<PathBuf>,
    /// The age at which such a state is discarded.
    pub state_max_age: Duration,
    pub max_retries: u32,
}

impl CompareConfig {
    /// `target_database` is the default database of the ledger.
    pub(crate) fn resolve(
        arguments: &CompareArguments,
        max_retries: u32,
        target_database: &str,
    ) -> Self {
        Self {
            ledger: LedgerConfig::resolve(&arguments.ledger, target_database),
            max_differences: usize::try_from(arguments.max_differences).unwrap_or(usize::MAX),
            server_memory: arguments.max_server_memory,
            state: arguments.state.clone().filter(|path| !path.as_os_str().is_empty()),
            state_max_age: arguments.state_max_age,
            max_retries,
        }
    }
}
