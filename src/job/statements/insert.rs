//! The insert: the expressions over `input()`, whose columns have the names that expressions use; and
//! evaluating the expressions over a few rows without an insert.

use super::group::grouping;
use super::source::narrow_settings;
use crate::clickhouse::{Settings, quote_identifier, quote_literal_bytes, structure};
use crate::formats::native::INSERT_SETTINGS;
use crate::job::bound::{BoundJob, UsedColumn};

/// The columns that the expressions are evaluated over, as (qualified name, type): what the source
/// query sends, then the lookup's.
pub(crate) fn input_columns(job: &BoundJob) -> Vec<(String, &str)> {
    fn qualified<'a>(qualifier: &str, columns: &'a [UsedColumn]) -> Vec<(String, &'a str)> {
        columns
            .iter()
            .map(|column| (format!("{qualifier}.{}", column.name), column.type_name.as_str()))
            .collect()
    }
    let lookup = job.lookup.as_ref().map(|lookup| lookup.columns.as_slice()).unwrap_or_default();
    let mut columns = qualified("source", &job.source_columns);
    columns.extend(qualified("lookup", lookup));
    columns
}

/// These columns as a structure.
fn input_structure(job: &BoundJob) -> String {
    let columns = input_columns(job);
    structure(columns.iter().map(|(name, type_name)| (name.as_str(), *type_name))).to_string()
}

/// The expressions as a select list, one a line: a comment at the end of one must not swallow the
/// next.
pub(super) fn select_list(job: &BoundJob) -> String {
    job.columns.iter().map(|column| column.expression.as_str()).collect::<Vec<_>>().join("\n, ")
}

/// The target's columns in parentheses.
fn target_columns(job: &BoundJob) -> String {
    let names: Vec<_> =
        job.columns.iter().map(|column| quote_identifier(&column.name).to_string()).collect();
    format!("({})", names.join(", "))
}

/// Inserts a batch that is sent as a Native block, or as RowBinary.
pub(crate) fn insert(job: &BoundJob, native: bool) -> String {
    of_batch(job, &into_target(job), native)
}

/// The same into a table that keeps nothing: every row is parsed, every expression evaluated and
/// converted to the target's type. Materialized columns, constraints and views of the target are
/// not exercised.
pub(crate) fn dry_run(job: &BoundJob, native: bool) -> String {
    of_batch(job, &into_null(job), native)
}

/// The beginning of an insert.
pub(super) fn into_target(job: &BoundJob) -> String {
    format!("INSERT INTO {} {}", job.target.name.quoted(), target_columns(job))
}

/// The beginning of an insert that keeps nothing.
pub(super) fn into_null(job: &BoundJob) -> String {
    let columns = structure(
        job.columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str())),
    );
    format!("INSERT INTO FUNCTION null({columns}) {}", target_columns(job))
}

fn of_batch(job: &BoundJob, into: &str, native: bool) -> String {
    let format = if native { "Native" } else { "RowBinary" };
    format!(
        "{into}\nSELECT {}\nFROM input({})\nFORMAT {format}",
        select_list(job),
        input_structure(job)
    )
}

/// The settings of the insert.
pub(crate) fn insert_settings(job: &BoundJob, batch_rows: u64, native: bool) -> Settings {
    let settings = Settings::insert(batch_rows)
        .with_all(job.deduplication_settings.iter())
        .with_all(&job.settings.insert.0);
    if native { settings.with_all(INSERT_SETTINGS) } else { settings }
}

/// The settings of an insert whose rows the server reads itself: in one thread, since several such
/// inserts run at once, and in blocks of at most these rows and about these bytes.
pub(crate) fn insert_join_settings(job: &BoundJob, rows: u64, bytes: u64) -> Settings {
    let settings = grouping(job, insert_settings(job, rows, false))
        .with("max_threads", "1")
        .with("max_insert_threads", "1")
        .with("min_insert_block_size_bytes", &bytes.to_string());
    narrow_settings(settings, job.narrow)
}

/// Selects the finished values of these RowBinary rows, converted to the target's types and under
/// its names.
///
/// The rows are part of the statement, as the literal that the
/// [format](https://clickhouse.com/docs/sql-reference/table-functions/format) table function reads.
pub(crate) fn evaluate_rows(job: &BoundJob, rows: &[u8]) -> String {
    let values = job.columns.iter().map(|column| {
        format!(
            "CAST({}\n AS {}) AS {}",
            column.expression,
            column.type_name,
            quote_identifier(&column.name)
        )
    });
    let rows = quote_literal_bytes(rows);
    format!(
        "SELECT {}\nFROM format(RowBinary, {}, {rows})",
        values.collect::<Vec<_>>().join("\n, "),
        input_structure(job)
    )
}

/// The settings of the sample, for a statement of this size in bytes.
pub(crate) fn evaluate_rows_settings(job: &BoundJob, statement_bytes: usize) -> Settings {
    let limit = statement_bytes.saturating_add(1024).to_string();
    Settings::common().with_all(&job.settings.insert.0).with("max_query_size", &limit)
}
