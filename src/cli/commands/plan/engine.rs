//! Which engine a run would use, and with `--engine auto` why, and what the other one would take.

use std::time::Duration;

use serde::Serialize;

use super::trial::{Estimate, EstimateShown, estimate, trial_options};
use crate::cli::commands::engine_choice::EngineDecision;
use crate::cli::commands::session::BoundSession;
use crate::cli::failure::Failure;
use crate::cli::output::wrapped;
use crate::engine::Engine;
use crate::plan::Partition;
use crate::units::{bytes, duration};

/// The engine of a run.
#[derive(Debug, Serialize)]
pub(crate) struct EngineShown {
    pub name: Engine,
    /// Why `--engine auto` chose it; `null` if the flag names it.
    pub reason: Option<String>,
    /// The engine that `--engine auto` did not choose, where both are possible.
    pub other: Option<OtherEngine>,
}

/// What a run with the other engine would take.
#[derive(Debug, Serialize)]
pub(crate) struct OtherEngine {
    pub name: Engine,
    /// The limit on the memory of this process.
    pub memory_limit_bytes: u64,
    /// `null` if nothing was measured; if a measurement was asked for, `estimate_none` gives the reason.
    pub estimate: Option<EstimateShown>,
    pub estimate_none: Option<String>,
}

/// The chosen engine. If `streamed` is given, also what that session would take, measured by a dry run
/// of `measure` unless that is zero.
///
/// # Errors
/// The stream cannot be planned.
pub(super) async fn engine_shown(
    chosen: EngineDecision,
    streamed: Option<BoundSession>,
    partition: &Partition,
    measure: Duration,
) -> Result<EngineShown, Failure> {
    let other = match streamed {
        Some(session) => Some(stream_instead(session, partition, measure).await?),
        None => None,
    };
    let EngineDecision { engine: name, reason } = chosen;
    Ok(EngineShown { name, reason, other })
}

async fn stream_instead(
    session: BoundSession,
    partition: &Partition,
    measure: Duration,
) -> Result<OtherEngine, Failure> {
    let memory_limit_bytes = session.resources().memory.total;
    let options = trial_options(&session)?;
    let found = if measure.is_zero() {
        None
    } else {
        let session = session.plan(partition).await?;
        let found = Box::pin(estimate(&session, options, measure)).await;
        Some((found, session.plan.stored_rows))
    };
    Ok(OtherEngine {
        name: Engine::Stream,
        memory_limit_bytes,
        estimate: found.as_ref().and_then(|(found, rows)| found.shown(*rows)),
        estimate_none: found.as_ref().and_then(|(found, _)| Estimate::reason(found)),
    })
}

impl EngineShown {
    /// The block of `--engine auto`; empty if the flag names an engine.
    pub(super) fn text(&self) -> String {
        let Some(reason) = &self.reason else { return String::new() };
        let mut text = "\nengine\n".to_owned();
        text.push_str(&wrapped("  chosen      ", &format!("{}: {reason}", self.name.as_str())));
        if let Some(other) = &self.other {
            text.push_str(&wrapped(&format!("  {:<12}", other.name.as_str()), &other.words()));
        }
        text
    }
}

impl OtherEngine {
    fn words(&self) -> String {
        let memory = format!("at most {} of memory here", bytes(self.memory_limit_bytes));
        match (&self.estimate, &self.estimate_none) {
            (Some(estimate), _) => {
                let [from, to] = [estimate.seconds_from, estimate.seconds_to]
                    .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
                    .map(duration);
                format!("{from} to {to} for this partition, by a dry run; {memory}")
            }
            (None, Some(reason)) => format!("{memory}; no estimate: {reason}"),
            (None, None) => memory,
        }
    }
}
