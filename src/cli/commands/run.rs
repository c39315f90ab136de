//! `clickhouse-backfill run`: fills one partition of the target, or with `--partitions A..B` several, one
//! after another; each by one job, or by the jobs of a set in turn.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::notifier::{Notifier, RunContext};
use super::partition_run::PartitionRun;
use super::session::{BoundSession, startup_retry};
use crate::causes::error_chain;
use crate::cli::args::{Given, Order, RunArguments};
use crate::cli::config::{NextCommand, Partitions, RunConfig};
use crate::cli::failure::{DIFFERENT, Failure, INTERRUPTED};
use crate::cli::output::{check_summary_file, write_summary};
use crate::cli::runtime::{Stopping, Underway, run_until_signalled};
use crate::clickhouse::TableName;
use crate::job::JobSet;
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
    let underway = &Underway::default();
    let again = NextCommand::after(given, "run", &["restart"]).text();
    let second = || {
        let safe =
            if arguments.dry_run { "nothing was written".to_owned() } else { underway.safe() };
        format!("{safe}\nnext: {again}")
    };
    let stopping = Stopping {
        first: "finishing inserts in flight; a second signal ends at once",
        second: &second,
    };
    run_until_signalled(terminal, &stopping, |stop| async move {
        let mut notifier = Notifier::new(arguments, terminal);
        let result = match notifier.start().await {
            Ok(()) => fill(arguments, (given, underway), (terminal, &notifier), stop, began).await,
            Err(failure) => Err(failure),
        };
        notifier.end(result).await
    })
}

async fn fill(
    arguments: &RunArguments,
    (given, underway): (&Given, &Underway),
    (terminal, notifier): (&Terminal, &Notifier<'_>),
    stop: Stop,
    began: Instant,
) -> Result<ExitCode, Failure> {
    check_summary_file(arguments.output.summary_json.as_deref())?;
    if let Some(path) = &arguments.output.log_file {
        terminal.say(&format!("log file: {}", path.display()));
    }
    let config = RunConfig::resolve(arguments)?;
    let overrides = config.throttle.overrides();
    let set = JobSet::find(&config.session.job.reference)?;
    let configs = match &set {
        None => vec![config],
        Some(set) => configs_of(set, &config)?,
    };
    let is_one_of_several = set.is_some()
        || configs.iter().any(|config| matches!(config.partitions, Partitions::Months { .. }));
    let context = |config| RunContext {
        config,
        is_one_of_several,
        given,
        underway,
        terminal,
        notifier,
        stop: stop.clone(),
        overrides: overrides.clone(),
        began,
    };
    let contexts: Vec<_> = configs.iter().map(context).collect();
    match (&*contexts, &set) {
        ([context], None) => match &context.config.partitions {
            Partitions::One(partition) => fill_one(context, partition).await,
            Partitions::Months { .. } => fill_sequence(&contexts, None).await,
        },
        _ => fill_sequence(&contexts, set.as_ref()).await,
    }
}

/// The configuration of each job of a set.
fn configs_of(set: &JobSet, config: &RunConfig) -> Result<Vec<RunConfig>, Failure> {
    if config.plan.is_some() {
        let message = format!("--plan needs one job: {} is a set of jobs", set.reference);
        return Err(Failure::usage(message).hint(format!("its jobs: {}", set.jobs.join(", "))));
    }
    let of_job = |job: &String| {
        let mut config = config.clone();
        config.session.job.reference.clone_from(job);
        let exclusions = &mut config.session.job.options.exclusions;
        exclusions.extend(set.exclusions_of(job)?);
        exclusions.sort();
        exclusions.dedup();
        if let Partitions::One(partition) = &config.partitions {
            config.session.job.options.period = Some(partition.id().to_owned());
        }
        Ok(config)
    };
    set.jobs.iter().map(of_job).collect()
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
        RunOutcome::CanaryDifferent => ExitCode::from(DIFFERENT),
        _ => ExitCode::SUCCESS,
    })
}

/// The summary of all partitions. Field names are a contract.
#[derive(Debug, Serialize)]
struct SequenceSummary {
    /// `completed` if nothing is left.
    status: LoadState,
    /// The set of jobs, if `--job` names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<String>,
    /// In the order of filling.
    partitions: Vec<PartitionSummary>,
    /// Rows inserted, over all partitions.
    inserted_rows: u64,
    /// The time of the whole sequence.
    seconds: f64,
}

/// The summary of one partition, of a set filled by one of its jobs.
#[derive(Debug, Serialize)]
struct PartitionSummary {
    partition: String,
    /// The job, if it is one of a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    outcome: RunOutcome,
    /// The failure, if it failed.
    error: Option<String>,
    /// The summary of its run, if the run came so far.
    summary: Option<Summary>,
}

/// What one job fills next.
struct Step {
    /// The job's number.
    job: usize,
    partition: Partition,
}

