//! `clickhouse-backfill repair`: fills the chunks again that hold differing rows, and removes rows
//! that the job does not make. Where groups differ, the partition is built again beside the target and
//! replaced.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::advice::{
    Continuation, before_the_first_row, blocked, ledger_failure, load_failure, pipeline_failure,
};
use super::comparing::{
    KEEPING, compare_groups, compare_options, comparison_text, kind_words, report_unless_stopped,
    require_comparable, say_if_not_resumed, state_file, verify_failure,
};
use super::engine_choice::Filling;
use super::session::{BoundSession, Session, startup_retry, write_options};
use crate::cli::args::RepairArguments;
use crate::cli::config::{CompareConfig, SessionConfig};
use crate::cli::failure::{DIFFERENT, Failure, INTERRUPTED};
use crate::cli::output::{check_summary_file, json, print, write_summary};
use crate::cli::runtime::{Stopping, run_again, run_until_signalled};
use crate::engine::stream::{Counters, Phase, Pipeline, PipelineOptions, Throttle, Work};
use crate::job::{BoundGroup, BoundJob, Publish, load};
use crate::ledger::LedgerError;
use crate::load::{ExclusiveClaim, LoadRequest, Prepared, Recording, new_id, prepare};
use crate::plan::Plan;
use crate::preflight::{Preflight, blocked_removal};
use crate::progress::{Shown, Terminal, count, counted, show, show_comparison};
use crate::state::RunOutcome;
use crate::stop::Stop;
use crate::verify::{
    RecordedLoad, Removal, Report, Verifier, VerifyError, VerifyOptions, VerifyProgress,
    plan_with_chunks_of,
};

/// The result of a repair. Field names are a contract.
#[derive(Debug, Serialize)]
struct Repair {
    /// The comparison before the repair.
    before: Report,
    /// The chunks that were filled again, from 1.
    filled_chunks: Vec<usize>,
    /// Rows that the job does not make.
    surplus_rows: u64,
    /// Removed rows.
    removed_rows: u64,
    /// The comparison of the groups that differed, after the repair; `null` if nothing was done.
    after: Option<Report>,
}

/// Runs the command.
pub(crate) fn repair(
    arguments: &RepairArguments,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let stopping = Stopping { first: KEEPING, second: &run_again };
    run_until_signalled(terminal, &stopping, |stop| repair_partition(arguments, terminal, stop))
}

/// A partition that is being repaired.
struct Repairing<'a> {
    arguments: &'a RepairArguments,
    compare: CompareConfig,
    terminal: &'a Terminal,
    stop: Stop,
    /// Of this repair; its queries are named by it.
    id: String,
    session: Session,
    pipeline: PipelineOptions,
    load: Option<RecordedLoad>,
    progress: Arc<VerifyProgress>,
}

async fn repair_partition(
    arguments: &RepairArguments,
    terminal: &Terminal,
    stop: Stop,
) -> Result<ExitCode, Failure> {
    let summary = arguments.output.summary_json.as_deref();
    check_summary_file(summary)?;
    let RepairArguments { which, what, server, throughput, faults, .. } = arguments;
    let id = new_id();
    let config = SessionConfig::resolve(what, server, throughput)?;
    config.job.require_fit(&which.partition)?;
    if load(&config.job.reference)?.reads_outside() {
        let message = "repair fills single chunks of a table again, and the job reads no table";
        return Err(Failure::refused(message).hint("`run --restart` reads everything again"));
    }
    let max_retries = faults.retries.max_retries;
    let compare =
        CompareConfig::resolve(&arguments.compare, max_retries, config.servers.target_database());
    let filling = Filling { partition: &which.partition, dry_run: false, samples: false };
    let retry = startup_retry(faults, &stop);
    let bound = Box::pin(config.open_with_retries(&id, Some(filling), &retry)).await?;
    if let Some(group) = &bound.job.group {
        return Box::pin(repair_groups(arguments, compare, terminal, stop, &bound, group)).await;
    }
    let opened = Repairing::open(arguments, compare, terminal, stop, id, bound);
    let (mut repairing, run_id) = Box::pin(opened).await?;
    // Checks that block the repair are reported before the comparison, which may take long.
    repairing.run_preflight(0.0).await?;
    let Session { servers, job, plan, .. } = &repairing.session;
    require_comparable("repair", servers, job, plan).await?;
    if arguments.remove
        && let Some(check) = blocked_removal(&servers.target, job).await
    {
        return Err(blocked("repair --remove", &[&check]));
    }
    let claim = repairing.claim().await?;
    let ended = Box::pin(repairing.run(run_id)).await;
    match claim {
        Some(claim) => claim.end().await.map_err(|error| claim_failure(&error)).and(ended),
        None => ended,
    }
}

