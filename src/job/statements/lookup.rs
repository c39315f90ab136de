//! The lookup query: key columns, version, deleted flag, then the lookup columns that the
//! expressions read; and the row of a miss.

use super::{Bucket, LookupWindow, SELECT_END_OF_ROW};
use crate::clickhouse::{Settings, quote_identifier};
use crate::job::{BoundJob, BoundLookup};

/// All versions of the lookup rows of the window, `FORMAT RowBinary`. Choosing the newest is left
/// to the map. `range` is a further predicate, already quoted.
pub fn lookup(
    lookup: &BoundLookup,
    window: Option<LookupWindow>,
    range: Option<&str>,
    bucket: Option<Bucket>,
) -> String {
    let version = lookup.version.iter().map(|version| quote_identifier(&version.name).to_string());
    let deleted =
        lookup.deleted.iter().map(|deleted| format!("toBool({})", quote_identifier(deleted)));
    let columns = lookup.columns.iter().map(|column| quote_identifier(&column.name).to_string());
    let list: Vec<_> = keys(lookup)
        .chain(version)
        .chain(deleted)
        .chain(columns)
        .chain([SELECT_END_OF_ROW.to_owned()])
        .collect();
    let bucket = bucket.map(|bucket| bucket.predicate(keys(lookup)));
    let range: Vec<_> = range.map(|range| format!("({range})")).into_iter().chain(bucket).collect();
    let range = (!range.is_empty()).then(|| range.join(" AND "));
    format!("SELECT {}\n{}", list.join(", "), lookup_from(lookup, window, range.as_deref()))
}

/// The key's columns, cast as the join would.
pub(super) fn keys(lookup: &BoundLookup) -> impl Iterator<Item = String> + '_ {
    lookup
        .keys
        .iter()
        .map(|key| format!("CAST({} AS {})", quote_identifier(&key.lookup), key.type_name))
}

/// The bytes of a key whose columns are given as SQL, as the source and the lookup query send them.
pub(super) fn key_bytes(keys: impl Iterator<Item = String>) -> String {
    format!("formatRow('RowBinary', {})", keys.collect::<Vec<_>>().join(", "))
}

/// `FROM … WHERE …` for the rows of the window.
pub fn lookup_from(
    lookup: &BoundLookup,
    window: Option<LookupWindow>,
    range: Option<&str>,
) -> String {
    let window = window.and_then(|window| window.predicate(lookup));
    let predicates: Vec<_> = window.into_iter().chain(range.map(str::to_owned)).collect();
    let predicate = if predicates.is_empty() {
        String::new()
    } else {
        format!("\nWHERE {}", predicates.join(" AND "))
    };
    format!("FROM {}{predicate}", lookup.table.name.quoted())
}

/// One row: what the lookup columns are in a join that finds nothing. The defaults of types differ
/// (that of `Date32` is 1900-01-01 in places), so the server is asked, by such a join.
pub fn miss(lookup: &BoundLookup) -> String {
    let columns: Vec<_> =
        lookup.columns.iter().map(|column| quote_identifier(&column.name).to_string()).collect();
    let qualified: Vec<_> = columns.iter().map(|column| format!("lookup.{column}")).collect();
    let table = lookup.table.name.quoted();
    format!(
        "SELECT {}\nFROM (SELECT 1 AS `key of a miss`) AS source\nLEFT ANY JOIN (SELECT 2 AS `key of a miss`, {} FROM {table} WHERE 0) AS lookup\nON source.`key of a miss` = lookup.`key of a miss`",
        qualified.join(", "),
        columns.join(", ")
    )
}

/// The settings of the lookup query.
pub fn lookup_settings(job: &BoundJob) -> Settings {
    Settings::read().with_all(&job.settings.lookup.0)
}
