//! The lookup query: key columns, version, deleted flag, then the lookup columns that the expressions
//! read; the row of a miss; and the newest version of lookup rows.

use super::source::{self, Bucket, LookupTimes, SELECT_END_OF_ROW, Scope};
use crate::clickhouse::{Settings, quote_identifier};
use crate::formats::rowbinary::DataType;
use crate::job::bound::{BoundJob, BoundLookup};

/// All versions of the window's lookup rows for `FORMAT RowBinary`; the map keeps the newest.
/// `range` is a further predicate, already quoted.
pub(crate) fn lookup(
    lookup: &BoundLookup,
    window: Option<LookupTimes>,
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

/// The key's columns, cast as in the join.
pub(super) fn keys(lookup: &BoundLookup) -> impl Iterator<Item = String> + '_ {
    lookup
        .keys
        .iter()
        .map(|key| format!("CAST({} AS {})", quote_identifier(&key.lookup), key.type_name))
}

/// SQL for the bytes of a key, as the source and the lookup query send them.
pub(super) fn key_bytes(keys: impl Iterator<Item = String>) -> String {
    format!("formatRow('RowBinary', {})", keys.collect::<Vec<_>>().join(", "))
}

/// `FROM … WHERE …` for the rows of the window.
pub(crate) fn lookup_from(
    lookup: &BoundLookup,
    window: Option<LookupTimes>,
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

/// One row with the lookup columns of a join without a match. A join on the server gives it, because
/// the defaults of some types vary (that of `Date32` can be 1900-01-01).
pub(crate) fn miss(lookup: &BoundLookup) -> String {
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
pub(crate) fn lookup_settings(job: &BoundJob) -> Settings {
    Settings::read().with_all(&job.settings.lookup.0)
}

/// The newest version of each lookup row that rows of the scope may find, without those that are
/// deleted: the right side of the equivalent join.
///
/// Where there is a window, rows outside of it count as well. So that the server need not sort the
/// whole table for a part of the source, only keys of the scope's rows are considered, unless that
/// part is everything.
pub(super) fn newest(job: &BoundJob, lookup: &BoundLookup, scope: &Scope) -> String {
    let keys: Vec<_> = raw_keys(lookup).collect();
    let columns: Vec<_> = columns(lookup).filter(|column| !keys.contains(column)).collect();
    let list: Vec<_> = keys.into_iter().chain(columns).collect();
    let part = scope.window.is_some() || scope.range.is_some() || scope.bucket.is_some();
    let only = part.then(|| key_of_a_row(job, lookup, scope).replace('\n', "\n    "));
    format!(
        "(\n  {}\n)",
        select(lookup, scope.window, only.as_deref(), &list).replace('\n', "\n  ")
    )
}

/// The name of the column of [`newest_matches`] that says where a row lies: 1 in the window, 2
/// outside of it.
pub(super) const MATCH: &str = "`match of a key`";

/// The keys of [`newest`] with the column [`MATCH`], and nothing else.
pub(super) fn newest_matches(job: &BoundJob, lookup: &BoundLookup, scope: &Scope) -> String {
    let keys: Vec<_> = raw_keys(lookup).collect();
    let inside = scope.window.and_then(|window| window.predicate(lookup));
    let kind =
        inside.map_or_else(|| "1".to_owned(), |inside| format!("if(ifNull({inside}, 0), 1, 2)"));
    let only = key_of_a_row(job, lookup, scope).replace('\n', "\n    ");
    let mut order: Vec<_> = newest_first(lookup, scope.window).collect();
    let deleted = lookup.deleted.as_deref().map(quote_identifier);
    let live =
        deleted.as_ref().map_or_else(String::new, |deleted| format!("\n  WHERE NOT {deleted}"));
    let more = deleted.map_or_else(String::new, |deleted| {
        order.push(format!("toBool({deleted}) DESC"));
        format!(", {deleted}")
    });
    let order = if order.is_empty() {
        String::new()
    } else {
        format!("\n    ORDER BY {}", order.join(", "))
    };
    format!(
        "(\n  SELECT {keys}, {MATCH}\n  FROM (\n    SELECT {keys}{more}, {kind} AS {MATCH}\n    FROM {}\n    WHERE {only}{order}\n    LIMIT 1 BY {keys}\n  ){live}\n)",
        lookup.table.name.quoted(),
        keys = keys.join(", ")
    )
}

/// The order by window and version.
fn newest_first(lookup: &BoundLookup, window: Option<LookupTimes>) -> impl Iterator<Item = String> {
    // A time that is NULL lies in no window.
    let inside = window
        .and_then(|window| window.predicate(lookup))
        .map(|inside| format!("ifNull({inside}, 0) DESC"));
    let version =
        lookup.version.as_ref().map(|version| format!("{} DESC", quote_identifier(&version.name)));
    inside.into_iter().chain(version)
}

/// The newest rows of these keys, without those that are deleted, as the join would find them: key
/// columns, cast as the join would, the columns that the expressions read, and the end of the row.
///
/// `predicate` says which keys are meant.
pub(super) fn newest_rows(lookup: &BoundLookup, window: LookupTimes, predicate: &str) -> String {
    let list: Vec<_> =
        keys(lookup).chain(columns(lookup)).chain([SELECT_END_OF_ROW.to_owned()]).collect();
    select(lookup, Some(window), Some(predicate), &list)
}

/// The order says which of several versions counts: one in the window, then the greatest version,
/// then the deleted one, then the greatest bytes, so that ties have one answer.
fn select(
    lookup: &BoundLookup,
    window: Option<LookupTimes>,
    predicate: Option<&str>,
    list: &[String],
) -> String {
    let keys: Vec<_> = raw_keys(lookup).collect();
    let columns: Vec<_> = columns(lookup).collect();
    let mut inner = keys.clone();
    inner.extend(columns.iter().filter(|column| !keys.contains(column)).cloned());
    let mut order: Vec<_> = newest_first(lookup, window).collect();
    let mut live = String::new();
    if let Some(deleted) = &lookup.deleted {
        let deleted = quote_identifier(deleted).to_string();
        order.push(format!("toBool({deleted}) DESC"));
        if !inner.contains(&deleted) {
            inner.push(deleted.clone());
        }
        live = format!("\nWHERE NOT {deleted}");
    }
    if !columns.is_empty() {
        order.push(format!("formatRow('RowBinary', {}) DESC", columns.join(", ")));
    }
    let order =
        if order.is_empty() { String::new() } else { format!("\n  ORDER BY {}", order.join(", ")) };
    let predicate =
        predicate.map_or_else(String::new, |predicate| format!("\n  WHERE {predicate}"));
    format!(
        "SELECT {}\nFROM (\n  SELECT {}\n  FROM {}{predicate}{order}\n  LIMIT 1 BY {}\n){live}",
        list.join(", "),
        inner.join(", "),
        lookup.table.name.quoted(),
        keys.join(", ")
    )
}

/// The predicate that the lookup's key is that of a row of the scope. Versions of rows are not
/// collapsed for it, and nothing is left out: a key too many changes nothing.
fn key_of_a_row(job: &BoundJob, lookup: &BoundLookup, scope: &Scope) -> String {
    let theirs = source::any_version(job, scope);
    let ours: Vec<_> = lookup
        .keys
        .iter()
        .zip(keys(lookup))
        .map(|(key, cast)| match lookup.table.column(&key.lookup) {
            // The column itself, so that the primary index is of use.
            Some(column) if column.type_name == key.type_name => {
                quote_identifier(&key.lookup).to_string()
            }
            _ => cast,
        })
        .collect();
    // A tuple on the left would be taken for its elements.
    let is_plain = |name: &str| {
        DataType::parse(name).is_ok_and(|parsed| {
            !matches!(parsed.strip_nullable(), DataType::Tuple(_) | DataType::Geo(_))
        })
    };
    if lookup.keys.iter().all(|key| is_plain(&key.type_name)) {
        let keys: Vec<_> = source::keys(lookup).collect();
        return format!(
            "({}) IN (\n  SELECT {}\n  {}\n)",
            ours.join(", "),
            keys.join(", "),
            theirs.replace('\n', "\n  ")
        );
    }
    let keys: Vec<_> = source::keys(lookup).collect();
    format!(
        "{} IN (\n  SELECT {}\n  {}\n)",
        key_bytes(ours.into_iter()),
        key_bytes(keys.into_iter()),
        theirs.replace('\n', "\n  ")
    )
}

/// The key's columns as they are in the table.
fn raw_keys(lookup: &BoundLookup) -> impl Iterator<Item = String> + '_ {
    lookup.keys.iter().map(|key| quote_identifier(&key.lookup).to_string())
}

/// The columns that the expressions read.
fn columns(lookup: &BoundLookup) -> impl Iterator<Item = String> + '_ {
    lookup.columns.iter().map(|column| quote_identifier(&column.name).to_string())
}