/// The load cannot be claimed, or the claim was lost.
fn claim_failure(error: &LedgerError) -> Failure {
    match error {
        LedgerError::Held { .. } => Failure::refusal(error)
            .hint("wait for the other process, or stop it: no two processes write the rows of a load at once"),
        LedgerError::ClaimLost { .. } => Failure::stopped(error)
            .hint("the rows that this process had queued were dropped; `clickhouse-backfill verify` compares the partition"),
        error if error.is_access_denied() => Failure::refusal(error)
            .hint("the user needs SELECT and INSERT on the ledger's table load_claims, so that no run works beside the repair"),
        error => ledger_failure(error, &Continuation::of_repair()),
    }
}

impl<'a> Repairing<'a> {
    /// Plans the repair; also gives the run id of the load whose chunks the plan has.
    async fn open(
        arguments: &'a RepairArguments,
        compare: CompareConfig,
        terminal: &'a Terminal,
        stop: Stop,
        id: String,
        bound: BoundSession,
    ) -> Result<(Self, Option<String>), Failure> {
        let partition = &arguments.which.partition;
        if bound.job.publish == Publish::Replace {
            let message = "the job has publish = \"replace\": repair would insert rows in place";
            return Err(Failure::refused(message)
                .hint("`run --restart` builds the partition again, compares it and replaces it"));
        }
        let options = write_options(&arguments.faults, &bound)?;
        let token_prefix = format!("clickhouse-backfill-{id}");
        let pipeline = PipelineOptions { token_prefix, ..options };
        let load =
            RecordedLoad::find(compare.ledger.open(&bound.servers.target), &bound.job, partition)
                .await;
        let (plan, run_id) = plan_with_chunks_of(
            load.as_ref(),
            &bound.servers,
            &bound.job,
            partition,
            bound.plan_options(),
        )
        .await?;
        let target = &bound.job.target;
        if !target.is_replacing() {
            let message = format!(
                "the target table {} has the engine {}, which does not replace rows of the same key",
                target.name, target.engine
            );
            return Err(
                Failure::refused(message).hint("drop the partition of the target, then `clickhouse-backfill run --restart` fills it")
            );
        }
        let (session, progress) = (bound.with_plan(plan), Arc::default());
        let repairing =
            Self { arguments, compare, terminal, stop, id, session, pipeline, load, progress };
        Ok((repairing, run_id))
    }

    /// Claims the load of the partition, if the ledger has one.
    async fn claim(&mut self) -> Result<Option<ExclusiveClaim>, Failure> {
        let Some(load) = &self.load else { return Ok(None) };
        let (servers, patience) = (&self.session.servers, self.pipeline.outage_wait);
        let (ledger, load) = load.recorded();
        // No run and no other repair writes its rows meanwhile.
        let claim = ExclusiveClaim::take(ledger, load, servers, patience, &self.stop).await;
        let claim = claim.map_err(|error| claim_failure(&error))?;
        self.pipeline.lease = claim.lease().clone();
        self.session.servers = servers.clone().with_queries(&claim.queries(&self.id));
        Ok(Some(claim))
    }