/// Fills the months that the source has, one after another, each by the jobs in turn. Stops at the first
/// failure, unless `--keep-going` is set.
async fn fill_sequence(
    contexts: &[RunContext<'_>],
    set: Option<&JobSet>,
) -> Result<ExitCode, Failure> {
    let mut sessions = Vec::new();
    for RunContext { config, stop, .. } in contexts {
        let retry = startup_retry(&config.faults, stop);
        sessions.push(config.session.open_with_retries(&new_id(), None, &retry).await?);
    }
    let Some(RunContext { config, terminal, stop, .. }) = contexts.first() else {
        return Ok(ExitCode::SUCCESS);
    };
    let (steps, keep_going) = match &config.partitions {
        Partitions::One(partition) => {
            let step = |job| Step { job, partition: partition.clone() };
            ((0..sessions.len()).map(step).collect(), false)
        }
        Partitions::Months { months, order, keep_going } => {
            (steps(terminal, &sessions, months, *order).await?, *keep_going)
        }
    };
    let loads = if set.is_some() { "load" } else { "partition" };
    let part = config.recording.canary.map(|share| format!("{} of ", share.percentage()));
    let question =
        format!("fill {}{}?", part.unwrap_or_default(), counted(steps.len() as u64, loads));
    let is_asked = !(config.yes || config.dry_run || steps.is_empty());
    if is_asked && !terminal.confirm(&question, stop).await {
        terminal.insist("nothing was written; --yes gives the answer in advance");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let mut sequence = Sequence {
        contexts,
        sessions: &sessions,
        keep_going,
        began: Instant::now(),
        summary: SequenceSummary::new(&steps, set),
        failure: None,
    };
    for (number, step) in steps.iter().enumerate() {
        terminal.say(&format!("\n{}, {} of {}", sequence.named(number), number + 1, steps.len()));
        if sequence.fill(number, step).await?.is_break() {
            break;
        }
    }
    sequence.end()
}

/// The months that the sources have, each with the jobs whose source has it, in the order of filling.
async fn steps(
    terminal: &Terminal,
    sessions: &[BoundSession],
    months: &Months,
    order: Order,
) -> Result<Vec<Step>, Failure> {
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (job, session) in sessions.iter().enumerate() {
        let present = present(session, months).await?;
        terminal.say(&introduction(&session.job.source.name, months, &present));
        for id in present {
            found.entry(id).or_default().push(job);
        }
    }
    let of_month = |(id, jobs): (String, Vec<usize>)| {
        jobs.into_iter().map(move |job| Step { job, partition: Partition::Month(id.clone()) })
    };
    Ok(match order {
        Order::Newest => found.into_iter().rev().flat_map(of_month).collect(),
        Order::Oldest => found.into_iter().flat_map(of_month).collect(),
    })
}

/// A sequence of partitions that is being filled.
struct Sequence<'a> {
    /// One for each job.
    contexts: &'a [RunContext<'a>],
    sessions: &'a [BoundSession],
    keep_going: bool,
    began: Instant,
    summary: SequenceSummary,
    /// The first failure.
    failure: Option<Failure>,
}

