//! What `plan` shows of the engine and of the groups.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::trial::{Estimate, EstimateShown, estimate, trial_options};
use crate::cli::commands::engine_choice::EngineDecision;
use crate::cli::commands::session::{BoundSession, Session};
use crate::cli::failure::Failure;
use crate::cli::output::wrapped;
use crate::engine::Engine;
use crate::job::statements;
use crate::plan::Partition;
use crate::units::{bytes, counted, duration};

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

/// How long the number of groups is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The groups of a partition.
#[derive(Debug, Serialize)]
pub(crate) struct GroupsShown {
    /// The columns to group by.
    pub keys: Vec<String>,
    /// About how many groups the partition has; `null` where that is unknown.
    pub estimated_groups: Option<u64>,
    /// The columns of the source's key in which chunks have their bounds.
    pub chunks_along: Vec<String>,
    /// Whether a group may have rows in several chunks; its parts are merged in the target.
    pub chunks_cut_groups: bool,
}

#[derive(Deserialize)]
struct Estimated {
    groups: u64,
}

/// Estimates the groups; `None` for a job of rows.
pub(super) async fn groups(session: &Session) -> Option<GroupsShown> {
    let Session { servers, job, plan, .. } = session;
    let group = job.group.as_ref()?;
    let sql = statements::estimated_groups(job, group, &plan.scope);
    let settings = statements::count_settings(job);
    let asked = servers.source.row_with::<Estimated>("groups", &sql, &settings);
    let estimated = match timeout(PATIENCE, asked).await {
        Ok(Ok(estimated)) => Some(estimated.groups),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the number of groups is unknown");
            None
        }
        Err(_) => None,
    };
    let along: Vec<_> = plan.bounds.key.iter().map(|column| column.name.clone()).collect();
    let is_whole = along.iter().all(|name| group.along.contains(name));
    Some(GroupsShown {
        keys: group.keys.clone(),
        estimated_groups: estimated,
        chunks_cut_groups: plan.chunks.len() > 1 && !is_whole,
        chunks_along: along,
    })
}

impl GroupsShown {
    /// The block of the text.
    pub(super) fn text(&self) -> String {
        let estimated = self.estimated_groups.map_or_else(
            || "unknown".to_owned(),
            |groups| format!("about {}", counted(groups, "group")),
        );
        let along = self.chunks_along.join(", ");
        let chunks = match (self.chunks_along.is_empty(), self.chunks_cut_groups) {
            (true, _) => {
                "one, since no leading column of the source's key is grouped by".to_owned()
            }
            (false, false) => format!("cut along {along}, so that no chunk cuts a group"),
            (false, true) => {
                format!("cut along {along}; parts of a group are merged in the target")
            }
        };
        let mut text = "\ngroups\n".to_owned();
        for (name, value) in
            [("by", self.keys.join(", ")), ("number", estimated), ("chunks", chunks)]
        {
            text.push_str(&wrapped(&format!("  {name:<12}"), &value));
        }
        text
    }
}
