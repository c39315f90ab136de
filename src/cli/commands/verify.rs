//! `clickhouse-backfill verify`: holding the target against what the job makes of the source.

use std::fmt::Write;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::config;
use super::interruptible::interruptible;
use super::recorded::{began, plan_of, recorded};
use crate::cli::args::connect;
use crate::cli::args::{
    CompareArguments, CompressionChoice, ServerArguments, VerifyArguments, WhatArguments,
};
use crate::cli::failure::{End, Failure, INTERRUPTED, connecting};
use crate::cli::output::print;
use crate::cli::output::{comparison, logging, summary_file};
use crate::clickhouse::{Error as ServerError, Servers, error_chain};
use crate::engine::stream::RetryPolicy;
use crate::job::{BoundJob, bind, load};
use crate::ledger::{Ledger, LoadRecord, Verification};
use crate::load::new_id;
use crate::plan::{DEFAULT_CHUNK_ROWS, MemoryDemand, MemoryPlan, Partition, Plan, PlanOptions};
use crate::progress::{Terminal, count, counted};
use crate::stop::Stop;
use crate::verify::{Report, Verifier, VerifyError, VerifyOptions, VerifyProgress};

/// What happens at the first signal.
pub(crate) const KEEPING: &str = "keeping what was compared; once more ends at once";
/// The target is not what it should be.
pub(crate) const DIFFERENT: u8 = 4;
/// Without a terminal, a line of progress this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Runs the command to its end.
pub(crate) fn verify(
    arguments: &VerifyArguments,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    logging::start(&arguments.output, terminal)?;
    interruptible(terminal, KEEPING, |stop| compare(arguments, terminal, stop))
}

async fn compare(
    arguments: &VerifyArguments,
    terminal: &Terminal,
    stop: Stop,
) -> Result<ExitCode, Failure> {
    let summary = arguments.output.summary_json.as_deref();
    summary_file::check(summary)?;
    let compared =
        open(&arguments.server, &arguments.what, &arguments.which.partition, &arguments.compare)
            .await?;
    let Compared { servers, job, plan, load, run_id } = &compared;
    let state = state_file(&arguments.compare, "verify", job, plan);
    let options = VerifyOptions {
        share: arguments.sample,
        load_began: began(load.as_ref()),
        run_id: run_id.clone(),
        // The chunks of a load stay what they are, others would be others every time.
        chunks_of_plan: run_id.is_some(),
        ..options(&arguments.compare, arguments.max_retries, state.clone())
    };
    let progress = Arc::new(VerifyProgress::default());
    let mut verifier = Verifier::new(servers.clone(), job, plan, options, progress.clone(), stop)
        .await
        .map_err(failure)?;
    terminal.say(&introduction(&compared, verifier.resumed()));
    let Some(report) =
        finished(showing(terminal, &progress, verifier.run()).await, terminal, &state)?
    else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    keep(load.as_ref(), &report, None).await;
    summary_file::write_any(summary, &report)?;
    terminal.suspended(|| {
        print(&if arguments.json { comparison::json(&report) } else { comparison::text(&report) })
    })?;
    if report.equal {
        return Ok(ExitCode::SUCCESS);
    }
    terminal.say("hint: `clickhouse-backfill repair` with the same flags fills the chunks again that hold such rows");
    Ok(ExitCode::from(DIFFERENT))
}

/// What is compared.
struct Compared {
    servers: Servers,
    job: BoundJob,
    plan: Plan,
    /// What the ledger knows of how the target was filled.
    load: Option<(Ledger, LoadRecord)>,
    /// The load whose chunks the plan has.
    run_id: Option<String>,
}

async fn open(
    server: &ServerArguments,
    what: &WhatArguments,
    partition: &Partition,
    compare: &CompareArguments,
) -> Result<Compared, Failure> {
    let job = load(&what.job)?;
    let servers = connect::servers(server, CompressionChoice::None, &new_id())?;
    servers.target.hello().await.map_err(|error| connecting(&error, End::Target))?;
    if !servers.are_one() {
        servers.source.hello().await.map_err(|error| connecting(&error, End::Source))?;
    }
    let job = bind(&servers, &job, &config::bind_options(what)).await?;
    // No row comes here, so that chunks are as large as they like.
    let demand = MemoryDemand {
        total: 1 << 50,
        readers: 1,
        inserters: 1,
        batch_bytes: 1 << 20,
        late: false,
    };
    let memory = MemoryPlan::divide(demand).map_err(|error| Failure::stopped(&error))?;
    let load = recorded(compare, &servers, &job, partition).await;
    let options = PlanOptions { chunk_rows: DEFAULT_CHUNK_ROWS, memory, bounds: None };
    let (plan, run_id) = plan_of(load.as_ref(), &servers, &job, partition, options).await?;
    Ok(Compared { servers, job, plan, load, run_id })
}

