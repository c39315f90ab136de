//! What the commands work with, resolved from their arguments: files with passwords and certificates
//! are read, alternatives are decided, empty values are dropped. [`NextCommand`] turns it back into a
//! command line.
//!
//! `args` only parses, and the commands see these structs.

mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::args::{
    self, CompareArguments, EngineChoice, FaultArguments, Given, LedgerArguments,
    LedgerStatusArguments, Order, OutputArguments, PartitionsArguments, RecordingArguments,
    RootArguments, RunArguments, ServerArguments, ThrottleArguments, ThroughputArguments,
    WhatArguments,
};
use crate::cli::failure::{Failure, quoted};
use crate::clickhouse::Connection;
use crate::job::{BindOptions, Job, load};
use crate::ledger::{Ledger, LedgerLocation};
use crate::load::Recording;
use crate::packs::job_file;
use crate::plan::{Months, Partition};
use crate::verify::Share;

pub(crate) use servers::{ServerConfig, first_line};

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
            job: JobConfig::resolve(job)?,
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
    /// Whether the answer to the question before the first row is given.
    pub yes: bool,
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
        if let Partitions::One(partition) = &partitions {
            session.job.require_fit(partition)?;
        }
        let recording =
            recording(&arguments.ledger, &arguments.faults, session.servers.target_database())?;
        let recording = Recording { canary: canary(arguments)?, ..recording };
        if arguments.show_rows > 0 && arguments.throughput.engine == EngineChoice::Server {
            let message = "--show-rows shows rows that pass through this process, and with --engine server none do";
            return Err(Failure::usage(message).hint("a dry run with --engine stream shows them"));
        }
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
            yes: arguments.yes,
            sample: usize::from(arguments.show_rows),
        })
    }
}

/// The share of a canary, which writes, and chooses chunks itself.
fn canary(arguments: &RunArguments) -> Result<Option<Share>, Failure> {
    if arguments.canary.is_none() {
        return Ok(None);
    }
    if arguments.dry_run {
        let message = "--canary and --dry-run are both given: a canary compares rows that it has written, and a dry run writes none";
        return Err(Failure::usage(message).hint("leave one of them out"));
    }
    if arguments.ledger.worker.workers > 1 {
        let message =
            "--canary and --worker are both given, and each of them chooses the chunks to fill";
        return Err(Failure::usage(message)
            .hint("run the canary alone, then start the workers: they leave its chunks out"));
    }
    Ok(arguments.canary)
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
        canary: None,
        claim_timeout: arguments.ledger.claim_timeout,
        restart: arguments.restart,
        patience: faults.outage_wait,
    })
}

/// A job, and how it is bound to its tables.
#[derive(Clone, Debug)]
pub(crate) struct JobConfig {
    /// The name of a built-in job, or the path of a job file.
    pub reference: String,
    /// Where its objects are, if it leaves that open.
    pub objects: RootArguments,
    pub options: BindOptions,
}

impl JobConfig {
    /// # Errors
    /// A folder of a pack that cannot be read.
    pub(crate) fn resolve(arguments: &WhatArguments) -> Result<Self, Failure> {
        let WhatArguments {
            job,
            packs,
            target_table,
            objects,
            exclude,
            filters,
            before,
            exclude_dataset_items,
        } = arguments;
        let of_pack = job_file(job, &packs.folders()).map_err(|error| Failure::misuse(&error))?;
        let alias = exclude_dataset_items.then(|| "dataset-items".to_owned());
        let names = |given: &[String], alias: Option<String>| {
            let given = given.iter().filter(|name| !name.is_empty()).cloned();
            let names: BTreeSet<_> = given.chain(alias).collect();
            names.into_iter().collect()
        };
        Ok(Self {
            reference: of_pack.map_or_else(|| job.clone(), |path| path.display().to_string()),
            objects: objects.clone(),
            options: BindOptions {
                target_table: target_table.clone(),
                exclusions: names(exclude, alias),
                filters: names(filters, None),
                before: *before,
                period: None,
            },
        })
    }

    /// The job, whose objects have an address.
    ///
    /// # Errors
    /// It cannot be read, or its objects need `--objects-root`.
    pub(crate) fn load(&self) -> Result<Job, Failure> {
        let RootArguments { objects_root, objects_collection } = &self.objects;
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let job = load(&self.reference)?;
        job.with_root(given(objects_root), given(objects_collection)).map_err(Failure::usage)
    }

    /// The same for a partition, which is the period of a job that reads objects.
    ///
    /// # Errors
    /// The partition is a period, and the job reads a table.
    pub(crate) fn of_partition(self, partition: &Partition) -> Result<Self, Failure> {
        self.require_fit(partition)?;
        let options = BindOptions { period: Some(partition.id().to_owned()), ..self.options };
        Ok(Self { options, ..self })
    }

