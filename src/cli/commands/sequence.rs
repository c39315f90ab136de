//! `clickhouse-backfill run --partitions A..B`: filling several partitions, one after another.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config;
use super::run::{Filled, fill};
use super::session::{Opened, open_patiently};
use super::telling::Telling;
use crate::cli::args::{Order, RunArguments};
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::output::summary_file;
use crate::clickhouse::{TableName, error_chain};
use crate::ledger::{Ledger, LoadStatus};
use crate::load::{load_key, new_id};
use crate::plan::{Months, Partition, partitions};
use crate::progress::{Status, Summary, counted, duration};
use crate::stop::Stop;

/// What became of all partitions. Its field names are a contract with scripts.
#[derive(Debug, Serialize)]
struct SequenceSummary {
    /// `completed` where nothing is left.
    status: Status,
    /// In the order in which they are filled.
    partitions: Vec<PartitionSummary>,
    /// Rows inserted, over all partitions.
    inserted_rows: u64,
    /// How long all of it took.
    seconds: f64,
}

/// What became of one of them.
#[derive(Debug, Serialize)]
struct PartitionSummary {
    partition: String,
    outcome: Outcome,
    /// Why it failed.
    error: Option<String>,
    /// The figures of its run, where it came so far.
    summary: Option<Summary>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Completed,
    CompletedBefore,
    Empty,
    PartDone,
    Interrupted,
    Failed,
    NotBegun,
}

/// Fills the months that the source has, one after another. Stops at the first that fails, unless
/// told to go on.
pub(crate) async fn fill_sequence(
    telling: &Telling<'_>,
    months: &Months,
    stop: Stop,
) -> Result<ExitCode, Failure> {
    let Telling { arguments, terminal, .. } = telling;
    let began = Instant::now();
    let patience = config::patience(&arguments.throughput, &arguments.faults, &stop);
    let opened = open_patiently(
        &arguments.server,
        &arguments.what,
        &arguments.throughput,
        &new_id(),
        &patience,
    )
    .await?;
    let mut found = present(&opened, months).await?;
    if arguments.which.order == Order::Newest {
        found.reverse();
    }
    let source = &opened.job.source.name;
    terminal.say(&introduction(source, months, &found));
    let entry = |id: &String| PartitionSummary {
        partition: id.clone(),
        outcome: Outcome::NotBegun,
        error: None,
        summary: None,
    };
    let mut all = SequenceSummary {
        status: Status::Completed,
        partitions: found.iter().map(entry).collect(),
        inserted_rows: 0,
        seconds: 0.0,
    };
    let (mut failure, wishes) = (None, arguments.throttle.wishes());
    for number in 0..found.len() {
        let Some(entry) = all.partitions.get_mut(number) else { break };
        terminal.say(&format!(
            "\npartition {}, {} of {}",
            entry.partition,
            number + 1,
            found.len()
        ));
        if arguments.dry_run
            && !arguments.ledger.restart
            && was_completed(arguments, &opened, &entry.partition).await
        {
            terminal.say("it was completed before: it is left out of the dry run");
            entry.outcome = Outcome::CompletedBefore;
            continue;
        }
        let partition = Partition::Month(entry.partition.clone());
        let mut course = telling.course(&partition);
        let filled = Box::pin(fill(
            arguments,
            &partition,
            terminal,
            Instant::now(),
            stop.part(),
            &mut course,
            wishes.clone(),
        ))
        .await;
        let filled = Filled::unless_stopped(filled, terminal);
        entry.summary = course.end(filled.as_ref().err()).await;
        entry.outcome = match &filled {
            Ok(filled) => Outcome::from(*filled),
            Err(error) => {
                entry.error = Some(error.one_line());
                Outcome::Failed
            }
        };
        let (outcome, named) = (entry.outcome, entry.partition.clone());
        all.note(began.elapsed(), outcome);
        summary_file::write_any(arguments.output.summary_json.as_deref(), &all)?;
        if let Err(error) = filled {
            let goes_on = arguments.which.keep_going && !stop.is_requested();
            if goes_on {
                terminal.insist(&format!(
                    "partition {named} failed, going on with the next\n{}",
                    error.text()
                ));
            }
            failure.get_or_insert(error);
            if !goes_on {
                break;
            }
        }
        // Who asked this partition to stop meant all of them.
        if outcome == Outcome::Interrupted || stop.is_requested() {
            break;
        }
    }
    if stop.is_requested() && all.status == Status::Completed && all.is_left() {
        all.status = Status::Interrupted;
    }
    all.seconds = began.elapsed().as_secs_f64();
    telling.set_last_line(serde_json::to_string(&all).unwrap_or_default());
    summary_file::write_any(arguments.output.summary_json.as_deref(), &all)?;
    terminal.say(&all.text(&opened, arguments.dry_run));
    ended(&all, failure)
}

