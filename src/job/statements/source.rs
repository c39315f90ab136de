//! The source query: key columns, cast as the join would, then the source columns that the expressions read.

use super::{SELECT_END_OF_ROW, Scope};
use crate::clickhouse::{Settings, quote_identifier};
use crate::job::BoundJob;

/// Rows of the scope, `FORMAT RowBinary`, in no particular order: ordering would cost more than twice the reading.
pub fn source(job: &BoundJob, scope: &Scope) -> String {
    let keys = job.lookup.iter().flat_map(|lookup| &lookup.keys);
    let keys = keys.map(|key| format!("CAST(source.{} AS {})", quote_identifier(&key.source), key.type_name));
    let columns = job.source_columns.iter().map(|column| format!("source.{}", quote_identifier(&column.name)));
    let list: Vec<_> = keys.chain(columns).chain([SELECT_END_OF_ROW.to_owned()]).collect();
    format!("SELECT {}\n{}", list.join(", "), from(job, scope))
}

/// How many rows the source query gives for the scope.
pub fn count(job: &BoundJob, scope: &Scope) -> String {
    format!("SELECT count() AS rows\n{}", from(job, scope))
}

/// The settings of the source query.
pub fn source_settings(job: &BoundJob) -> Settings {
    Settings::read().with_all(&job.settings.source.0)
}

/// `FROM … WHERE …`, the same for every statement that reads the source.
pub(super) fn from(job: &BoundJob, scope: &Scope) -> String {
    let collapse = if job.collapse { " FINAL" } else { "" };
    let head = format!("FROM {} AS source{collapse}\nWHERE {}", job.source.name.quoted(), scope.predicate());
    let live = job.source_deleted.iter().map(|deleted| format!("AND NOT source.{}", quote_identifier(deleted)));
    // The line break ends a comment that the exclusion may end with.
    let kept = job.exclusions.iter().map(|exclusion| format!("AND NOT ({exclusion}\n)"));
    std::iter::once(head).chain(live).chain(kept).collect::<Vec<_>>().join("\n  ")
}
