//! `clickhouse-backfill verify`: compares the target with what the job makes of the source.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use super::comparing::{
    KEEPING, compare_groups, compare_options, comparison_text, report_unless_stopped,
    require_comparable, say_if_not_resumed, state_file, verify_failure,
};
use super::session::greet;
use crate::cli::args::{CompressionChoice, VerifyArguments};
use crate::cli::config::{CompareConfig, JobConfig, NextCommand, ServerConfig};
use crate::cli::failure::{DIFFERENT, Failure, INTERRUPTED};
use crate::cli::output::{check_summary_file, json, print, write_summary};
use crate::cli::runtime::{Stopping, run_again, run_until_signalled};
use crate::clickhouse::Servers;
use crate::job::{BoundJob, bind};
use crate::load::new_id;
use crate::plan::{MemoryDemand, MemoryPlan, Plan, PlanOptions};
use crate::progress::{Terminal, counted, show_comparison};
use crate::stop::Stop;
use crate::verify::{
    ComparedParts, RecordedLoad, Report, Verifier, VerifyError, VerifyOptions, VerifyProgress,
    plan_with_chunks_of,
};

/// Runs the command.
pub(crate) fn verify(
    arguments: &VerifyArguments,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let stopping = Stopping { first: KEEPING, second: &run_again };
    run_until_signalled(terminal, &stopping, |stop| compare(arguments, terminal, stop))
}

async fn compare(
    arguments: &VerifyArguments,
    terminal: &Terminal,
    stop: Stop,
) -> Result<ExitCode, Failure> {
    let summary = arguments.output.summary_json.as_deref();
    check_summary_file(summary)?;
    let servers_config = ServerConfig::resolve(&arguments.server)?;
    let job_config =
        JobConfig::resolve(&arguments.what)?.of_partition(&arguments.which.partition)?;
    let max_retries = arguments.retries.max_retries;
    let config =
        CompareConfig::resolve(&arguments.compare, max_retries, servers_config.target_database());
    let compared = open(arguments, &servers_config, &job_config, &config).await?;
    let Compared { servers, job, plan, load, run_id } = &compared;
    require_comparable("verify", servers, job, plan).await?;
    let state = state_file(config.state.as_deref(), "verify", job, plan);
    let options = VerifyOptions {
        share: arguments.sample,
        load_began: load.as_ref().and_then(RecordedLoad::began),
        replaced: load.as_ref().map(RecordedLoad::replaced).unwrap_or_default(),
        run_id: run_id.clone(),
        // The chunks of a load are stable, those of a new plan are not.
        chunks_of_plan: run_id.is_some(),
        ..compare_options(&config, state.clone())
    };
    let (ran, parts) = match &job.group {
        Some(_) if arguments.sample.is_some() => {
            return Err(Failure::usage("--sample compares rows, and the job has [group]")
                .hint("without --sample all groups are compared"));
        }
        Some(group) => {
            terminal.say(&introduction(&compared, (0, 0)));
            let ran = compare_groups(terminal, (servers, job, group, plan), &options, stop);
            (Box::pin(ran).await, None)
        }
        None => Box::pin(compare_rows(terminal, &compared, options, stop)).await?,
    };
    let Some(report) = report_unless_stopped(ran, terminal, &state)? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if let Some(load) = load {
        load.record_result(&report, None, parts.as_ref()).await;
    }
    write_summary(summary, &report)?;
    terminal.suspended(|| {
        print(&if arguments.format.is_json() { json(&report) } else { comparison_text(&report) })
    })?;
    if report.equal {
        return Ok(ExitCode::SUCCESS);
    }
    let repair = NextCommand::new(repairing(job))
        .servers(&servers_config)
        .job(&job_config)
        .ledger(&config.ledger, &servers_config)
        .partition(&arguments.which.partition)
        .text();
    terminal.say(&repair_hint(&repair, job));
    Ok(ExitCode::from(DIFFERENT))
}

/// The command that repairs: `repair` fills no chunks of objects.
fn repairing(job: &BoundJob) -> &'static str {
    if job.objects.is_some() { "run" } else { "repair" }
}

/// What it would do.
fn repair_hint(repair: &str, job: &BoundJob) -> String {
    if job.objects.is_some() {
        format!("hint: `{repair} --engine server --restart` reads all objects again")
    } else if job.group.is_some() {
        format!("hint: `{repair} --engine server` builds the partition again and replaces it")
    } else {
        format!("hint: `{repair}` fills the chunks with such rows again")
    }
}

/// Compares the rows of the target with the equivalent join; also gives the parts that were compared.
async fn compare_rows(
    terminal: &Terminal,
    compared: &Compared,
    options: VerifyOptions,
    stop: Stop,
) -> Result<(Result<Report, VerifyError>, Option<ComparedParts>), Failure> {
    let Compared { servers, job, plan, .. } = compared;
    let progress = Arc::new(VerifyProgress::default());
    let mut verifier = Verifier::new(servers.clone(), job, plan, options, progress.clone(), stop)
        .await
        .map_err(verify_failure)?;
    say_if_not_resumed(terminal, &verifier);
    terminal.say(&introduction(compared, verifier.resumed()));
    let name = format!("{} {}", job.name, plan.partition);
    let ran = show_comparison(terminal, &name, &progress, Box::pin(verifier.run())).await;
    Ok((ran, verifier.compared_parts()))
}

/// What is compared.
struct Compared {
    servers: Servers,
    job: BoundJob,
    plan: Plan,
    /// The load that filled the target.
    load: Option<RecordedLoad>,
    /// The load whose chunks the plan has.
    run_id: Option<String>,
}

async fn open(
    arguments: &VerifyArguments,
    servers: &ServerConfig,
    job: &JobConfig,
    config: &CompareConfig,
) -> Result<Compared, Failure> {
    let options = &job.options;
    let job = job.load()?;
    let servers = servers.connect(CompressionChoice::None, &new_id())?;
    greet(&servers).await?;
    let job = bind(&servers, &job, options).await?;
    // Rows do not pass through this process, so memory does not limit the chunks.
    let demand = MemoryDemand {
        total: 1 << 50,
        readers: 1,
        inserters: 1,
        batch_bytes: 1 << 20,
        deferred: false,
    };
    let memory = MemoryPlan::divide(demand).map_err(|error| Failure::stopped(&error))?;
    let partition = &arguments.which.partition;
    let load = RecordedLoad::find(config.ledger.open(&servers.target), &job, partition).await;
    let options = PlanOptions { holds_attributes: false, ..PlanOptions::new(memory) };
    let (plan, run_id) =
        plan_with_chunks_of(load.as_ref(), &servers, &job, partition, options).await?;
    Ok(Compared { servers, job, plan, load, run_id })
}

fn introduction(compared: &Compared, (chunks, parts): (usize, usize)) -> String {
    let Compared { job, plan, run_id, .. } = compared;
    let of_load = run_id.as_ref().map_or_else(String::new, |run_id| format!(" of run {run_id}"));
    let mut text = format!(
        "comparing {} with the result of {} over {}, partition {}: {}{of_load}, {}",
        job.target.name,
        job.name,
        job.source.name,
        plan.partition,
        counted(plan.chunks.len() as u64, "chunk"),
        counted(job.columns.len() as u64, "column")
    );
    if job.snapshot {
        text.push_str("; the source is compared as it is now, not the snapshot that the load has read, so rows that were written since count as differences");
    }
    if chunks > 0 {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "; continuing after {} of the source and {} of the target",
            counted(chunks as u64, "chunk"),
            counted(parts as u64, "range")
        );
    }
    text
}
