//! `clickhouse-backfill plan`: what a run would do; no row moves.

use std::fmt::Write;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use super::arguments::PlanArguments;
use super::describe;
use super::failure::Failure;
use super::output::print;
use super::session::{Session, new_run_id, open};
use crate::clickhouse::Settings;
use crate::job::BoundJob;
use crate::job::statements;

/// Prints the plan, or the statements.
pub(super) fn plan(arguments: &PlanArguments) -> Result<ExitCode, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let session = runtime.block_on(open(&arguments.server, &arguments.what, &new_run_id()))?;
    let text = if arguments.sql { sql(&session) } else { overview(&session) };
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
    for (number, wave) in session.plan.waves.iter().enumerate() {
        let _ = writeln!(text, "\nwave {}", number + 1);
        for chunk in &wave.chunks {
            let _ = writeln!(text, "  chunk {:<4}{}", chunk.number + 1, chunk.range.as_deref().unwrap_or("the whole partition"));
        }
    }
    text
}

fn one_line(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The four statements, for the whole partition; the source query of a run is limited to one chunk's range at a time.
fn sql(session: &Session) -> String {
    let (job, scope) = (&*session.job, &session.plan.scope);
    let mut text = String::new();
    if let Some(lookup) = &job.lookup {
        statement(
            &mut text,
            "lookup query",
            &statements::lookup(lookup, scope.window, None),
            &statements::lookup_settings(job),
            " FORMAT RowBinary",
        );
        if !lookup.columns.is_empty() {
            statement(
                &mut text,
                "what a row gets that finds nothing",
                &statements::miss(lookup),
                &statements::lookup_settings(job),
                " FORMAT RowBinary",
            );
        }
    }
    let first = session.plan.waves.iter().flat_map(|wave| &wave.chunks).next();
    let chunk = scope.within(first.and_then(|chunk| chunk.range.as_deref()));
    let title = format!("source query of chunk 1 of {}", session.plan.chunks().max(1));
    statement(&mut text, &title, &statements::source(job, &chunk), &statements::source_settings(job), " FORMAT RowBinary");
    insert_statement(&mut text, "insert of a batch", &statements::insert(job), job);
    insert_statement(&mut text, "insert of a dry run", &statements::dry_run(job), job);
    statement(&mut text, "equivalent join", &statements::join(job, scope), &statements::join_settings(job), "");
    text
}

fn statement(text: &mut String, title: &str, sql: &str, settings: &Settings, format: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "-- {title}\n{sql}\nSETTINGS {settings}{format};\n");
}

/// In an insert, the settings stand in front: behind FORMAT, everything is data.
fn insert_statement(text: &mut String, title: &str, sql: &str, job: &BoundJob) {
    let settings = statements::insert_settings(job, super::arguments::DEFAULT_BATCH_ROWS);
    let (head, select) = sql.split_once("\nSELECT ").unwrap_or((sql, ""));
    let _ = writeln!(text, "-- {title}\n{head}\nSETTINGS {settings}\nSELECT {select};\n");
}
