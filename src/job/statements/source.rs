//! The source query: key columns, cast as the join would, then the source columns that the
//! expressions read.

use super::{SELECT_END_OF_ROW, Scope};
use crate::clickhouse::{Settings, quote_identifier};
use crate::job::{BoundJob, BoundLookup};

/// Rows of the scope, `FORMAT RowBinary`, in no particular order: ordering would cost more than
/// twice the reading.
pub fn source(job: &BoundJob, scope: &Scope) -> String {
    format!("SELECT {}\n{}", list(job), from(job, scope))
}

/// What is selected of a source row.
pub(super) fn list(job: &BoundJob) -> String {
    columns(job).chain([SELECT_END_OF_ROW.to_owned()]).collect::<Vec<_>>().join(", ")
}

/// The same rows in an order that is the same every time: by the sorting key, and where rows may
/// share theirs, by all that is selected.
pub fn source_in_order(job: &BoundJob, scope: &Scope) -> String {
    let table = &job.source;
    // The server's own text of the key, with one column after the other.
    let mut order: Vec<_> =
        Some(table.sorting_key.clone()).filter(|key| !key.is_empty()).into_iter().collect();
    let is_unique = job.collapse && table.is_replacing() && !order.is_empty();
    let columns: Vec<_> = columns(job).collect();
    if !is_unique && !columns.is_empty() {
        // Not all types can be compared; their bytes can.
        order.push(format!("formatRow('RowBinary', {})", columns.join(", ")));
    }
    let order =
        if order.is_empty() { String::new() } else { format!("\nORDER BY {}", order.join(", ")) };
    format!("{}{order}", source(job, scope))
}

/// What expressions and keys need.
fn columns(job: &BoundJob) -> impl Iterator<Item = String> + '_ {
    let columns = job
        .source_columns
        .iter()
        .map(|column| format!("source.{}", quote_identifier(&column.name)));
    job.lookup.iter().flat_map(keys).chain(columns)
}

/// How many rows the source query gives for the scope.
pub fn count(job: &BoundJob, scope: &Scope) -> String {
    format!("SELECT count() AS rows\n{}", from(job, scope))
}

/// The settings of the source query.
///
/// One thread for each stream: several chunks are read at once, and FINAL in several threads reads
/// rows at the seams twice, with 1.6 times the memory and a tenth more processor time for the same
/// rows.
pub fn source_settings(job: &BoundJob) -> Settings {
    Settings::read().with("max_threads", "1").with_all(&job.settings.source.0)
}

/// The key's columns, cast as the join would.
pub(super) fn keys(lookup: &BoundLookup) -> impl Iterator<Item = String> + '_ {
    lookup
        .keys
        .iter()
        .map(|key| format!("CAST(source.{} AS {})", quote_identifier(&key.source), key.type_name))
}

/// `FROM … WHERE …`, the same for every statement that reads the source.
pub(super) fn from(job: &BoundJob, scope: &Scope) -> String {
    let collapse = if job.collapse { " FINAL" } else { "" };
    let head = format!(
        "FROM {} AS source{collapse}\nWHERE {}",
        job.source.name.quoted(),
        scope.predicate()
    );
    let live = job
        .source_deleted
        .iter()
        .map(|deleted| format!("AND NOT source.{}", quote_identifier(deleted)));
    // The line break ends a comment that the exclusion may end with.
    let kept = job.exclusions.iter().map(|exclusion| format!("AND NOT ({exclusion}\n)"));
    let bucket = scope.bucket.iter().flat_map(|bucket| {
        job.lookup.iter().map(|lookup| format!("AND {}", bucket.predicate(keys(lookup))))
    });
    std::iter::once(head).chain(live).chain(kept).chain(bucket).collect::<Vec<_>>().join("\n  ")
}

/// `FROM … WHERE …` for all versions of the scope's rows, and those that are left out.
pub(super) fn any_version(job: &BoundJob, scope: &Scope) -> String {
    let bucket = scope
        .bucket
        .iter()
        .zip(&job.lookup)
        .map(|(bucket, lookup)| format!("\n  AND {}", bucket.predicate(keys(lookup))));
    format!(
        "FROM {} AS source\nWHERE {}{}",
        job.source.name.quoted(),
        scope.predicate(),
        bucket.collect::<String>()
    )
}
