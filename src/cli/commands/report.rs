//! `clickhouse-backfill report` and `history`: past loads from the ledger, one as a page, all as a list.

use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::advice::{Continuation, load_failure};
use super::session::greet;
use super::status::key;
use crate::cli::args::{CompressionChoice, HistoryArguments, ReportArguments, ReportFormat};
use crate::cli::config::{LedgerConfig, LoadConfig, ServerConfig};
use crate::cli::failure::{End, Failure, connecting};
use crate::cli::output::{json, print, print_document, terminal_width, write_text_file};
use crate::clickhouse::{Servers, TableName};
use crate::job::{JobSet, load};
use crate::ledger::LedgerLocation;
use crate::load::new_id;
use crate::report::history::{HistoryOptions, JobTables, gather as gather_history, text};
use crate::report::{GatherError, ReportOptions, gather, markdown, page};

/// Prints the report, or writes it to a file.
pub(crate) fn report(arguments: &ReportArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let text = runtime.block_on(make(arguments))?;
    match &arguments.out {
        Some(path) => write_text_file(path, &text, "the report")?,
        None => print_document(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn make(arguments: &ReportArguments) -> Result<String, Failure> {
    let given = if arguments.json { Some(ReportFormat::Json) } else { arguments.format };
    let format = given.map_or_else(|| by_name(arguments.out.as_deref()), Ok)?;
    let ReportArguments { which, what, server, ledger, .. } = arguments;
    let config = LoadConfig::resolve(what, &which.partition, server, ledger)?;
    let servers = config.servers.connect(CompressionChoice::None, &new_id())?;
    let key = key(&config, &servers)?;
    if config.ledger.location == LedgerLocation::Tables {
        servers.target.hello().await.map_err(|error| connecting(&error, End::Target))?;
    }
    let ledger = config.ledger.open(&servers.target);
    let columns = load(&config.job.reference)?.columns.into_iter().map(|(name, _)| name).collect();
    let options = ReportOptions {
        key,
        run_id: arguments.run.clone(),
        columns,
        claim_timeout: config.claim_timeout,
    };
    let report = gather(&ledger, &servers.target, &options).await.map_err(failure)?;
    let json = json(&report);
    Ok(match format {
        ReportFormat::Html => page(&report, &json),
        ReportFormat::Md => markdown(&report),
        ReportFormat::Json => json,
    })
}

fn by_name(path: Option<&Path>) -> Result<ReportFormat, Failure> {
    let Some(path) = path else { return Ok(ReportFormat::Md) };
    match path.extension().and_then(|end| end.to_str()) {
        Some("html" | "htm") => Ok(ReportFormat::Html),
        Some("md") => Ok(ReportFormat::Md),
        Some("json") => Ok(ReportFormat::Json),
        _ => Err(Failure::usage(format!("unknown format of the report {}", path.display())).hint(
            "set --format to html, md or json, or use a name that ends in .html, .md or .json",
        )),
    }
}

fn failure(error: GatherError) -> Failure {
    match error {
        GatherError::Ledger(error) => load_failure(error.into(), &Continuation::of_read()),
        error @ GatherError::Unknown { .. } => Failure::usage(error.to_string())
            .hint("`clickhouse-backfill history` lists the loads; --job, --target-table, --ledger and --ledger-db choose one"),
        error @ GatherError::UnknownRun { .. } => Failure::usage(error.to_string())
            .hint("--run takes the id of one of these runs; without it, the current run is reported"),
    }
}

/// Prints the history.
pub(crate) fn history(arguments: &HistoryArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    runtime.block_on(list(arguments))
}

async fn list(arguments: &HistoryArguments) -> Result<ExitCode, Failure> {
    let config = ServerConfig::resolve(&arguments.server)?;
    let servers = config.connect(CompressionChoice::None, &new_id())?;
    let jobs = match arguments.job.as_deref() {
        None => vec![None],
        Some(job) => {
            let jobs = JobSet::find(job)?.map_or_else(|| vec![job.to_owned()], |set| set.jobs);
            let target = arguments.target_table.as_deref();
            let only = jobs.iter().map(|job| filling(job, target, &servers).map(Some));
            only.collect::<Result<_, _>>()?
        }
    };
    greet(&servers).await?;
    let ledger = LedgerConfig::resolve(&arguments.ledger.place, config.target_database())
        .open(&servers.target);
    let mut histories = Vec::new();
    for only in jobs {
        let options = HistoryOptions { only, claim_timeout: arguments.ledger.claim_timeout };
        let found = gather_history(&ledger, &servers, &options).await;
        histories
            .extend(found.map_err(|error| load_failure(error.into(), &Continuation::of_read()))?);
    }
    if let (None, Some(target)) = (&arguments.job, &arguments.target_table) {
        let target = TableName::parse(target, servers.target.endpoint().database()).to_string();
        histories.retain(|history| history.target == target);
    }
    if arguments.format.is_json() {
        print(&json(&histories))?;
    } else if histories.is_empty() {
        print(&format!(
            "the ledger, {}, has no loads\nhint: --job lists the partitions of a job that are not started\n",
            ledger.describe()
        ))?;
    } else {
        print(&text(&histories, terminal_width()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The tables of a job, from its file alone: they need not fit the job.
fn filling(job: &str, target_table: Option<&str>, servers: &Servers) -> Result<JobTables, Failure> {
    let job = load(job)?;
    let target = target_table.unwrap_or(&job.target.table);
    Ok(JobTables {
        source: job.relation.name(servers.source.endpoint().database()).to_string(),
        target: TableName::parse(target, servers.target.endpoint().database()).to_string(),
        job: job.name,
    })
}
