//! `clickhouse-backfill run`: fills one partition of the target, or with `--partitions A..B` several, one
//! after another.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::notifier::{Notifier, RunContext};
use super::partition_run::PartitionRun;
use super::session::{BoundSession, startup_retry};
use crate::causes::error_chain;
use crate::cli::args::{Given, Order, RunArguments};
use crate::cli::config::{Partitions, RunConfig};
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::output::{check_summary_file, write_summary};
use crate::cli::runtime::run_until_signalled;
use crate::clickhouse::TableName;
use crate::ledger::{Ledger, load_key};
use crate::load::{Recording, new_id};
use crate::plan::{Months, Partition, partitions};
use crate::progress::{Summary, Terminal, counted, duration};
use crate::state::{LoadState, RunOutcome};
use crate::stop::Stop;

/// Runs the command.
pub(crate) fn run(
    arguments: &RunArguments,
    given: &Given,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let stopping = "finishing inserts in flight; a second signal ends at once";
    run_until_signalled(terminal, stopping, |stop| async move {
        let mut notifier = Notifier::new(arguments, terminal);
        let result = match notifier.start().await {
            Ok(()) => fill(arguments, given, (terminal, &notifier), stop, began).await,
            Err(failure) => Err(failure),
        };
        notifier.end(result).await
    })
}