/// From flags to options.
pub(crate) fn options(
    arguments: &CompareArguments,
    max_retries: u32,
    state: PathBuf,
) -> VerifyOptions {
    VerifyOptions {
        share: None,
        max_differences: usize::try_from(arguments.max_differences).unwrap_or(usize::MAX),
        find_all: false,
        chunks_of_plan: false,
        server_memory: arguments.max_server_memory,
        state,
        retry: RetryPolicy { max_retries, ..RetryPolicy::default() },
        load_began: None,
        run_id: None,
    }
}

/// Where the state is kept, if it has to be.
pub(crate) fn state_file(
    arguments: &CompareArguments,
    command: &str,
    job: &BoundJob,
    plan: &Plan,
) -> PathBuf {
    let name = |text: &str| {
        text.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'), "_")
    };
    let (target, partition) = (name(&job.target.name.to_string()), name(plan.partition.id()));
    let default = || format!("{command}-{}-{target}-{partition}.json", name(&job.name)).into();
    arguments.state.clone().unwrap_or_else(default)
}

/// Keeps what was found with the load, for `report`; with `part`, where not all was compared. Where
/// that is not permitted, it is said, and the comparison counts all the same.
pub(crate) async fn keep(load: Option<&(Ledger, LoadRecord)>, report: &Report, part: Option<&str>) {
    let Some((ledger, load)) = load else { return };
    let verification = Verification {
        key: load.key.clone(),
        run_id: load.run_id.clone(),
        verified_at: None,
        equal: report.equal,
        expected_rows: report.expected_rows,
        target_rows: report.target_rows,
        differences: report.difference_count(),
        sample: part.map(str::to_owned).or_else(|| report.sample.clone()).unwrap_or_default(),
        seconds: report.seconds,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        // Such a structure can always be written.
        report: serde_json::to_string(report).unwrap_or_default(),
    };
    if let Err(error) = ledger.write_verification(&verification).await {
        tracing::warn!(
            "the result is not kept in the ledger, so that `report` will not show it: {}",
            error_chain(&error)
        );
    }
}

fn introduction(compared: &Compared, (chunks, parts): (usize, usize)) -> String {
    let Compared { job, plan, run_id, .. } = compared;
    let of_load = run_id.as_ref().map_or_else(String::new, |run_id| format!(" of run {run_id}"));
    let mut text = format!(
        "comparing {} with what {} makes of {}, partition {}: {}{of_load}, {}",
        job.target.name,
        job.name,
        job.source.name,
        plan.partition,
        counted(plan.chunks.len() as u64, "chunk"),
        counted(job.columns.len() as u64, "column")
    );
    if chunks > 0 {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "; going on after {} of the source and {} of the target",
            counted(chunks as u64, "chunk"),
            counted(parts as u64, "range")
        );
    }
    text
}

/// The report; `None` where it was interrupted, which is said.
pub(crate) fn finished(
    ran: Result<Report, VerifyError>,
    terminal: &Terminal,
    state: &std::path::Path,
) -> Result<Option<Report>, Failure> {
    match ran {
        Ok(report) => Ok(Some(report)),
        Err(VerifyError::Stopped) => {
            let kept = if state.exists() {
                format!("; what was compared is kept in {}", state.display())
            } else {
                String::new()
            };
            terminal.insist(&format!("interrupted before all was compared{kept}\nhint: run the same command again to go on"));
            Ok(None)
        }
        Err(error) => {
            Err(failure(error).hint("nothing was changed; run the same command again to go on"))
        }
    }
}

pub(crate) fn failure(error: VerifyError) -> Failure {
    if let Some(table) = error.table()
        && ServerError::within(&error).is_some_and(ServerError::is_denied)
    {
        let hint = format!("the user needs SELECT ON {table}");
        return Failure::refusal(&error).hint(hint);
    }
    match error {
        VerifyError::Plan(error) => (*error).into(),
        VerifyError::Unfit { .. } => Failure::refused(error.to_string()),
        VerifyError::State { .. } => Failure::usage(error.to_string()).hint(
            "--state names another file; without the old one, all is compared from the beginning",
        ),
        other => Failure::stopped(&other),
    }
}

/// Does the work, and says now and then how far it is.
pub(crate) async fn showing<T>(
    terminal: &Terminal,
    progress: &VerifyProgress,
    work: impl Future<Output = T>,
) -> T {
    let lines = async {
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            if terminal.shows_progress() {
                terminal.say(&line(progress));
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = lines => unreachable!("lines of progress have no end"),
    }
}

fn line(progress: &VerifyProgress) -> String {
    let of = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let groups = of(&progress.groups_examined);
    if groups > 0 {
        return format!(
            "all is compared; looking at the rows of {} groups of keys that differ",
            count(groups)
        );
    }
    let (parts, chunks) = (of(&progress.parts), of(&progress.chunks));
    if parts > 0 {
        return format!(
            "compared {} of {} ranges of the target",
            count(of(&progress.parts_done)),
            count(parts)
        );
    }
    format!(
        "compared {} of {} chunks of the source",
        count(of(&progress.chunks_done)),
        count(chunks)
    )
}
