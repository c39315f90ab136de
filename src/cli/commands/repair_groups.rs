//! `clickhouse-backfill repair` of a job with groups: the partition is built again beside the target and
//! replaced, where groups differ.

use std::process::ExitCode;

use serde::Serialize;

use super::advice::{Continuation, before_the_first_row, load_failure};
use super::comparing::{
    compare_groups, compare_options, comparison_text, report_unless_stopped, require_comparable,
    state_file,
};
use super::session::{BoundSession, write_options};
use crate::cli::args::RepairArguments;
use crate::cli::config::CompareConfig;
use crate::cli::failure::{DIFFERENT, Failure, INTERRUPTED};
use crate::cli::output::{json, print, write_summary};
use crate::job::BoundGroup;
use crate::load::{LoadRequest, Prepared, Recording, prepare};
use crate::plan::Plan;
use crate::progress::Terminal;
use crate::state::RunOutcome;
use crate::stop::Stop;
use crate::verify::Report;

/// The result of a repair. Field names are a contract.
#[derive(Debug, Serialize)]
struct GroupRepair {
    /// The comparison before the repair.
    before: Report,
    /// The comparison after it; `null` if nothing was done.
    after: Option<Report>,
}

/// A partition of groups that is being repaired.
struct RepairingGroups<'a> {
    arguments: &'a RepairArguments,
    compare: CompareConfig,
    terminal: &'a Terminal,
    stop: Stop,
    session: &'a BoundSession,
    group: &'a BoundGroup,
}

/// Runs the command, once the job is bound to its tables.
pub(super) async fn repair_groups(
    arguments: &RepairArguments,
    compare: CompareConfig,
    terminal: &Terminal,
    stop: Stop,
    session: &BoundSession,
    group: &BoundGroup,
) -> Result<ExitCode, Failure> {
    let repairing = RepairingGroups { arguments, compare, terminal, stop, session, group };
    let Some(repair) = Box::pin(repairing.repair()).await? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    write_summary(arguments.output.summary_json.as_deref(), &repair)?;
    let last = repair.after.as_ref().unwrap_or(&repair.before);
    let text = if arguments.json { json(&repair) } else { comparison_text(last) };
    terminal.suspended(|| print(&text))?;
    Ok(if last.equal { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

impl RepairingGroups<'_> {
    /// Compares, builds the partition again where groups differ, and compares again; `None` after an
    /// interruption.
    async fn repair(&self) -> Result<Option<GroupRepair>, Failure> {
        let Self { arguments, terminal, session, .. } = self;
        let planned = BoundSession::clone(session).plan(&arguments.which.partition).await?;
        require_comparable("repair", &session.servers, &session.job, &planned.plan).await?;
        let Some(before) = self.compared(&planned.plan).await? else { return Ok(None) };
        if before.equal {
            return Ok(Some(GroupRepair { before, after: None }));
        }
        if !arguments.json {
            terminal.suspended(|| print(&comparison_text(&before)))?;
        }
        terminal.say("building the partition again beside the target");
        if !self.rebuild().await? {
            terminal.insist("interrupted; nothing is replaced before all of it is built\nhint: run the same command again");
            return Ok(None);
        }
        let after = self.compared(&planned.plan).await?;
        Ok(after.map(|after| GroupRepair { before, after: Some(after) }))
    }

    async fn compared(&self, plan: &Plan) -> Result<Option<Report>, Failure> {
        let Self { compare, terminal, stop, session, group, .. } = self;
        let BoundSession { servers, job, .. } = session;
        let state = state_file(compare, "repair", job, plan);
        let options = compare_options(compare, state.clone());
        let ran = compare_groups(terminal, (servers, job, group, plan), &options, stop.clone());
        report_unless_stopped(Box::pin(ran).await, terminal, &state)
    }

    /// Builds the partition again and replaces it. Returns whether it was replaced.
    async fn rebuild(&self) -> Result<bool, Failure> {
        let Self { arguments, compare, stop, session, .. } = self;
        let BoundSession { servers, server_version, source_version, job, .. } = session;
        let recording = Recording {
            location: compare.ledger.location.clone(),
            restart: true,
            ..Recording::in_tables(&compare.ledger.database)
        };
        let request = LoadRequest {
            source_version: source_version.clone(),
            recording: Some(recording),
            skipped_checks: arguments.preflight.skip_checks.clone(),
            stop: stop.clone(),
            ..LoadRequest::new(
                servers.clone(),
                server_version.clone(),
                job.clone(),
                arguments.which.partition.clone(),
                session.plan_options(),
                write_options(&arguments.faults, session)?,
            )
        };
        let continuation = Continuation::of_run(job, false);
        let early = |error| before_the_first_row(error, stop, &continuation);
        let outcome = match Box::pin(prepare(request)).await.map_err(early)? {
            Prepared::Ready(mut load) => {
                Box::pin(load.begin()).await.map_err(early)?;
                Box::pin(load.run()).await.map_err(|error| load_failure(error, &continuation))?
            }
            Prepared::Empty(_) | Prepared::AlreadyComplete(_) => RunOutcome::Completed,
        };
        Ok(outcome != RunOutcome::Interrupted)
    }
}
