//! What `plan` tries: the checks before a run, and how long a run would take, estimated from a short dry
//! run.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cli::commands::session::{BoundSession, Session, fail_fast_options};
use crate::cli::failure::Failure;
use crate::clickhouse::ErrorClass;
use crate::engine::stream::{
    Counters, DedupError, DedupStrategy, Pipeline, PipelineError, PipelineOptions, Throttle, Trial,
    find_dedup_strategy, trial,
};
use crate::job::Publish;
use crate::preflight::{Check, DRY_RUN, Findings, INSERT, Preflight, REPEATS, in_order};
use crate::progress::{count, duration};
use crate::retry::{RetryPolicy, in_crowd};
use crate::stop::Stop;
use crate::units::counted;

/// Runs all checks concurrently.
pub(crate) async fn run_checks(
    session: &Session,
    options: &PipelineOptions,
    skipped_checks: &[String],
    allow_duplicates: bool,
) -> Findings {
    let preflight = Preflight {
        servers: &session.servers,
        server_version: &session.server_version,
        source_version: &session.source_version,
        job: &session.job,
        plan: &session.plan,
        pipeline: options,
        share: 1.0,
        skipped_checks,
    };
    let (findings, insert, repeats) = tokio::join!(
        preflight.run(),
        insert(session, options),
        repeated(session, options, allow_duplicates)
    );
    let checks = findings.checks.into_iter().chain([insert, repeats]).collect();
    Findings { checks: in_order(checks), ..findings }
}

/// Tests the insert without rows.
async fn insert(session: &Session, options: &PipelineOptions) -> Check {
    let retry = RetryPolicy { max_retries: 0, ..options.retry };
    let options = PipelineOptions { retry, outage_wait: Duration::ZERO, ..options.clone() };
    let (servers, job) = (session.servers.clone(), session.job.clone());
    let throttle = Throttle::new(options.readers, options.inserters);
    let pipeline = Pipeline::new(
        servers,
        job,
        options,
        Arc::new(Counters::default()),
        Stop::new(),
        None,
        throttle,
    );
    match in_crowd(|| pipeline.preflight()).await {
        Ok(()) => {
            Check::passed(INSERT, "the server accepts the insert, tested without rows", false)
        }
        // A run would retry it.
        Err(error) if error.class() == ErrorClass::Retry => Check::passed(
            INSERT,
            format!("the server does not accept the insert at the moment: {error}"),
            true,
        ),
        Err(error) => Check::refused(
            INSERT,
            format!("the server refuses the insert, tested without rows: {error}"),
            vec![format!(
                "correct what the server names, often GRANT INSERT ON {}",
                session.job.target.name.quoted()
            )],
        ),
    }
}

async fn repeated(session: &Session, options: &PipelineOptions, allow_duplicates: bool) -> Check {
    let target = &session.job.target;
    if session.job.publish == Publish::Replace {
        let words = "attempts of a chunk are told apart in the stage, and one of them is published";
        return Check::passed(REPEATS, words, false);
    }
    match find_dedup_strategy(
        &session.servers.target,
        &session.job,
        &session.plan,
        options,
        allow_duplicates,
    )
    .await
    {
        Ok(found) => {
            let mut words = match found.strategy {
                DedupStrategy::Collapse => {
                    format!("rows sent twice collapse in {} ({})", target.name, target.engine)
                }
                DedupStrategy::Recognized { window } => {
                    format!(
                        "{} recognizes the last {}, so chunks are read in order",
                        target.name,
                        counted(window, "block")
                    )
                }
                DedupStrategy::Stay => format!("rows sent twice stay twice in {}", target.name),
            };
            for remark in &found.remarks {
                words.push_str("; ");
                words.push_str(remark);
            }
            Check::passed(REPEATS, words, !found.remarks.is_empty())
        }
        Err(error @ DedupError::Server { .. }) => {
            Check::unknown(REPEATS, Failure::from(error).one_line())
        }
        Err(error) => {
            let failure = Failure::from(error);
            Check::refused(REPEATS, failure.one_line(), failure.hints().to_vec())
        }
    }
}

/// How many times as long a run takes as a dry run: measured in `benches/results`, from a target with
/// few indexes to one with text indexes and a view, with a margin on both sides.
const WRITING: [f64; 2] = [1.2, 2.6];

/// How long inserts in flight may take at the end of the measurement.
const DRAIN: Duration = Duration::from_secs(10);

/// Typical sizes of partitions.
const SIZES: [(&str, f64); 2] = [("0.5 billion rows", 0.5e9), ("2.5 billion rows", 2.5e9)];

/// The options of the dry run, which ends at the first failure.
pub(crate) fn trial_options(session: &BoundSession) -> Result<PipelineOptions, Failure> {
    let retry = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
    Ok(PipelineOptions {
        dry_run: true,
        retry,
        drain_timeout: DRAIN,
        ..fail_fast_options(session)?
    })
}