    /// # Errors
    /// See [`Self::of_partition`].
    pub(crate) fn require_fit(&self, partition: &Partition) -> Result<(), Failure> {
        let Partition::Period(period) = partition else { return Ok(()) };
        // Another error of the job is reported where the job is needed.
        let Ok(job) = load(&self.reference) else { return Ok(()) };
        if job.reads_outside() {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "--partition {period} is a period of objects or of PostgreSQL, and the job {} reads a table; give a month as YYYYMM, for example 202511",
            job.name
        )))
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
            job: JobConfig::resolve(job)?.of_partition(partition)?,
            partition: partition.clone(),
            ledger: LedgerConfig::resolve(&ledger.place, servers.target_database()),
            claim_timeout: ledger.claim_timeout,
            servers,
        })
    }

    /// A next command for this load.
    pub(crate) fn next(&self, command: &str) -> NextCommand {
        NextCommand::new(command)
            .servers(&self.servers)
            .job(&self.job)
            .ledger(&self.ledger, &self.servers)
            .partition(&self.partition)
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

/// A command line that is being built.
pub(crate) struct NextCommand {
    words: Vec<String>,
    /// What it gets without flags, where that is known.
    inherited: BTreeMap<String, String>,
}

impl NextCommand {
    /// A command, such as `run`.
    pub(crate) fn new(command: &str) -> Self {
        let words = vec!["clickhouse-backfill".to_owned(), command.to_owned()];
        Self { words, inherited: BTreeMap::new() }
    }

    /// A command with the flags of this call that it has as well, without passwords and but for the
    /// ones named.
    pub(crate) fn after(given: &Given, command: &str, but: &[&str]) -> Self {
        let program = args::command();
        let inherited = given.inherited(&program, command);
        let mut next = Self { inherited, ..Self::new(command) };
        for flag in given.shared_with(&program, command, but) {
            next = match &*flag.values {
                [] => next.flag(&flag.name),
                [value] if flag.needs_equals => next.flag(&format!("{}={value}", flag.name)),
                values => values.iter().fold(next, |next, value| next.value(&flag.name, value)),
            };
        }
        let off = given.to_turn_off(&program, command, but);
        off.iter().fold(next, |next, name| next.flag(&format!("--{name}=false")))
    }

    /// The servers, without passwords and without what the command finds elsewhere.
    pub(crate) fn servers(mut self, config: &ServerConfig) -> Self {
        let command = self.words.get(1).cloned().unwrap_or_default();
        self.inherited = config.layers().inherited(&args::command(), &command);
        for (flag, value) in config.layers().flags() {
            self = self.value(flag, value);
        }
        for (flag, value) in config.flags() {
            let found = self.inherited.get(*flag);
            let is_found = found.is_some_and(|found| {
                found == value || servers::without_credentials(found).as_ref() == Some(value)
            });
            if !is_found {
                self = self.value(flag, value);
            }
        }
        self
    }

    /// Whether the command finds another value than this one.
    fn finds_other(&self, flag: &str, value: &str) -> bool {
        self.inherited.get(flag).is_some_and(|found| found != value)
    }

    /// The job and its target.
    pub(crate) fn job(mut self, config: &JobConfig) -> Self {
        let JobConfig { reference, objects, options } = config;
        if reference != "langfuse-events" || self.finds_other("--job", reference) {
            self = self.value("--job", reference);
        }
        if let Some(table) = &options.target_table {
            self = self.value("--target-table", table);
        }
        let RootArguments { objects_root, objects_collection } = objects;
        for (flag, value) in
            [("--objects-root", objects_root), ("--objects-collection", objects_collection)]
        {
            if let Some(value) = value {
                self = self.value(flag, value);
            }
        }
        for name in &options.exclusions {
            self = self.value("--exclude", name);
        }
        for name in &options.filters {
            self = self.value("--where", name);
        }
        match options.before {
            Some(moment) => self.value("--before", &moment.to_string()),
            None => self,
        }
    }

    /// The ledger.
    pub(crate) fn ledger(mut self, config: &LedgerConfig, servers: &ServerConfig) -> Self {
        let location = config.location.to_string();
        if config.location != LedgerLocation::Tables || self.finds_other("--ledger", &location) {
            self = self.value("--ledger", &location);
        }
        let is_default = config.database == servers.target_database();
        if is_default && !self.finds_other("--ledger-db", &config.database) {
            self
        } else {
            self.value("--ledger-db", &config.database)
        }
    }

    /// The partition.
    pub(crate) fn partition(self, partition: &Partition) -> Self {
        self.value("--partition", &partition.to_string())
    }

    /// A flag with a value.
    pub(crate) fn value(mut self, flag: &str, value: &str) -> Self {
        self.words.extend([flag.to_owned(), quoted(value)]);
        self
    }

    /// A flag without a value.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.words.push(flag.to_owned());
        self
    }

    /// The line.
    pub(crate) fn text(self) -> String {
        self.words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Command, StatusArguments};

    fn next(arguments: &[&str]) -> String {
        let line = ["clickhouse-backfill", "status", "--partition=202511"];
        let Ok(Command::Status(parsed)) = Command::of(line.iter().chain(arguments)) else {
            panic!("{arguments:?}");
        };
        let StatusArguments { which, what, server, ledger, .. } = &*parsed;
        let config = LoadConfig::resolve(what, &which.partition, server, ledger).unwrap();
        config.next("run").text()
    }

    #[test]
    fn flags_of_the_servers_are_kept_and_passwords_are_not() {
        assert_eq!(next(&[]), "clickhouse-backfill run --partition 202511");
        assert_eq!(
            next(&[
                "--clickhouse-url=https://ann:secret@db:8443",
                "--clickhouse-user=bob",
                "--clickhouse-password=secret",
                "--clickhouse-db=it's",
                "--source-url=http://eve:secret@src",
            ]),
            r"clickhouse-backfill run --clickhouse-url https://db:8443/ --clickhouse-user bob --clickhouse-db 'it'\''s' --source-url http://src/ --partition 202511"
        );
    }

    #[test]
    fn the_job_and_the_ledger_are_named_where_they_are_not_the_default() {
        assert_eq!(
            next(&["--job=it's mine.toml", "--target-table=events_full", "--ledger=file:/var/lib"]),
            r"clickhouse-backfill run --job 'it'\''s mine.toml' --target-table events_full --ledger file:/var/lib --partition 202511"
        );
    }
}