/// How the program ends.
fn ended(all: &SequenceSummary, failure: Option<Failure>) -> Result<ExitCode, Failure> {
    let failed: Vec<_> =
        all.partitions.iter().filter(|entry| entry.outcome == Outcome::Failed).collect();
    let again = "run the same command again; it skips the partitions that are completed";
    match failure {
        Some(failure) if failed.len() == 1 => Err(failure
            .of_partition(&failed.iter().map(|entry| entry.partition.as_str()).collect::<String>())
            .hint(again)),
        Some(failure) => {
            let names: Vec<_> = failed.iter().map(|entry| entry.partition.as_str()).collect();
            let message = format!(
                "{} of {} partitions failed: {}",
                failed.len(),
                all.partitions.len(),
                names.join(", ")
            );
            Err(failure.instead(message).hint(again))
        }
        None if all.status == Status::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// The months of which the source has rows, in order.
async fn present(opened: &Opened, months: &Months) -> Result<Vec<String>, Failure> {
    let stored = partitions(&opened.servers.source, &opened.job.source.name)
        .await
        .map_err(|error| Failure::stopped(&error))?;
    let key = &opened.job.source.partition_key;
    if !stored.is_empty()
        && stored.iter().all(|partition| partition.id.parse::<Partition>().is_err())
    {
        let message = format!(
            "the source table {} is partitioned by {key}, not by month",
            opened.job.source.name
        );
        return Err(Failure::refused(message).hint(
            "--partition id:ID names a partition of such a table, as system.parts shows it",
        ));
    }
    Ok(stored.into_iter().map(|partition| partition.id).filter(|id| months.contains(id)).collect())
}

fn introduction(source: &TableName, months: &Months, found: &[String]) -> String {
    let missing: Vec<_> = months.ids().into_iter().filter(|id| !found.contains(id)).collect();
    let of_missing = match missing.len() {
        0 => String::new(),
        1..=6 => format!("; {} has no rows in {}", source, missing.join(", ")),
        many => format!("; {source} has no rows in the {many} others"),
    };
    match found {
        [] => format!("{source} has no rows in {months}: there is nothing to do"),
        [one] => format!("1 partition of {source}: {one}{of_missing}"),
        [first, .., last] => {
            format!("{} partitions of {source}, from {first} to {last}{of_missing}", found.len())
        }
    }
}

/// Whether the ledger says so; where it cannot be asked, a dry run does more than it must.
async fn was_completed(arguments: &RunArguments, opened: &Opened, id: &str) -> bool {
    let target = &opened.servers.target;
    let Ok(recording) = arguments.ledger.recording(target.endpoint().database(), Duration::ZERO)
    else {
        return false;
    };
    let key = load_key(&opened.job, id);
    match Ledger::new(&recording.location, target, &recording.database).current_load(&key).await {
        Ok(load) => load.is_some_and(|load| load.status == LoadStatus::Completed),
        Err(error) => {
            tracing::warn!("the ledger cannot be read: {}", error_chain(&error));
            false
        }
    }
}

impl From<Filled> for Outcome {
    fn from(filled: Filled) -> Self {
        match filled {
            Filled::Done => Self::Completed,
            Filled::DoneBefore => Self::CompletedBefore,
            Filled::Empty => Self::Empty,
            Filled::PartDone => Self::PartDone,
            Filled::Interrupted => Self::Interrupted,
        }
    }
}

impl SequenceSummary {
    fn note(&mut self, took: Duration, outcome: Outcome) {
        self.seconds = took.as_secs_f64();
        self.inserted_rows = self
            .partitions
            .iter()
            .filter_map(|entry| entry.summary.as_ref())
            .map(|summary| summary.inserted_rows)
            .sum();
        match outcome {
            Outcome::Failed => self.status = Status::Failed,
            Outcome::Interrupted if self.status == Status::Completed => {
                self.status = Status::Interrupted;
            }
            _ => {}
        }
    }

    fn is_left(&self) -> bool {
        self.partitions.iter().any(|entry| entry.outcome == Outcome::NotBegun)
    }

    /// The block for people.
    fn text(&self, opened: &Opened, dry_run: bool) -> String {
        let done = |outcome: Outcome| {
            matches!(
                outcome,
                Outcome::Completed | Outcome::CompletedBefore | Outcome::Empty | Outcome::PartDone
            )
        };
        let headline = match (self.status, dry_run) {
            (Status::Completed, false) => "done",
            (Status::Completed, true) => "dry run done, nothing was written",
            (Status::Failed, _) => "failed",
            (Status::Interrupted, _) => "interrupted",
        };
        let (finished, all) = (
            self.partitions.iter().filter(|entry| done(entry.outcome)).count(),
            self.partitions.len(),
        );
        let all = counted(all as u64, "partition");
        let (rows, verb) =
            (counted(self.inserted_rows, "row"), if dry_run { "evaluated" } else { "inserted" });
        let took = duration(Duration::try_from_secs_f64(self.seconds).unwrap_or_default());
        let (job, target) = (&opened.job.name, &opened.job.target.name);
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
            Outcome::Completed => format!("done, {figures}"),
            Outcome::CompletedBefore => "was completed before".to_owned(),
            Outcome::Empty => "has no rows".to_owned(),
            Outcome::PartDone => format!("this worker's part is done, {figures}"),
            Outcome::Interrupted => format!("interrupted, {figures}"),
            Outcome::Failed => format!("failed: {}", self.error.as_deref().unwrap_or_default()),
            Outcome::NotBegun => "not begun".to_owned(),
        };
        format!("  {}  {words}\n", self.partition)
    }
}
