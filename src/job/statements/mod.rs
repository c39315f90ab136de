//! The four statements that are derived from a job: the lookup query, the source query, the insert,
//! and the join that is equivalent to the three together.
//!
//! All are pure functions of the [`BoundJob`] and of what part of the data is meant. Columns are
//! always named in full and in the same order, so that the bytes of a source row followed by those
//! of a lookup row are a row of the insert, without the byte that ends each ([`END_OF_ROW`]).

mod deleted;
mod finished;
mod insert;
mod join;
mod late;
mod lookup;
mod newest;
mod sample;
mod scope;
mod source;

pub use deleted::{NEWEST_BLOCK_OF_PART, deleted_after, deleted_settings};
pub use finished::finished;
pub use insert::{dry_run, insert, insert_settings};
pub use join::{join, join_settings};
pub use late::{KeyBytes, late, late_settings};
pub use lookup::{lookup, lookup_from, lookup_settings, miss};
pub use sample::{sample, sample_settings};
pub use scope::{Bucket, LookupWindow, Scope};
pub use source::{count, source, source_in_order, source_settings};

use super::BoundJob;
use crate::clickhouse::quote_identifier;

/// The last column of every streamed row: one byte, always 0.
///
/// The HTTP client takes an answer whose last piece ends like a server's exception for a failure,
/// and the last value of the last row is data of users, which may quote one. Behind this byte it
/// never stands last. It is dropped when rows are enriched and loaded.
pub const END_OF_ROW: (&str, &str) = ("end of row", "UInt8");

/// How the column is selected.
const SELECT_END_OF_ROW: &str = "toUInt8(0)";

/// The columns that the expressions are evaluated over, as (qualified name, type): what the source
/// query sends, then the lookup's.
pub fn input_columns(job: &BoundJob) -> Vec<(String, &str)> {
    fn qualified<'a>(qualifier: &str, columns: &'a [super::UsedColumn]) -> Vec<(String, &'a str)> {
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
    crate::clickhouse::structure(
        columns.iter().map(|(name, type_name)| (name.as_str(), *type_name)),
    )
    .to_string()
}

/// The expressions as a select list, one a line: a comment at the end of one must not swallow the
/// next.
fn select_list(job: &BoundJob) -> String {
    job.columns.iter().map(|column| column.expression.as_str()).collect::<Vec<_>>().join("\n, ")
}

/// The target's columns in parentheses.
fn target_columns(job: &BoundJob) -> String {
    let names: Vec<_> =
        job.columns.iter().map(|column| quote_identifier(&column.name).to_string()).collect();
    format!("({})", names.join(", "))
}
