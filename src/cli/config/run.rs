//! What `run` works with, and the part of it that other commands share.

use std::path::PathBuf;

use super::load::{JobConfig, LedgerConfig};
use super::servers::ServerConfig;
use crate::cli::args::{
    FaultArguments, Order, OutputArguments, PartitionsArguments, RecordingArguments, RunArguments,
    ServerArguments, ThrottleArguments, ThroughputArguments, WhatArguments,
};
use crate::cli::failure::Failure;
use crate::load::Recording;
use crate::plan::{Months, Partition};

/// The job, its servers, and how fast rows may move.
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    pub job: JobConfig,
    pub servers: ServerConfig,
    pub throughput: ThroughputArguments,
}

impl SessionConfig {
    /// # Errors
    /// See [`ServerConfig::resolve`].
    pub(crate) fn resolve(
        job: &WhatArguments,
        servers: &ServerArguments,
        throughput: &ThroughputArguments,
    ) -> Result<Self, Failure> {
        Ok(Self {
            job: JobConfig::from(job),
            servers: ServerConfig::resolve(servers)?,
            throughput: throughput.clone(),
        })
    }
}

/// The partitions to fill.
#[derive(Clone, Debug)]
pub(crate) enum Partitions {
    One(Partition),
    /// The months that the source has.
    Months {
        months: Months,
        order: Order,
        keep_going: bool,
    },
}

/// Everything that `run` works with.
#[derive(Clone, Debug)]
pub(crate) struct RunConfig {
    pub partitions: Partitions,
    pub session: SessionConfig,
    pub faults: FaultArguments,
    pub recording: Recording,
    pub throttle: ThrottleArguments,
    pub output: OutputArguments,
    /// Checks to downgrade to warnings.
    pub skip_checks: Vec<String>,
    /// A file that `plan --out` wrote.
    pub plan: Option<PathBuf>,
    pub dry_run: bool,
    /// How many finished rows to print.
    pub sample: usize,
}

impl RunConfig {
    /// # Errors
    /// Flags that exclude each other; see also [`ServerConfig::resolve`].
    pub(crate) fn resolve(arguments: &RunArguments) -> Result<Self, Failure> {
        let partitions = partitions(&arguments.which, arguments.plan.is_some())?;
        let session =
            SessionConfig::resolve(&arguments.what, &arguments.server, &arguments.throughput)?;
        let recording =
            recording(&arguments.ledger, &arguments.faults, session.servers.target_database())?;
        Ok(Self {
            partitions,
            session,
            recording,
            faults: arguments.faults.clone(),
            throttle: arguments.throttle.clone(),
            output: arguments.output.clone(),
            skip_checks: arguments.preflight.skip_checks.clone(),
            plan: arguments.plan.clone(),
            dry_run: arguments.dry_run,
            sample: usize::from(arguments.sample),
        })
    }
}

fn partitions(arguments: &PartitionsArguments, has_plan: bool) -> Result<Partitions, Failure> {
    let PartitionsArguments { partition, partitions, order, keep_going } = arguments;
    match (partition, partitions) {
        (_, Some(_)) if has_plan => {
            Err(Failure::usage("--plan needs --partition: a plan is for one partition"))
        }
        (_, Some(months)) => Ok(Partitions::Months {
            months: months.clone(),
            order: *order,
            keep_going: *keep_going,
        }),
        (Some(partition), None) => Ok(Partitions::One(partition.clone())),
        (None, None) => {
            Err(Failure::usage("no partition is given: set --partition or --partitions"))
        }
    }
}

fn recording(
    arguments: &RecordingArguments,
    faults: &FaultArguments,
    target_database: &str,
) -> Result<Recording, Failure> {
    if arguments.restart && arguments.worker.workers > 1 {
        let message = "--restart and --worker are both given: each worker, and each that is started again, would start a new version of the load";
        return Err(Failure::usage(message).hint(
            "start the new version with --restart alone, interrupt it, and start the workers",
        ));
    }
    let LedgerConfig { location, database } =
        LedgerConfig::resolve(&arguments.ledger.place, target_database);
    Ok(Recording {
        location,
        database,
        part: arguments.worker,
        claim_timeout: arguments.ledger.claim_timeout,
        restart: arguments.restart,
        patience: faults.outage_wait,
    })
}