    /// Compares, fills, removes and compares again.
    async fn run(&self, run_id: Option<String>) -> Result<ExitCode, Failure> {
        let Self { arguments, terminal, progress, .. } = self;
        let (mut verifier, state) = self.verifier(run_id).await?;
        say_if_not_resumed(terminal, &verifier);
        let name = format!("{} {}", self.session.job.name, self.session.plan.partition);
        let ran = show_comparison(terminal, &name, progress, Box::pin(verifier.run())).await;
        let Some(before) = report_unless_stopped(ran, terminal, &state)? else {
            return Ok(ExitCode::from(INTERRUPTED));
        };
        if !arguments.format.is_json() {
            terminal.suspended(|| print(&comparison_text(&before)))?;
        }
        let chunks = verifier.chunks_to_fill();
        if !chunks.is_empty() && !self.fill(&chunks).await? {
            terminal.insist(
                "interrupted; filled chunks stay\nhint: run the same command again to continue",
            );
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let surplus_rows: u64 = verifier.surplus().values().sum();
        let removed_rows = if arguments.remove { self.remove(&mut verifier).await? } else { 0 };
        terminal.say(&surplus(&verifier, removed_rows));
        let not_removable = if arguments.remove { not_removable(&verifier) } else { None };
        if let Some(words) = &not_removable {
            terminal.insist(words);
        }
        let after = if chunks.is_empty() && removed_rows == 0 {
            None
        } else {
            let again = Box::pin(verifier.run_again());
            let ran = show_comparison(terminal, &name, progress, again).await;
            Some(ran.map_err(verify_failure)?)
        };
        let filled_chunks = chunks.into_iter().map(|chunk| chunk + 1).collect();
        let repair = Repair { before, filled_chunks, surplus_rows, removed_rows, after };
        self.report(&repair).await?;
        let equal =
            repair.after.as_ref().unwrap_or(&repair.before).equal && not_removable.is_none();
        Ok(if equal { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
    }

    /// Removes surplus rows while the claim holds. Returns their number.
    async fn remove(&self, verifier: &mut Verifier) -> Result<u64, Failure> {
        if self.pipeline.lease.held().await.is_err() {
            return Err(claim_failure(&LedgerError::ClaimLost { by: None, silence: None }));
        }
        removed(verifier, &self.session.job, self.terminal).await
    }

    /// The comparison, and the file that keeps its state.
    async fn verifier(&self, run_id: Option<String>) -> Result<(Verifier, PathBuf), Failure> {
        let Self { compare, session, stop, .. } = self;
        let Session { servers, job, plan, .. } = session;
        let state = state_file(compare.state.as_deref(), "repair", job, plan);
        let options = VerifyOptions {
            find_all: true,
            chunks_of_plan: true,
            load_began: self.load.as_ref().and_then(RecordedLoad::began),
            run_id,
            ..compare_options(compare, state.clone())
        };
        let (progress, stop) = (self.progress.clone(), stop.clone());
        let verifier = Verifier::new(servers.clone(), job, plan, options, progress, stop)
            .await
            .map_err(verify_failure)?;
        Ok((verifier, state))
    }

    /// Runs the checks of a run for this share of the chunks. Returns their warnings.
    async fn run_preflight(&self, share: f64) -> Result<Vec<String>, Failure> {
        let Session { servers, server_version, source_version, job, plan, .. } = &self.session;
        let preflight = Preflight {
            servers,
            server_version,
            source_version,
            job,
            plan,
            pipeline: &self.pipeline,
            share,
            skipped_checks: &self.arguments.preflight.skip_checks,
        };
        let passed = preflight.require_runnable().await.map(|(warnings, _)| warnings);
        passed.map_err(|checks| blocked("repair", &checks.iter().collect::<Vec<_>>()))
    }

    /// Fills these chunks again. Returns whether it filled all of them.
    async fn fill(&self, chunks: &[usize]) -> Result<bool, Failure> {
        let Self { terminal, session, pipeline, stop, .. } = self;
        let all = session.plan.chunks.len();
        let share = chunks.len() as f64 / all.max(1) as f64;
        for remark in self.run_preflight(share).await? {
            terminal.say(&format!("note: {remark}"));
        }
        let (number, all) = (chunks.len() as u64, counted(all as u64, "chunk"));
        terminal.say(&format!("filling {} of {all} again", count(number)));
        Box::pin(fill(pipeline.clone(), terminal, session, chunks, stop.clone())).await
    }

    /// Records, writes and prints the result.
    async fn report(&self, repair: &Repair) -> Result<(), Failure> {
        let Self { arguments, terminal, load, .. } = self;
        let Repair { before, after, .. } = repair;
        if let Some(load) = load {
            load.record_result(before, None, None).await;
            if let Some(after) = after {
                let part = "after a repair, the groups that differed";
                load.record_result(after, Some(part), None).await;
            }
        }
        write_summary(arguments.output.summary_json.as_deref(), repair)?;
        let text = match after {
            _ if arguments.format.is_json() => json(repair),
            Some(after) => format!(
                "\nafter the repair, in the groups that differed\n{}",
                comparison_text(after)
            ),
            None => return Ok(()),
        };
        terminal.suspended(|| print(&text))
    }
}

/// Why `--remove` leaves rows of an unknown partition of the source; none if there are no such rows.
fn not_removable(verifier: &Verifier) -> Option<String> {
    let (rows, reason) = verifier.unattributed()?;
    let (rows, were) = (counted(rows, "row"), if rows == 1 { "was" } else { "were" });
    Some(format!(
        "{rows} {were} not removed: no partition of the source makes them now, and it is not known whether one did that was dropped since: {reason}\n\
         hint: let a column of the job copy the column of the source's partition key, or remove these rows by hand"
    ))
}

/// Removes surplus rows. Returns their number.
async fn removed(
    verifier: &mut Verifier,
    job: &BoundJob,
    terminal: &Terminal,
) -> Result<u64, Failure> {
    let right = match verifier.removal() {
        Removal::Tombstone => "INSERT",
        Removal::Delete => "ALTER DELETE",
        Removal::TombstoneOrDelete => "INSERT, ALTER DELETE",
    };
    let hint = || {
        format!(
            "filled chunks and removals stay, run the same command again; the user needs {right} ON {}",
            job.target.name
        )
    };
    let failed = |error: VerifyError| Failure::stopped(&error).hint(hint());
    let tables = verifier.delete_tables().await.map_err(failed)?;
    for table in &tables.unreachable {
        terminal.say(&format!("note: removed rows stay in {}: {}", table.name, table.reason));
    }
    verifier.remove_surplus(&tables).await.map_err(failed)
}

/// Fills chunks through the pipeline, as a run does.
async fn fill(
    options: PipelineOptions,
    terminal: &Terminal,
    session: &Session,
    chunks: &[usize],
    stop: Stop,
) -> Result<bool, Failure> {
    let counters = Arc::new(Counters::default());
    let shown = Shown {
        name: format!(
            "{} {}, {}",
            session.job.name,
            session.plan.partition,
            counted(chunks.len() as u64, "chunk")
        ),
        dry_run: false,
        counters: counters.clone(),
        stop: stop.clone(),
        drain_timeout: options.drain_timeout,
        memory_limit: session.plan.memory.total,
        throttle: None,
        samples: None,
    };
    let throttle = Throttle::new(options.readers, options.inserters);
    let pipeline = Pipeline::new(
        session.servers.clone(),
        session.job.clone(),
        options,
        counters.clone(),
        stop,
        None,
        throttle,
    );
    pipeline.preflight().await.map_err(|error| {
        // An error without ClickHouse's code is no refusal: the connection failed.
        if error.code().is_none() {
            Failure::stopped_because("could not test the insert of a repair without rows", &error)
        } else {
            Failure::refused_because(
                "the server refuses the insert of a repair, tested without rows",
                &error,
            )
        }
    })?;
    let pending = (0..session.plan.chunks.len()).map(|chunk| chunks.contains(&chunk)).collect();
    let work = Work::only(pending);
    let ran = Box::pin(show(terminal, shown, pipeline.run(&session.plan, &work))).await;
    counters.enter(Phase::Done);
    let ran =
        ran.map_err(|error| pipeline_failure(&error, &Continuation::of_run(&session.job, false)))?;
    Ok(ran.is_complete)
}

/// The surplus rows as text; empty if there are none.
fn surplus(verifier: &Verifier, removed: u64) -> String {
    let mut text = String::new();
    for (kind, rows) in verifier.surplus() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", counted(rows, "row"), kind_words(kind));
    }
    if text.is_empty() {
        return text;
    }
    let how = match verifier.removal() {
        Removal::Tombstone => "a row of the same version, marked as deleted",
        Removal::Delete => "DELETE",
        Removal::TombstoneOrDelete => {
            "a row of the same version, marked as deleted, or by DELETE if a live row has that version"
        }
    };
    if removed > 0 {
        let _ = writeln!(text, "removed {}, each by {how}", counted(removed, "row"));
    } else {
        let _ = writeln!(text, "not removed; --remove removes each by {how}");
    }
    text
}

/// The result of a repair of groups. Field names are a contract.
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

/// Builds the partition again beside the target and replaces it, where groups differ.
async fn repair_groups(
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
    let text = if arguments.format.is_json() { json(&repair) } else { comparison_text(last) };
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
        if !arguments.format.is_json() {
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
        let state = state_file(compare.state.as_deref(), "repair", job, plan);
        let ledger = compare.ledger.open(&servers.target);
        let load = RecordedLoad::find(ledger, job, &plan.partition).await;
        let options = VerifyOptions {
            replaced: load.as_ref().map(RecordedLoad::replaced).unwrap_or_default(),
            ..compare_options(compare, state.clone())
        };
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