impl Sequence<'_> {
    /// A step in words.
    fn named(&self, number: usize) -> String {
        let entry = self.summary.partitions.get(number);
        entry.map_or_else(String::new, |entry| match &entry.job {
            Some(job) => format!("partition {}, {job}", entry.partition),
            None => format!("partition {}", entry.partition),
        })
    }

    /// Fills one partition. Breaks if the next ones are not to be filled.
    async fn fill(&mut self, number: usize, step: &Step) -> Result<ControlFlow<()>, Failure> {
        let Step { job, partition } = step;
        let Some((context, session)) = self.contexts.get(*job).zip(self.sessions.get(*job)) else {
            return Ok(ControlFlow::Break(()));
        };
        let RunContext { config, terminal, stop, .. } = context;
        let skips_completed = config.dry_run && !config.recording.restart;
        if skips_completed && was_completed(&config.recording, session, partition.id()).await {
            terminal.say("already complete, skipped in a dry run");
            self.summary.set(number, RunOutcome::CompletedBefore, None, None);
            return Ok(ControlFlow::Continue(()));
        }
        let mut run = PartitionRun::new(context, partition, stop.part(), Instant::now());
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
                    "{} failed, continuing with the next\n{}",
                    self.named(number),
                    failure.text()
                ));
            }
            self.failure.get_or_insert(failure);
            if !goes_on {
                return Ok(ControlFlow::Break(()));
            }
        }
        if outcome == RunOutcome::CanaryDifferent && !self.keep_going {
            return Ok(ControlFlow::Break(()));
        }
        // A stop request is for all partitions.
        if outcome == RunOutcome::Interrupted || stop.is_requested() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Writes the summary for programs.
    fn write(&self) -> Result<(), Failure> {
        let config = self.contexts.first().map(|context| context.config);
        let path = config.and_then(|config| config.output.summary_json.as_deref());
        write_summary(path, &self.summary)
    }

    /// Reports the summary, and how the process ends.
    fn end(mut self) -> Result<ExitCode, Failure> {
        let Some(context) = self.contexts.first() else { return Ok(ExitCode::SUCCESS) };
        let RunContext { config, terminal, notifier, stop, .. } = context;
        let summary = &mut self.summary;
        if stop.is_requested() && summary.status == LoadState::Completed && summary.is_left() {
            summary.status = LoadState::Interrupted;
        }
        summary.seconds = self.began.elapsed().as_secs_f64();
        notifier.set_last_line(serde_json::to_string(&self.summary).unwrap_or_default());
        self.write()?;
        terminal.say(&self.summary.text(self.sessions, config.dry_run));
        if self.summary.partitions.iter().any(PartitionSummary::is_canary) {
            let next = NextCommand::after(context.given, "run", &["canary", "restart"]);
            terminal.say(&format!("next: {}", next.text()));
        }
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
    fn new(steps: &[Step], set: Option<&JobSet>) -> Self {
        let entry = |step: &Step| PartitionSummary {
            partition: step.partition.to_string(),
            job: set.and_then(|set| set.jobs.get(step.job).cloned()),
            outcome: RunOutcome::NotStarted,
            error: None,
            summary: None,
        };
        Self {
            status: LoadState::Completed,
            set: set.map(|set| set.reference.clone()),
            partitions: steps.iter().map(entry).collect(),
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
                job: entry.job.take(),
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
                .of_partition(&failed.iter().map(|entry| entry.named()).collect::<String>())
                .hint(again)),
            Some(failure) => {
                let names: Vec<_> = failed.iter().map(|entry| entry.named()).collect();
                let message = format!(
                    "{} of {} partitions failed: {}",
                    failed.len(),
                    self.partitions.len(),
                    names.join(", ")
                );
                Err(failure.instead(message).hint(again))
            }
            None if self.status == LoadState::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
            None if self.has_different() => Ok(ExitCode::from(DIFFERENT)),
            None => Ok(ExitCode::SUCCESS),
        }
    }

    /// Whether a canary found differences.
    fn has_different(&self) -> bool {
        self.partitions.iter().any(|entry| entry.outcome == RunOutcome::CanaryDifferent)
    }

    fn is_left(&self) -> bool {
        self.partitions.iter().any(|entry| entry.outcome == RunOutcome::NotStarted)
    }

    /// The text block.
    fn text(&self, sessions: &[BoundSession], dry_run: bool) -> String {
        let has_canary = self.partitions.iter().any(PartitionSummary::is_canary);
        let done = |outcome: RunOutcome| outcome.state() == LoadState::Completed;
        let headline = match (self.status, dry_run) {
            (LoadState::Completed, true) => "dry run completed, nothing was written",
            _ if self.has_different() => "canary different",
            (LoadState::Completed, false) if has_canary => "canary equal",
            (state, _) => state.text(),
        };
        let (finished, all) = (
            self.partitions.iter().filter(|entry| done(entry.outcome)).count(),
            self.partitions.len(),
        );
        let all = counted(all as u64, if self.set.is_some() { "load" } else { "partition" });
        let (rows, verb) =
            (counted(self.inserted_rows, "row"), if dry_run { "evaluated" } else { "inserted" });
        let took = duration(Duration::try_from_secs_f64(self.seconds).unwrap_or_default());
        let of_jobs = |name: &dyn Fn(&BoundSession) -> String| {
            let mut names: Vec<_> = sessions.iter().map(name).collect();
            names.dedup();
            names.join(", ")
        };
        let target = of_jobs(&|session| session.job.target.name.to_string());
        let job = self.set.clone().unwrap_or_else(|| of_jobs(&|session| session.job.name.clone()));
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
    /// Whether a part of it was filled and is equal.
    fn is_canary(&self) -> bool {
        matches!(self.outcome, RunOutcome::CanaryEqual { .. })
    }

    /// The partition, and the job of a set.
    fn named(&self) -> String {
        match &self.job {
            Some(job) => format!("{} ({job})", self.partition),
            None => self.partition.clone(),
        }
    }

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
            RunOutcome::CanaryEqual { chunks_left } => {
                let left = counted(chunks_left, "chunk");
                format!("canary equal, {figures}; {left} not filled")
            }
            RunOutcome::CanaryDifferent => format!("canary different, {figures}"),
            RunOutcome::Interrupted => format!("interrupted, {figures}"),
            RunOutcome::Failed => format!("failed: {}", self.error.as_deref().unwrap_or_default()),
            RunOutcome::NotStarted => "not started".to_owned(),
        };
        let job = self.job.as_ref().map(|job| format!("  {job}")).unwrap_or_default();
        format!("  {}{job}  {words}\n", self.partition)
    }
}
