//! `clickhouse-backfill plan`: what a run would do, and whether it would start. No row moves.

mod checks;
mod document;
mod estimate;
mod file;
mod ledger;
mod sql;
mod text;

use std::process::ExitCode;

use tokio::runtime::Runtime;

use document::Document;
use estimate::Estimate;
use file::PlanBasis;
pub(crate) use file::planned_bounds;
use ledger::LedgerShown;

use super::advice::blocked;
use super::describe;
use super::options::write_options;
use super::session::Session;
use crate::cli::args::PlanArguments;
use crate::cli::config::{LedgerConfig, SessionConfig};
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_document};
use crate::engine::stream::RowFormat;
use crate::load::new_id;
use crate::preflight::{Findings, Verdict};

/// Prints the plan, or the statements; also a plan that a check blocks.
pub(crate) fn plan(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    runtime.block_on(prepare(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn prepare(arguments: &PlanArguments) -> Result<(), Failure> {
    let PlanArguments { which, what, throughput, faults, preflight, .. } = arguments;
    let config = SessionConfig::resolve(what, &arguments.server, throughput)?;
    let opened = config.open(&new_id()).await?;
    let trial = estimate::options(throughput, &opened.job, &opened.resources)?;
    let options = write_options(throughput, faults, &opened.job, &opened.resources)?;
    let basis = if arguments.out.is_some() {
        Some(PlanBasis::now(&opened, &which.partition, throughput, &options).await)
    } else {
        None
    };
    let ledger = LedgerConfig::resolve(&arguments.ledger.place, config.servers.target_database());
    let claim_timeout = arguments.ledger.claim_timeout;
    let known = ledger::known(&ledger, claim_timeout, &opened, &which.partition, &options).await;
    let session = opened.plan(&which.partition).await?;
    if arguments.sql {
        return print_document(&sql::sql(&session, matches!(options.format, RowFormat::Native(_))));
    }
    if session.plan.chunks.is_empty() {
        show(arguments, &session, known, None, None)?;
        return Ok(());
    }
    let session = &session;
    let findings =
        checks::look(session, &options, &preflight.skip_checks, faults.allow_duplicates).await;
    let estimate = if arguments.measure.is_zero() {
        None
    } else {
        Some(Box::pin(estimate::estimate(session, trial, arguments.measure)).await)
    };
    let document = show(arguments, session, known, Some(&findings), estimate.as_ref())?;
    let blocking: Vec<_> =
        findings.checks.iter().filter(|check| check.verdict == Verdict::Blocked).collect();
    if !blocking.is_empty() {
        return Err(blocked("run", &blocking));
    }
    match (&arguments.out, &basis) {
        (Some(path), Some(basis)) => file::write(path, basis, &session.plan.bounds, &document),
        _ => Ok(()),
    }
}

fn show(
    arguments: &PlanArguments,
    session: &Session,
    known: LedgerShown,
    findings: Option<&Findings>,
    estimate: Option<&Estimate>,
) -> Result<Document, Failure> {
    let document = document::document(session, known, findings, estimate);
    if arguments.json {
        let json =
            serde_json::to_string_pretty(&document).map_err(|error| Failure::stopped(&error))?;
        print(&format!("{json}\n"))?;
        return Ok(document);
    }
    let estimate = estimate.map(|estimate| estimate.text(session.plan.stored_rows));
    let head = describe::servers_and_tables(session);
    let text = text::text(&document, &head, &estimate.unwrap_or_default());
    print(&text)?;
    Ok(document)
}
