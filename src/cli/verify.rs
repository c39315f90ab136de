//! `clickhouse-backfill verify`: holding the target against what the job makes of the source.

use std::fmt::Write;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::arguments::{CompressionChoice, WhatArguments};
use super::failure::{End, Failure, connecting};
use super::output::print;
use super::server_arguments::ServerArguments;
use super::signals::second_signal_saying;
use super::verify_arguments::{CompareArguments, VerifyArguments};
use super::{config, connect, logging, report, summary_file};
use crate::clickhouse::Servers;
use crate::job::{BoundJob, bind, load};
use crate::ledger::{Ledger, LoadKey};
use crate::load::new_id;
use crate::pipeline::{RetryPolicy, Stop};
use crate::plan::{DEFAULT_CHUNK_ROWS, MemoryDemand, MemoryPlan, Plan, PlanOptions, plan};
use crate::progress::{Terminal, count};
use crate::verify::{Report, Verifier, VerifyError, VerifyOptions, VerifyProgress};

/// What a supervisor takes for "interrupted by a signal".
pub(super) const INTERRUPTED: u8 = 130;
/// The target is not what it should be.
pub(super) const DIFFERENT: u8 = 4;
/// Without a terminal, a line of progress this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Runs the command to its end.
pub(super) fn verify(arguments: &VerifyArguments, terminal: &Terminal) -> Result<ExitCode, Failure> {
    logging::start(&arguments.output, terminal)?;
    interruptible(terminal, |stop| compare(arguments, terminal, stop))
}

