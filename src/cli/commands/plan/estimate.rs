//! How long a run would take, from a short dry run of `plan`'s own.

use std::fmt::Write;
use std::time::Duration;

use crate::cli::args::ThroughputArguments;
use crate::cli::commands::options::{Resources, fail_fast_options};
use crate::cli::commands::session::Session;
use crate::cli::failure::Failure;
use crate::engine::stream::{PipelineOptions, Trial, trial};
use crate::job::BoundJob;
use crate::progress::{count, duration};
use crate::retry::RetryPolicy;

/// A run writes, a dry run does not. In the benchmark (`benches/results`) that made it take so many
/// times as long, from a target with few indexes to one with text indexes and a view, with a little
/// room on both sides.
const WRITING: [f64; 2] = [1.2, 2.6];

/// Inserts that are in flight at the end of the measurement get so long.
const DRAIN: Duration = Duration::from_secs(10);

/// Partitions of these sizes are what people ask about.
const SIZES: [(&str, f64); 2] = [("0.5 billion rows", 0.5e9), ("2.5 billion rows", 2.5e9)];

/// A dry run as `run` would do it, that gives up at the first failure.
pub(crate) fn options(
    arguments: &ThroughputArguments,
    job: &BoundJob,
    resources: &Resources,
) -> Result<PipelineOptions, Failure> {
    let retry = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
    Ok(PipelineOptions {
        dry_run: true,
        retry,
        drain_timeout: DRAIN,
        ..fail_fast_options(arguments, job, resources)?
    })
}

/// How long this partition and larger ones would take.
#[derive(Debug)]
pub(crate) enum Estimate {
    /// It follows from this.
    Measured(Trial),
    /// There is none, for this reason: a plan is of use without.
    None(String),
}

impl Estimate {
    /// The times at best and at worst for so many rows.
    pub fn range(trial: &Trial, rows: f64) -> [Duration; 2] {
        WRITING.map(|times| trial.time_of(rows * times))
    }

    /// For people; `rows` are those of the partition.
    pub fn text(&self, rows: u64) -> String {
        match self {
            Self::Measured(trial) => text(trial, rows),
            Self::None(reason) => format!("\nestimate\n  none: {reason}\n"),
        }
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
            "the attributes of a few chunks alone take too long to load for a short measurement; --measure gives it more time".to_owned(),
        ),
        Err(error) => Estimate::None(format!("the dry run that it follows from failed: {}", Failure::from(error).one_line())),
    }
}

fn text(trial: &Trial, rows: u64) -> String {
    let [fast, slow] = WRITING;
    let mut text = format!(
        "\nestimate, from a dry run of {} rows in {}: {} rows a second\n  writing makes a run take {fast} to {slow} times as long\n",
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
    text.push_str("  on this server with the load it has now; merges of the parts that are written come on top\n");
    text
}

/// More than three digits of a rate would be a pretence.
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
            "estimate, from a dry run of 500,000 rows in 5.0 s: 100,000 rows a second",
            "  writing makes a run take 1.2 to 2.6 times as long",
            "  this partition    36.0 s to 1 min 18 s",
            "  0.5 billion rows  1 h 40 min to 3 h 36 min",
            "  2.5 billion rows  8 h 20 min to 18 h 03 min",
        ];
        assert_eq!(text.lines().skip(1).take(5).collect::<Vec<_>>(), expected);
    }
}