async fn fill(
    arguments: &RunArguments,
    given: &Given,
    (terminal, notifier): (&Terminal, &Notifier<'_>),
    stop: Stop,
    began: Instant,
) -> Result<ExitCode, Failure> {
    check_summary_file(arguments.output.summary_json.as_deref())?;
    if let Some(path) = &arguments.output.log_file {
        terminal.say(&format!("log file: {}", path.display()));
    }
    let config = &RunConfig::resolve(arguments)?;
    let overrides = config.throttle.overrides();
    let context = RunContext { config, given, terminal, notifier, stop, overrides, began };
    match &config.partitions {
        Partitions::One(partition) => fill_one(&context, partition).await,
        Partitions::Months { months, order, keep_going } => {
            fill_sequence(&context, months, *order, *keep_going).await
        }
    }
}

async fn fill_one(context: &RunContext<'_>, partition: &Partition) -> Result<ExitCode, Failure> {
    let mut run = PartitionRun::new(context, partition, context.stop.clone(), context.began);
    let filled = run.fill().await;
    // Hooks find the file when they run.
    let path = context.config.output.summary_json.as_deref();
    let written = run.summary().map_or(Ok(()), |summary| write_summary(path, summary));
    let filled = filled.and_then(|filled| written.map(|()| filled));
    run.end(filled.as_ref().err()).await;
    Ok(match filled? {
        RunOutcome::Interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}

/// The summary of all partitions. Field names are a contract.
#[derive(Debug, Serialize)]
struct SequenceSummary {
    /// `completed` if nothing is left.
    status: LoadState,
    /// In the order of filling.
    partitions: Vec<PartitionSummary>,
    /// Rows inserted, over all partitions.
    inserted_rows: u64,
    /// The time of the whole sequence.
    seconds: f64,
}

/// The summary of one partition.
#[derive(Debug, Serialize)]
struct PartitionSummary {
    partition: String,
    outcome: RunOutcome,
    /// The failure, if it failed.
    error: Option<String>,
    /// The summary of its run, if the run came so far.
    summary: Option<Summary>,
}

/// Fills the months that the source has, one after another. Stops at the first failure, unless
/// `--keep-going` is set.
async fn fill_sequence(
    context: &RunContext<'_>,
    months: &Months,
    order: Order,
    keep_going: bool,
) -> Result<ExitCode, Failure> {
    let RunContext { config, terminal, .. } = context;
    let retry = startup_retry(&config.faults, &context.stop);
    let session = config.session.open_with_retries(&new_id(), None, &retry).await?;
    let mut found = present(&session, months).await?;
    if order == Order::Newest {
        found.reverse();
    }
    terminal.say(&introduction(&session.job.source.name, months, &found));
    let mut sequence = Sequence {
        context,
        session: &session,
        keep_going,
        began: Instant::now(),
        summary: SequenceSummary::new(&found),
        failure: None,
    };
    for (number, id) in found.iter().enumerate() {
        terminal.say(&format!("\npartition {id}, {} of {}", number + 1, found.len()));
        if sequence.fill(number, id).await?.is_break() {
            break;
        }
    }
    sequence.end()
}

/// A sequence of partitions that is being filled.
struct Sequence<'a> {
    context: &'a RunContext<'a>,
    session: &'a BoundSession,
    keep_going: bool,
    began: Instant,
    summary: SequenceSummary,
    /// The first failure.
    failure: Option<Failure>,
}

impl Sequence<'_> {
    /// Fills one partition. Breaks if the next ones are not to be filled.
    async fn fill(&mut self, number: usize, id: &str) -> Result<ControlFlow<()>, Failure> {
        let RunContext { config, terminal, stop, .. } = self.context;
        let skips_completed = config.dry_run && !config.recording.restart;
        if skips_completed && was_completed(&config.recording, self.session, id).await {
            terminal.say("already complete, skipped in a dry run");
            self.summary.set(number, RunOutcome::CompletedBefore, None, None);
            return Ok(ControlFlow::Continue(()));
        }
        let partition = Partition::Month(id.to_owned());
        let mut run = PartitionRun::new(self.context, &partition, stop.part(), Instant::now());
        let filled = run.fill().await;
        let summary = run.end(filled.as_ref().err()).await;
        let outcome = *filled.as_ref().unwrap_or(&RunOutcome::Failed);
        let error = filled.as_ref().err().map(Failure::one_line);
        self.summary.set(number, outcome, error, summary);
        self.summary.seconds = self.began.elapsed().as_secs_f64();
        self.write()?;
        if let Err(failure) = filled {
            let goes_on = self.keep_going && !stop.is_requested();
            if goes_on {
                terminal.insist(&format!(
                    "partition {id} failed, continuing with the next\n{}",
                    failure.text()
                ));
            }
            self.failure.get_or_insert(failure);
            if !goes_on {
                return Ok(ControlFlow::Break(()));
            }
        }
        // A stop request is for all partitions.
        if outcome == RunOutcome::Interrupted || stop.is_requested() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Writes the summary for programs.
    fn write(&self) -> Result<(), Failure> {
        let path = self.context.config.output.summary_json.as_deref();
        write_summary(path, &self.summary)
    }

    /// Reports the summary, and how the process ends.
    fn end(mut self) -> Result<ExitCode, Failure> {
        let RunContext { config, terminal, notifier, stop, .. } = self.context;
        let summary = &mut self.summary;
        if stop.is_requested() && summary.status == LoadState::Completed && summary.is_left() {
            summary.status = LoadState::Interrupted;
        }
        summary.seconds = self.began.elapsed().as_secs_f64();
        notifier.set_last_line(serde_json::to_string(&self.summary).unwrap_or_default());
        self.write()?;
        terminal.say(&self.summary.text(self.session, config.dry_run));
        self.summary.exit(self.failure)
    }
}

/// The months of which the source has rows, in ascending order.
async fn present(session: &BoundSession, months: &Months) -> Result<Vec<String>, Failure> {
    let stored = partitions(&session.servers.source, &session.job.source.name)
        .await
        .map_err(|error| Failure::stopped(&error))?;
    let key = &session.job.source.partition_key;
    if !stored.is_empty()
        && stored.iter().all(|partition| partition.id.parse::<Partition>().is_err())
    {
        let message = format!(
            "the source table {} is partitioned by {key}, not by month",
            session.job.source.name
        );
        return Err(Failure::refused(message)
            .hint("--partition id:ID names a partition by its id, as in system.parts"));
    }
    Ok(stored.into_iter().map(|partition| partition.id).filter(|id| months.contains(id)).collect())
}

fn introduction(source: &TableName, months: &Months, found: &[String]) -> String {
    let missing: Vec<_> = months.ids().into_iter().filter(|id| !found.contains(id)).collect();
    let of_missing = match missing.len() {
        0 => String::new(),
        1..=6 => format!("; {} has no rows in {}", source, missing.join(", ")),
        many => format!("; {source} has no rows in {many} other months"),
    };
    match found {
        [] => format!("{source} has no rows in {months}: there is nothing to do"),
        [one] => format!("1 partition of {source}: {one}{of_missing}"),
        [first, .., last] => {
            format!("{} partitions of {source}, from {first} to {last}{of_missing}", found.len())
        }
    }
}

/// Whether the ledger has the partition as completed; `false` if it cannot be read.
async fn was_completed(recording: &Recording, session: &BoundSession, id: &str) -> bool {
    let target = &session.servers.target;
    let key = load_key(&session.job, id);
    match Ledger::new(&recording.location, target, &recording.database).newest_load(&key).await {
        Ok(load) => load.is_some_and(|load| load.status == LoadState::Completed),
        Err(error) => {
            tracing::warn!("the ledger cannot be read: {}", error_chain(&error));
            false
        }
    }
}

impl SequenceSummary {
    fn new(partitions: &[String]) -> Self {
        let entry = |id: &String| PartitionSummary {
            partition: id.clone(),
            outcome: RunOutcome::NotStarted,
            error: None,
            summary: None,
        };
        Self {
            status: LoadState::Completed,
            partitions: partitions.iter().map(entry).collect(),
            inserted_rows: 0,
            seconds: 0.0,
        }
    }

    fn set(
        &mut self,
        number: usize,
        outcome: RunOutcome,
        error: Option<String>,
        summary: Option<Summary>,
    ) {
        match outcome {
            RunOutcome::Failed => self.status = LoadState::Failed,
            RunOutcome::Interrupted if self.status == LoadState::Completed => {
                self.status = LoadState::Interrupted;
            }
            _ => {}
        }
        self.inserted_rows += summary.as_ref().map_or(0, |summary| summary.inserted_rows);
        if let Some(entry) = self.partitions.get_mut(number) {
            *entry = PartitionSummary {
                outcome,
                error,
                summary,
                partition: std::mem::take(&mut entry.partition),
            };
        }
    }

    /// How the process ends.
    fn exit(&self, failure: Option<Failure>) -> Result<ExitCode, Failure> {
        let failed: Vec<_> =
            self.partitions.iter().filter(|entry| entry.outcome == RunOutcome::Failed).collect();
        let again = "run the same command again; completed partitions are skipped";
        match failure {
            Some(failure) if failed.len() == 1 => Err(failure
                .of_partition(
                    &failed.iter().map(|entry| entry.partition.as_str()).collect::<String>(),
                )
                .hint(again)),
            Some(failure) => {
                let names: Vec<_> = failed.iter().map(|entry| entry.partition.as_str()).collect();
                let message = format!(
                    "{} of {} partitions failed: {}",
                    failed.len(),
                    self.partitions.len(),
                    names.join(", ")
                );
                Err(failure.instead(message).hint(again))
            }
            None if self.status == LoadState::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
            None => Ok(ExitCode::SUCCESS),
        }
    }

    fn is_left(&self) -> bool {
        self.partitions.iter().any(|entry| entry.outcome == RunOutcome::NotStarted)
    }

    /// The text block.
    fn text(&self, session: &BoundSession, dry_run: bool) -> String {
        let done = |outcome: RunOutcome| outcome.state() == LoadState::Completed;
        let headline = match (self.status, dry_run) {
            (LoadState::Completed, true) => "dry run completed, nothing was written",
            (state, _) => state.text(),
        };
        let (finished, all) = (
            self.partitions.iter().filter(|entry| done(entry.outcome)).count(),
            self.partitions.len(),
        );
        let all = counted(all as u64, "partition");
        let (rows, verb) =
            (counted(self.inserted_rows, "row"), if dry_run { "evaluated" } else { "inserted" });
        let took = duration(Duration::try_from_secs_f64(self.seconds).unwrap_or_default());
        let (job, target) = (&session.job.name, &session.job.target.name);
        let mut text = format!(
            "\n{headline}: {job} into {target}, {finished} of {all}, {rows} {verb} in {took}\n"
        );
        for entry in &self.partitions {
            text.push_str(&entry.line());
        }
        text
    }
}

impl PartitionSummary {
    fn line(&self) -> String {
        let figures = |summary: &Summary| {
            let took =
                duration(Duration::try_from_secs_f64(summary.seconds.total).unwrap_or_default());
            format!("{} in {took}", counted(summary.inserted_rows, "row"))
        };
        let figures = self.summary.as_ref().map(figures).unwrap_or_default();
        let words = match self.outcome {
            RunOutcome::Completed => format!("completed, {figures}"),
            RunOutcome::CompletedBefore => "already complete".to_owned(),
            RunOutcome::Empty => "has no rows".to_owned(),
            RunOutcome::PartCompleted { .. } => {
                format!("this worker's part is completed, {figures}")
            }
            RunOutcome::Interrupted => format!("interrupted, {figures}"),
            RunOutcome::Failed => format!("failed: {}", self.error.as_deref().unwrap_or_default()),
            RunOutcome::NotStarted => "not started".to_owned(),
        };
        format!("  {}  {words}\n", self.partition)
    }
}
