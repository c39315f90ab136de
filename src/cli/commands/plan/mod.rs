//! `clickhouse-backfill plan`: what a run would do, and whether it would start; with `--sql`, the
//! statements that it would send, and the equivalent join. No row moves.

mod document;
mod engine;
mod file;
mod ledger;
mod trial;

use std::fmt::Write;
use std::process::ExitCode;

use document::Document;
use engine::{EngineShown, GroupsShown, engine_shown, groups};
use file::PlanBasis;
use ledger::LedgerShown;
use tokio::runtime::Runtime;
use trial::{Estimate, estimate, run_checks, trial_options};

use super::advice::blocked;
use super::engine_choice::{EngineDecision, Filling};
use super::session::{Session, partitions_with_rows, servers_and_tables, write_options};
use crate::cli::args::{Given, PlanArguments};
use crate::cli::config::{LedgerConfig, NextCommand, SessionConfig};
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_document};
use crate::clickhouse::Settings;
use crate::engine::Engine;
use crate::engine::stream::{DEFAULT_BATCH_ROWS, PipelineOptions, RowFormat, source_reading};
use crate::job::BoundJob;
use crate::job::statements::{self, Scope};
use crate::load::new_id;
use crate::preflight::{Findings, Verdict, hidden_rows};

pub(crate) use document::check as check_text;
pub(crate) use file::planned_bounds;

/// Prints the plan, or the statements; also a plan that a check blocks.
pub(crate) fn plan(arguments: &PlanArguments, given: &Given) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    runtime.block_on(prepare(arguments, given))?;
    Ok(ExitCode::SUCCESS)
}

