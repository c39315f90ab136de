//! `plan --sql`: the statements that a run would send, and the equivalent join.

use std::fmt::Write;

use crate::cli::commands::session::Session;
use crate::clickhouse::Settings;
use crate::engine::stream::DEFAULT_BATCH_ROWS;
use crate::job::BoundJob;
use crate::job::statements;

/// The four statements, for the whole partition; the source query of a run is limited to one
/// chunk's range at a time.
pub(crate) fn sql(session: &Session, native: bool) -> String {
    let (job, scope) = (&*session.job, &session.plan.scope);
    let (from, to) = if session.servers.is_one_server() {
        ("", "")
    } else {
        (", where the source is", ", where the target is")
    };
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
    statement(
        &mut text,
        &title,
        &statements::source(job, &chunk),
        &statements::source_settings(job),
        " FORMAT RowBinary",
    );
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
    statement(
        &mut text,
        &format!("equivalent join{from}"),
        &statements::join(job, scope),
        &statements::join_settings(job),
        "",
    );
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
