//! `clickhouse-backfill repair`: filling the chunks again that hold rows which differ, and removing
//! rows that should not be there.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::config;
use super::interruptible::interruptible;
use super::plan::forbidden_to;
use super::recorded::{began, plan_of, recorded};
use super::session::{Session, open_patiently};
use super::verify::{DIFFERENT, KEEPING, failure, finished, keep, options, showing, state_file};
use crate::cli::args::RepairArguments;
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::output::print;
use crate::cli::output::{comparison, logging, summary_file};
use crate::engine::stream::{Counters, Outcome, Phase, Pipeline, PipelineOptions, Throttle, Work};
use crate::job::BoundJob;
use crate::load::new_id;
use crate::preflight::Preflight;
use crate::progress::{Shown, Terminal, count, counted, show};
use crate::stop::Stop;
use crate::verify::{Removal, Report, Verifier, VerifyOptions, VerifyProgress};

/// What was found, done and found again. Its field names are a contract with scripts.
#[derive(Debug, Serialize)]
struct Repair {
    /// What was found.
    before: Report,
    /// The chunks that were filled again, from 1.
    filled_chunks: Vec<usize>,
    /// Rows that should not be there.
    surplus_rows: u64,
    /// How many of them were removed.
    removed_rows: u64,
    /// The groups of keys that differed, compared again; none where nothing was done.
    after: Option<Report>,
}

/// Runs the command to its end.
pub(crate) fn repair(
    arguments: &RepairArguments,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    logging::start(&arguments.output, terminal)?;
    interruptible(terminal, KEEPING, |stop| mend(arguments, terminal, stop))
}