async fn prepare(arguments: &PlanArguments, given: &Given) -> Result<(), Failure> {
    let PlanArguments { which, what, throughput, faults, preflight, .. } = arguments;
    let config = SessionConfig::resolve(what, &arguments.server, throughput)?;
    config.job.require_fit(&which.partition)?;
    let filling = Filling { partition: &which.partition, dry_run: false, samples: false };
    let opened = config.open(&new_id(), filling).await?;
    let (trial, options) = (trial_options(&opened)?, write_options(faults, &opened)?);
    let basis = if arguments.out.is_some() {
        Some(PlanBasis::now(&opened, &which.partition, throughput, &options).await)
    } else {
        None
    };
    let ledger = LedgerConfig::resolve(&arguments.ledger.place, config.servers.target_database());
    let claim_timeout = arguments.ledger.claim_timeout;
    let known = ledger::known(&ledger, claim_timeout, &opened, &which.partition, &options).await;
    let engine = opened.engine.clone();
    let is_chosen = engine.engine == Engine::Server
        && engine.reason.is_some()
        && EngineDecision::forced(&opened.job, &opened.servers).is_none();
    let streamed = is_chosen.then(|| opened.streamed());
    let session = opened.plan(&which.partition).await?;
    if arguments.sql {
        return print_document(&sql(&session, &options));
    }
    if session.plan.chunks.is_empty() {
        let engine = engine_shown(engine, None, &which.partition, arguments.measure).await?;
        show((arguments, given), &session, (known, engine, None), None, None)?;
        return nothing_to_do(arguments, &session).await;
    }
    let session = &session;
    let mut findings =
        run_checks(session, &options, &preflight.skip_checks, faults.allow_duplicates).await;
    let estimate = if arguments.measure.is_zero() {
        None
    } else {
        Some(Box::pin(estimate(session, trial, arguments.measure)).await)
    };
    findings.checks.extend(estimate.as_ref().and_then(Estimate::check));
    let engine = engine_shown(engine, streamed, &which.partition, arguments.measure).await?;
    let groups = self::groups(session).await;
    let document = show(
        (arguments, given),
        session,
        (known, engine, groups),
        Some(&findings),
        estimate.as_ref(),
    )?;
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

/// A partition without rows: the others, and whether rows may be hidden from this user.
async fn nothing_to_do(arguments: &PlanArguments, session: &Session) -> Result<(), Failure> {
    if !arguments.format.is_json() {
        let others = partitions_with_rows(session).await;
        print(&format!("{}\n", others.trim_start()))?;
    }
    let hidden = hidden_rows(&session.servers, &session.job, session.plan.partition.id());
    hidden.await.map_or(Ok(()), |check| Err(blocked("run", &[&check])))
}

fn show(
    (arguments, given): (&PlanArguments, &Given),
    session: &Session,
    (known, engine, groups): (LedgerShown, EngineShown, Option<GroupsShown>),
    findings: Option<&Findings>,
    estimate: Option<&Estimate>,
) -> Result<Document, Failure> {
    let next = next_command(arguments, given, findings);
    let document = document::document(session, (known, engine, groups), findings, estimate, next);
    if arguments.format.is_json() {
        let json =
            serde_json::to_string_pretty(&document).map_err(|error| Failure::stopped(&error))?;
        print(&format!("{json}\n"))?;
        return Ok(document);
    }
    let estimate = estimate.map(|estimate| estimate.text(session.plan.stored_rows));
    let head = servers_and_tables(session, true);
    let text = document::text(&document, &head, &estimate.unwrap_or_default());
    print(&text)?;
    Ok(document)
}

/// The command that follows the plan: `run`, or `plan` again where a check blocks it.
fn next_command(arguments: &PlanArguments, given: &Given, findings: Option<&Findings>) -> String {
    let is_blocked = findings
        .is_some_and(|found| found.checks.iter().any(|check| check.verdict == Verdict::Blocked));
    let command = if is_blocked { given.command() } else { "run" };
    let but = ["json", "format", "partition"];
    let next = NextCommand::after(given, command, &but).partition(&arguments.which.partition);
    match &arguments.out {
        Some(path) if !is_blocked => next.value("--plan", &path.to_string_lossy()).text(),
        _ => next.text(),
    }
}

/// The statements, for the whole partition; those of a run are limited to one chunk's range at a time.
fn sql(session: &Session, options: &PipelineOptions) -> String {
    let (job, scope) = (&*session.job, &session.plan.scope.shown());
    let (from, to) = if session.servers.is_one_server() {
        ("", "")
    } else {
        (", where the source is", ", where the target is")
    };
    let mut text = lookup_statements(session, from);
    let first = session.plan.chunks.first();
    let chunk = scope.within(first.and_then(|chunk| chunk.range.as_deref()));
    let chunks = session.plan.chunks.len().max(1);
    if job.group.is_some() {
        let settings =
            statements::insert_join_settings(job, options.batch_rows, options.batch_bytes);
        let title = format!("groups of chunk 1 of {chunks}");
        statement(&mut text, &title, &statements::join(job, &chunk), &settings, "");
        let settings = statements::join_settings(job);
        statement(&mut text, "direct aggregation", &statements::join(job, scope), &settings, "");
        return text;
    }
    if !job.reads_outside() {
        text.push_str(&stream_statements(session, options, &chunk, (from, to)));
    }
    if options.engine == Engine::Server {
        let title = format!("insert of chunk 1 of {chunks}");
        let settings =
            statements::insert_join_settings(job, options.batch_rows, options.batch_bytes);
        // Without the password.
        let remote = session.servers.remote_source();
        let shown = remote.map(|remote| move |select: &str| remote.shown_rows_of(select));
        let sql = statements::insert_join(job, &chunk, options.dry_run, shown);
        statement(&mut text, &title, &sql, &settings, "");
    }
    statement(
        &mut text,
        &format!("equivalent join{from}"),
        &statements::join(job, scope),
        &statements::join_settings(job),
        "",
    );
    text
}

/// The statements of the stream engine. `from` and `to` name the servers.
fn stream_statements(
    session: &Session,
    options: &PipelineOptions,
    chunk: &Scope,
    (from, to): (&str, &str),
) -> String {
    let mut text = String::new();
    let native = matches!(options.format, RowFormat::Native(_));
    let (job, chunks) = (&*session.job, session.plan.chunks.len().max(1));
    let title = format!("source query of chunk 1 of {chunks}{from}");
    let (settings, format) = source_reading(options, job, &session.plan);
    let sql = statements::source(job, chunk);
    statement(&mut text, &title, &sql, &settings, &format!(" FORMAT {format}"));
    insert_statement(
        &mut text,
        &format!("insert of a batch{to}"),
        &statements::insert(job, native),
        job,
        native,
    );
    insert_statement(
        &mut text,
        &format!("insert of a dry run{to}"),
        &statements::dry_run(job, native),
        job,
        native,
    );
    text
}

/// What the attributes are looked up with; empty for a job without a lookup.
fn lookup_statements(session: &Session, from: &str) -> String {
    let (job, scope) = (&*session.job, &session.plan.scope);
    let mut text = String::new();
    let Some(lookup) = &job.lookup else { return text };
    let settings = statements::lookup_settings(job);
    let mut ask = |title: &str, sql: &str| {
        statement(&mut text, &format!("{title}{from}"), sql, &settings, " FORMAT RowBinary");
    };
    ask("lookup query", &statements::lookup(lookup, scope.window, None, None));
    if !lookup.columns.is_empty() {
        ask("what a row gets that finds nothing", &statements::miss(lookup));
    }
    text
}

fn statement(text: &mut String, title: &str, sql: &str, settings: &Settings, format: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "-- {title}\n{sql}\nSETTINGS {settings}{format};\n");
}

/// In an insert, the settings stand in front: behind FORMAT, everything is data.
fn insert_statement(text: &mut String, title: &str, sql: &str, job: &BoundJob, native: bool) {
    let settings = statements::insert_settings(job, DEFAULT_BATCH_ROWS, native);
    let (head, select) = sql.split_once("\nSELECT ").unwrap_or((sql, ""));
    let _ = writeln!(text, "-- {title}\n{head}\nSETTINGS {settings}\nSELECT {select};\n");
}
