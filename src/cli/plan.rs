//! `clickhouse-backfill plan`: what a run would do; no row moves.

use std::fmt::Write;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::arguments::PlanArguments;
use super::failure::Failure;
use super::output::print;
use super::session::{Session, open};
use super::{config, describe, estimate};
use crate::clickhouse::Settings;
use crate::job::BoundJob;
use crate::job::statements;
use crate::load::new_id;
use crate::pipeline::RowFormat;
use crate::plan::{MemoryPlan, Plan};
use crate::progress::{bytes, count};

/// Prints the plan, or the statements.
pub(super) fn plan(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let opened = runtime.block_on(open(&arguments.server, &arguments.what, &arguments.throughput, &new_id()))?;
    let trial = estimate::options(&arguments.throughput, &opened.job, &opened.resources)?;
    let session = runtime.block_on(opened.plan(&arguments.what.partition))?;
    let native = matches!(config::row_format(arguments.throughput.insert_format, &session.job)?, RowFormat::Native(_));
    let mut text = if arguments.sql { sql(&session, native) } else { overview(&session) };
    if !arguments.sql && !arguments.measure.is_zero() && !session.plan.chunks.is_empty() {
        text.push_str(&runtime.block_on(estimate::estimate(&session, trial, arguments.measure)));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn overview(session: &Session) -> String {
    let mut text = describe::tables(session);
    let BoundJob { columns, .. } = &*session.job;
    let width = columns.iter().map(|column| column.name.len()).max().unwrap_or_default();
    text.push_str("\ncolumns\n");
    for column in columns {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<width$}  {} ← {}", column.name, column.type_name, one_line(&column.expression));
    }
    text.push_str(&memory(&session.plan));
    let mut planner = session.plan.waves.clone();
    while let Some(wave) = planner.next_wave() {
        let split = wave.bucket.map_or_else(String::new, |bucket| format!(", keys {} of {}", bucket.index + 1, bucket.count));
        let (rows, size) = (count(wave.estimated_rows), bytes(wave.estimated_bytes));
        let _ = writeln!(text, "\nwave {}{split}: about {rows} lookup rows, {size}", wave.number + 1);
        for chunk in session.plan.chunks.get(wave.chunks).unwrap_or_default() {
            let _ = writeln!(text, "  chunk {:<4}{}", chunk.number + 1, chunk.range.as_deref().unwrap_or("the whole partition"));
        }
    }
    text
}

/// How the memory is divided.
fn memory(plan: &Plan) -> String {
    let MemoryPlan { total, base, readers, queue, late, attributes, batch_bytes } = plan.memory;
    let late =
        if late.total == 0 { String::new() } else { format!("  {:<12}rows that are looked up outside of the window\n", bytes(late.total)) };
    format!(
        "\nmemory\n  {:<12}at most\n  {:<12}attributes, of one wave or of two at once\n  {:<12}batches being filled, of {} each\n  {:<12}batches waiting and in flight\n{late}  {:<12}the program\n",
        bytes(total),
        bytes(attributes),
        bytes(readers),
        bytes(batch_bytes),
        bytes(queue),
        bytes(base)
    )
}

fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The four statements, for the whole partition; the source query of a run is limited to one chunk's range at a time.
fn sql(session: &Session, native: bool) -> String {
    let (job, scope) = (&*session.job, &session.plan.scope);
    let (from, to) = if session.servers.are_one() { ("", "") } else { (", where the source is", ", where the target is") };
    let mut text = String::new();
    if let Some(lookup) = &job.lookup {
        statement(
            &mut text,
            &format!("lookup query{from}"),
            &statements::lookup(lookup, scope.window, None, None),
            &statements::lookup_settings(job),
            " FORMAT RowBinary",
        );
        if !lookup.columns.is_empty() {
            statement(
                &mut text,
                &format!("what a row gets that finds nothing{from}"),
                &statements::miss(lookup),
                &statements::lookup_settings(job),
                " FORMAT RowBinary",
            );
        }
    }
    let first = session.plan.chunks.first();
    let chunk = scope.within(first.and_then(|chunk| chunk.range.as_deref()));
    let title = format!("source query of chunk 1 of {}{from}", session.plan.chunks.len().max(1));
    statement(&mut text, &title, &statements::source(job, &chunk), &statements::source_settings(job), " FORMAT RowBinary");
    insert_statement(&mut text, &format!("insert of a batch{to}"), &statements::insert(job, native), job, native);
    insert_statement(&mut text, &format!("insert of a dry run{to}"), &statements::dry_run(job, native), job, native);
    statement(&mut text, &format!("equivalent join{from}"), &statements::join(job, scope), &statements::join_settings(job), "");
    text
}

fn statement(text: &mut String, title: &str, sql: &str, settings: &Settings, format: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "-- {title}\n{sql}\nSETTINGS {settings}{format};\n");
}

/// In an insert, the settings stand in front: behind FORMAT, everything is data.
fn insert_statement(text: &mut String, title: &str, sql: &str, job: &BoundJob, native: bool) {
    let settings = statements::insert_settings(job, super::arguments::DEFAULT_BATCH_ROWS, native);
    let (head, select) = sql.split_once("\nSELECT ").unwrap_or((sql, ""));
    let _ = writeln!(text, "-- {title}\n{head}\nSETTINGS {settings}\nSELECT {select};\n");
}