async fn mend(
    arguments: &RepairArguments,
    terminal: &Terminal,
    stop: Stop,
) -> Result<ExitCode, Failure> {
    let summary = arguments.output.summary_json.as_deref();
    summary_file::check(summary)?;
    let run_id = new_id();
    let patience = config::patience(&arguments.throughput, &arguments.faults, &stop);
    let opened = open_patiently(
        &arguments.server,
        &arguments.what,
        &arguments.throughput,
        &run_id,
        &patience,
    )
    .await?;
    let filling =
        config::filling(&arguments.throughput, &arguments.faults, &opened.job, &opened.resources)?;
    let filling =
        PipelineOptions { token_prefix: format!("clickhouse-backfill-{run_id}"), ..filling };
    let partition = &arguments.which.partition;
    let load = recorded(&arguments.compare, &opened.servers, &opened.job, partition).await;
    let (plan, run_id) =
        plan_of(load.as_ref(), &opened.servers, &opened.job, partition, opened.plan_options())
            .await?;
    let session = opened.with_plan(plan);
    let Session { servers, job, plan, .. } = &session;
    if !job.target.is_replacing() {
        let message = format!(
            "the target table {} has the engine {}, in which rows that are inserted again do not replace others",
            job.target.name, job.target.engine
        );
        return Err(
            Failure::refused(message).hint("drop what is wrong by hand, and run the job again")
        );
    }
    // What forbids writing is said before anything is compared, which may take long.
    let overruled = &arguments.preflight.skip_checks;
    look_around(&session, &filling, 0.0, overruled).await?;
    let state = state_file(&arguments.compare, "repair", job, plan);
    let progress = Arc::new(VerifyProgress::default());
    let options = VerifyOptions {
        find_all: true,
        chunks_of_plan: true,
        load_began: began(load.as_ref()),
        run_id,
        ..options(&arguments.compare, arguments.throughput.max_retries, state.clone())
    };
    let mut verifier =
        Verifier::new(servers.clone(), job, plan, options, progress.clone(), stop.clone())
            .await
            .map_err(failure)?;
    let Some(before) =
        finished(showing(terminal, &progress, verifier.run()).await, terminal, &state)?
    else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if !arguments.json {
        terminal.suspended(|| print(&comparison::text(&before)))?;
    }
    let chunks = verifier.chunks_to_fill();
    let surplus_rows: u64 = verifier.surplus().values().sum();
    if !chunks.is_empty() {
        let share = chunks.len() as f64 / plan.chunks.len().max(1) as f64;
        for remark in look_around(&session, &filling, share, overruled).await? {
            terminal.say(&format!("note: {remark}"));
        }
        terminal.say(&format!(
            "filling {} of {} again",
            count(chunks.len() as u64),
            counted(plan.chunks.len() as u64, "chunk")
        ));
        if Box::pin(fill(filling, terminal, &session, &chunks, stop)).await? == Outcome::Stopped {
            terminal.insist(
                "interrupted; what was filled stays\nhint: run the same command again to go on",
            );
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    let removed_rows = if arguments.remove { removed(&verifier, job).await? } else { 0 };
    terminal.say(&surplus(&verifier, removed_rows));
    let done = !chunks.is_empty() || removed_rows > 0;
    let after = if done {
        Some(showing(terminal, &progress, verifier.run_again()).await.map_err(failure)?)
    } else {
        None
    };
    keep(load.as_ref(), &before, None).await;
    if let Some(after) = &after {
        keep(load.as_ref(), after, Some("after a repair, the groups of keys that differed")).await;
    }
    let equal = after.as_ref().unwrap_or(&before).equal;
    if !arguments.json
        && let Some(after) = &after
    {
        let text = format!(
            "\nafter the repair, in the groups of keys that differed\n{}",
            comparison::text(after)
        );
        terminal.suspended(|| print(&text))?;
    }
    let filled_chunks = chunks.into_iter().map(|chunk| chunk + 1).collect();
    let repair = Repair { before, filled_chunks, surplus_rows, removed_rows, after };
    summary_file::write_any(summary, &repair)?;
    if arguments.json {
        terminal.suspended(|| print(&comparison::json(&repair)))?;
    }
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// Makes the checks of a run for this share of the chunks; gives what they warn of.
async fn look_around(
    session: &Session,
    pipeline: &PipelineOptions,
    share: f64,
    overruled: &[String],
) -> Result<Vec<String>, Failure> {
    let Session { servers, server_version, source_version, job, plan } = session;
    let preflight = Preflight {
        servers,
        server_version,
        source_version,
        job,
        plan,
        pipeline,
        share,
        overruled,
    };
    preflight
        .pass()
        .await
        .map_err(|checks| forbidden_to("repair", &checks.iter().collect::<Vec<_>>()))
}

/// Removes what should not be there; gives how many rows that were.
async fn removed(verifier: &Verifier, job: &BoundJob) -> Result<u64, Failure> {
    let right = match verifier.removal() {
        Removal::Tombstone => "INSERT",
        Removal::Delete => "ALTER DELETE",
    };
    let hint = || {
        format!(
            "what was filled and removed stays, run the same command again; the user needs {right} ON {}",
            job.target.name
        )
    };
    verifier.remove_surplus().await.map_err(|error| Failure::stopped(&error).hint(hint()))
}

/// Fills these chunks through the pipeline, as a run does.
async fn fill(
    options: PipelineOptions,
    terminal: &Terminal,
    session: &Session,
    chunks: &[usize],
    stop: Stop,
) -> Result<Outcome, Failure> {
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
        Failure::refused_because(
            "the server refuses the insert that a repair would send, tried without rows",
            &error,
        )
    })?;
    let pending = (0..session.plan.chunks.len()).map(|chunk| chunks.contains(&chunk)).collect();
    let work = Work { pending, count: false, rows_before: 0, reports: None, counted: None };
    let ran = Box::pin(show(terminal, shown, pipeline.run(&session.plan, &work))).await;
    counters.enter(Phase::Done);
    let ran = ran.map_err(|error| {
        Failure::from(error).hint("what was filled stays; run the same command again")
    })?;
    Ok(ran.outcome)
}

/// What is to be said of rows that should not be there; empty where there are none.
fn surplus(verifier: &Verifier, removed: u64) -> String {
    let mut text = String::new();
    for (kind, rows) in verifier.surplus() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", counted(rows, "row"), comparison::words(kind));
    }
    if text.is_empty() {
        return text;
    }
    let how = match verifier.removal() {
        Removal::Tombstone => "a row of the same version that marks it as deleted",
        Removal::Delete => "DELETE",
    };
    if removed > 0 {
        let _ = writeln!(text, "removed {}, each by {how}", counted(removed, "row"));
    } else {
        let _ = writeln!(text, "they were left; --remove removes them, each by {how}");
    }
    text
}