/// Runs this until its end or the second signal. The first asks it to stop.
pub(super) fn interruptible<Work>(terminal: &Terminal, work: impl FnOnce(Stop) -> Work) -> Result<ExitCode, Failure>
where
    Work: Future<Output = Result<ExitCode, Failure>>,
{
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let code = runtime.block_on(async {
        let stop = Stop::new();
        tokio::select! {
            code = work(stop.clone()) => code,
            listened = second_signal_saying(stop, terminal.clone(), "keeping what was compared; once more ends at once") => match listened {
                Ok(()) => Ok(ExitCode::from(INTERRUPTED)),
                Err(error) => Err(Failure::stopped(&error)),
            },
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    match code {
        Err(failure) if terminal.is_json() => {
            failure.log();
            Ok(failure.exit_code())
        }
        code => code,
    }
}

async fn compare(arguments: &VerifyArguments, terminal: &Terminal, stop: Stop) -> Result<ExitCode, Failure> {
    let summary = arguments.output.summary_json.as_deref();
    summary_file::check(summary)?;
    let compared = open(&arguments.server, &arguments.what).await?;
    let state = state_file(&arguments.compare, "verify", &compared.job, &compared.plan);
    let load_began = load_began(&arguments.compare, &compared.servers, &compared.job, &compared.plan).await;
    let options =
        VerifyOptions { share: arguments.sample, load_began, ..options(&arguments.compare, arguments.max_retries, state.clone()) };
    let progress = Arc::new(VerifyProgress::default());
    let Compared { servers, job, plan } = &compared;
    let mut verifier = Verifier::new(servers.clone(), job, plan, options, progress.clone(), stop).await.map_err(failure)?;
    terminal.say(&introduction(&compared, verifier.resumed()));
    let Some(report) = finished(showing(terminal, &progress, verifier.run()).await, terminal, &state)? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    summary_file::write_any(summary, &report)?;
    terminal.suspended(|| print(&if arguments.json { report::json(&report) } else { report::text(&report) }))?;
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
}

async fn open(server: &ServerArguments, what: &WhatArguments) -> Result<Compared, Failure> {
    let job = load(&what.job)?;
    let servers = connect::servers(server, CompressionChoice::None, &new_id())?;
    servers.target.hello().await.map_err(|error| connecting(&error, End::Target))?;
    if !servers.are_one() {
        servers.source.hello().await.map_err(|error| connecting(&error, End::Source))?;
    }
    let job = bind(&servers, &job, &config::bind_options(what)).await?;
    // No row comes here, so that chunks are as large as they like.
    let demand = MemoryDemand { total: 1 << 50, readers: 1, inserters: 1, batch_bytes: 1 << 20, late: false };
    let memory = MemoryPlan::divide(demand).map_err(|error| Failure::stopped(&error))?;
    let plan = plan(&servers.source, &job, &what.partition, PlanOptions { chunk_rows: DEFAULT_CHUNK_ROWS, memory, bounds: None }).await?;
    Ok(Compared { servers, job, plan })
}

/// From flags to options.
pub(super) fn options(arguments: &CompareArguments, max_retries: u32, state: PathBuf) -> VerifyOptions {
    VerifyOptions {
        share: None,
        max_differences: usize::try_from(arguments.max_differences).unwrap_or(usize::MAX),
        find_all: false,
        chunks_of_plan: false,
        server_memory: arguments.max_server_memory,
        state,
        retry: RetryPolicy { max_retries, ..RetryPolicy::default() },
        load_began: None,
    }
}

/// Where the state is kept, if it has to be.
pub(super) fn state_file(arguments: &CompareArguments, command: &str, job: &BoundJob, plan: &Plan) -> PathBuf {
    let name = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'), "_");
    let (target, partition) = (name(&job.target.name.to_string()), name(plan.partition.id()));
    let default = || format!("{command}-{}-{target}-{partition}.json", name(&job.name)).into();
    arguments.state.clone().unwrap_or_else(default)
}

/// When the load began that filled this partition, in microseconds since 1970, if the ledger knows it.
pub(super) async fn load_began(arguments: &CompareArguments, servers: &Servers, job: &BoundJob, plan: &Plan) -> Option<i64> {
    let database = arguments.ledger_db.as_deref().filter(|name| !name.is_empty()).unwrap_or(servers.target.endpoint().database());
    let key = LoadKey {
        job: job.name.clone(),
        source_table: job.source.name.to_string(),
        target_table: job.target.name.to_string(),
        partition_id: plan.partition.id().to_owned(),
    };
    match Ledger::new(&arguments.ledger, &servers.target, database).current_load(&key).await {
        Ok(load) => load?.started_at.map(|began| began.0),
        Err(error) => {
            tracing::warn!(%error, "the ledger cannot be read: rows that live writers have added since the load began count as extra");
            None
        }
    }
}

fn introduction(compared: &Compared, (chunks, parts): (usize, usize)) -> String {
    let Compared { job, plan, .. } = compared;
    let mut text = format!(
        "comparing {} with what {} makes of {}, partition {}: {} chunks, {} columns",
        job.target.name,
        job.name,
        job.source.name,
        plan.partition,
        plan.chunks.len(),
        job.columns.len()
    );
    if chunks > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, "; going on after {chunks} chunks of the source and {parts} ranges of the target");
    }
    text
}

/// The report; `None` where it was interrupted, which is said.
pub(super) fn finished(ran: Result<Report, VerifyError>, terminal: &Terminal, state: &std::path::Path) -> Result<Option<Report>, Failure> {
    match ran {
        Ok(report) => Ok(Some(report)),
        Err(VerifyError::Stopped) => {
            let kept = if state.exists() { format!("; what was compared is kept in {}", state.display()) } else { String::new() };
            terminal.insist(&format!("interrupted before all was compared{kept}\nhint: run the same command again to go on"));
            Ok(None)
        }
        Err(error) => Err(failure(error).hint("nothing was changed; run the same command again to go on")),
    }
}

pub(super) fn failure(error: VerifyError) -> Failure {
    match error {
        VerifyError::Plan(error) => (*error).into(),
        VerifyError::Unfit { .. } => Failure::refused(error.to_string()),
        VerifyError::State { .. } => Failure::usage(error.to_string()),
        other => Failure::stopped(&other),
    }
}

/// Does the work, and says now and then how far it is.
pub(super) async fn showing<T>(terminal: &Terminal, progress: &VerifyProgress, work: impl Future<Output = T>) -> T {
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
        return format!("all is compared; looking at the rows of {} groups of keys that differ", count(groups));
    }
    let (parts, chunks) = (of(&progress.parts), of(&progress.chunks));
    if parts > 0 {
        return format!("compared {} of {} ranges of the target", count(of(&progress.parts_done)), count(parts));
    }
    format!("compared {} of {} chunks of the source", count(of(&progress.chunks_done)), count(chunks))
}