/// An estimate for this partition and larger ones.
#[derive(Debug)]
pub(crate) enum Estimate {
    /// The measurement.
    Measured(Trial),
    /// Why there is no estimate.
    None(String),
    /// The dry run failed.
    Failed {
        /// Why.
        reason: String,
        /// Whether a run would fail as well, whenever it starts.
        permanent: bool,
    },
}

/// An estimate as data.
#[derive(Debug, Serialize)]
pub(crate) struct EstimateShown {
    pub measured_rows: u64,
    pub measured_seconds: f64,
    /// Of the dry run.
    pub rows_per_second: f64,
    /// How long a run of this partition would take, at best and at worst.
    pub seconds_from: f64,
    pub seconds_to: f64,
}

impl Estimate {
    /// Why there is no estimate, if there is none.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Measured(_) => None,
            Self::None(reason) | Self::Failed { reason, .. } => Some(reason.clone()),
        }
    }

    /// The measurement, and what follows from it for this number of rows.
    pub(super) fn shown(&self, rows: u64) -> Option<EstimateShown> {
        let Self::Measured(trial) = self else { return None };
        let [from, to] = Self::range(trial, rows as f64);
        Some(EstimateShown {
            measured_rows: trial.rows,
            measured_seconds: trial.elapsed.as_secs_f64(),
            rows_per_second: trial.rate(),
            seconds_from: from.as_secs_f64(),
            seconds_to: to.as_secs_f64(),
        })
    }

    /// The shortest and the longest time for a number of rows.
    fn range(trial: &Trial, rows: f64) -> [Duration; 2] {
        WRITING.map(|times| trial.time_of(rows * times))
    }

    /// The text; `rows` is the number of rows of the partition.
    pub(super) fn text(&self, rows: u64) -> String {
        match self {
            Self::Measured(trial) => text(trial, rows),
            Self::None(reason) | Self::Failed { reason, .. } => {
                format!("\nestimate\n  none: {reason}\n")
            }
        }
    }

    /// The check that a failed dry run amounts to.
    pub(super) fn check(&self) -> Option<Check> {
        let Self::Failed { reason, permanent } = self else { return None };
        Some(if *permanent {
            let means = "correct the job, the rows or the setting that the server names";
            Check::refused(DRY_RUN, reason.clone(), vec![means.to_owned()])
        } else {
            Check::passed(DRY_RUN, reason.clone(), true)
        })
    }
}

/// Measures.
pub(crate) async fn estimate(
    session: &Session,
    options: PipelineOptions,
    limit: Duration,
) -> Estimate {
    match trial(&session.servers, &session.job, options, &session.plan, limit).await {
        Ok(Some(trial)) => Estimate::Measured(trial),
        Ok(None) => Estimate::None(
            "loading attributes takes longer than the measurement; raise --measure".to_owned(),
        ),
        Err(error) => Estimate::Failed {
            reason: format!("the dry run failed: {}", Failure::from(&error).one_line()),
            permanent: is_permanent(&error),
        },
    }
}

/// Whether a run would meet the same error.
fn is_permanent(error: &PipelineError) -> bool {
    let of_class = |class| matches!(class, ErrorClass::Fatal | ErrorClass::Rows);
    match error {
        PipelineError::Chunks { failed, .. } => failed.iter().any(|chunk| of_class(chunk.class)),
        error => of_class(error.class()),
    }
}

fn text(trial: &Trial, rows: u64) -> String {
    let [fast, slow] = WRITING;
    let mut text = format!(
        "\nestimate, from a dry run of {} rows in {}: {} rows/s\n  a run takes {fast} to {slow} times as long, since it writes\n",
        count(trial.rows),
        duration(trial.elapsed),
        rounded(trial.rate())
    );
    let mut line = |name: &str, rows: f64| {
        let [fast, slow] = Estimate::range(trial, rows).map(duration);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<18}{fast} to {slow}");
    };
    line("this partition", rows as f64);
    for (name, rows) in SIZES {
        line(name, rows);
    }
    text.push_str("  at the server's present load, without merges of the new parts\n");
    text
}

/// Three digits of a rate are meaningful.
fn rounded(rate: f64) -> String {
    let unit = if rate >= 100_000.0 { 1_000.0 } else { 100.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of rows, never negative"
    )]
    let rounded = ((rate / unit).round() * unit) as u64;
    count(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_follow_from_the_rate() {
        let text = text(&Trial { rows: 500_000, elapsed: Duration::from_secs(5) }, 3_000_000);
        let expected = [
            "estimate, from a dry run of 500,000 rows in 5.0 s: 100,000 rows/s",
            "  a run takes 1.2 to 2.6 times as long, since it writes",
            "  this partition    36.0 s to 1 min 18 s",
            "  0.5 billion rows  1 h 40 min to 3 h 36 min",
            "  2.5 billion rows  8 h 20 min to 18 h 03 min",
        ];
        assert_eq!(text.lines().skip(1).take(5).collect::<Vec<_>>(), expected);
    }
}
