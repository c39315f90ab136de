//! The equivalent join: the same expressions over the tables themselves. It says what is right.

use super::group::grouping;
use super::insert::{into_null, into_target, select_list};
use super::lookup::{MATCH, newest, newest_matches};
use super::source::narrow_settings;
use super::source::{self, Scope};
use crate::clickhouse::{Settings, quote_identifier};
use crate::job::bound::{BoundGroup, BoundJob, BoundLookup};

/// One row for each row that the backfill writes, with the expressions' values in the order of the
/// target's columns. For a job with groups it is the aggregation of the source.
///
/// For a part of a partition, only the lookup rows with the keys of that part are read, so that it
/// can be evaluated chunk by chunk.
///
/// The source is a subquery, so that unqualified names of its sorting key in the scope's range
/// cannot mean the lookup's columns.
pub(crate) fn join(job: &BoundJob, scope: &Scope) -> String {
    join_of(job, scope, &select_list(job))
}

/// The same with another select list over the same rows.
pub(crate) fn join_of(job: &BoundJob, scope: &Scope, list: &str) -> String {
    join_over(job, scope, list, &source::from(job, scope))
}

/// The same over rows of the source that are made of this `FROM … WHERE …`.
fn join_over(job: &BoundJob, scope: &Scope, list: &str, source: &str) -> String {
    let mut columns: Vec<_> =
        job.source_columns.iter().map(|column| column.name.as_str()).collect();
    for key in job.lookup.iter().flat_map(|lookup| &lookup.keys) {
        if !columns.contains(&key.source.as_str()) {
            columns.push(&key.source);
        }
    }
    let columns: Vec<_> = columns
        .into_iter()
        .map(|name| format!("source.{0} AS {0}", quote_identifier(name)))
        .collect();
    let source = source.replace('\n', "\n  ");
    // A job may use no column of its source at all.
    let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    let sql = format!("SELECT {list}\nFROM (\n  SELECT {columns}\n  {source}\n) AS source");
    if let Some(group) = &job.group {
        return format!("{sql}{}", group.clause());
    }
    let Some(lookup) = &job.lookup else { return sql };
    format!("{sql}\nLEFT ANY JOIN {} AS lookup\nON {}", newest(job, lookup, scope), on(lookup))
}

/// The aggregation of the whole source, whatever rows the job leaves out, to compare it with a view's.
pub(crate) fn aggregation_of_all(job: &BoundJob) -> String {
    let clause = job.group.as_ref().map(BoundGroup::clause).unwrap_or_default();
    format!("SELECT {}\nFROM {} AS source{clause}", select_list(job), job.source.name.quoted())
}

/// The condition of the join.
fn on(lookup: &BoundLookup) -> String {
    let equal = lookup.keys.iter().map(|key| {
        format!(
            "source.{} = lookup.{}",
            quote_identifier(&key.source),
            quote_identifier(&key.lookup)
        )
    });
    equal.collect::<Vec<_>>().join(" AND ")
}

/// Counts the rows of the join by what they find: `rows` of them, `matched` in the lookup's window,
/// `matched_late` outside of it. Reads keys alone. Throws where an object of the scope has changed.
pub(crate) fn count_matches(job: &BoundJob, scope: &Scope) -> String {
    let unchanged = job.objects.as_ref().map_or_else(String::new, |objects| {
        format!("\n  AND {}", objects.unchanged(scope.range.as_deref()))
    });
    let source = format!("{}{unchanged}", source::from(job, scope));
    let Some(lookup) = &job.lookup else {
        return format!(
            "SELECT count() AS rows, toUInt64(0) AS matched, toUInt64(0) AS matched_late\n{source}"
        );
    };
    let mut keys: Vec<_> = lookup
        .keys
        .iter()
        .map(|key| format!("source.{0} AS {0}", quote_identifier(&key.source)))
        .collect();
    keys.dedup();
    format!(
        "SELECT count() AS rows, countIf({MATCH} = 1) AS matched, countIf({MATCH} = 2) AS matched_late\n\
         FROM (\n  SELECT {}\n  {}\n) AS source\nLEFT ANY JOIN {} AS lookup\nON {}",
        keys.join(", "),
        source.replace('\n', "\n  "),
        newest_matches(job, lookup, scope),
        on(lookup)
    )
}

/// Inserts the rows of the scope, evaluated by the server: the target, and the join. Where another server
/// evaluates the rows, `remote` makes a query of the SELECT that is sent to that server.
pub(crate) fn insert_join(
    job: &BoundJob,
    scope: &Scope,
    dry_run: bool,
    remote: Option<impl Fn(&str) -> String>,
) -> String {
    let into = if dry_run { into_null(job) } else { into_target(job) };
    let rows = match remote {
        Some(remote) => remote(&finished(job, scope)),
        None => join_over(job, scope, &select_list(job), &source::from_winners(job, scope)),
    };
    format!("{into}\n{rows}")
}

/// The settings under which the join gives what the backfill writes.
pub(crate) fn join_settings(job: &BoundJob) -> Settings {
    grouping(job, Settings::common()).with_all(&job.settings.insert.0)
}

/// One row for each row that the backfill writes, with the values as the target keeps them.
///
/// The values get names inside that no expression can mean, since a column named `source` would
/// hide the table of that name.
pub(crate) fn finished(job: &BoundJob, scope: &Scope) -> String {
    let (values, names) = (finished_values(job), finished_names(job));
    let source = source::from_winners(job, scope);
    let join = join_over(job, scope, &values.join("\n, "), &source);
    format!("SELECT {}\nFROM (\n{join}\n)", names.join(", "))
}

/// The settings of [`finished`].
pub(crate) fn finished_settings(job: &BoundJob) -> Settings {
    narrow_settings(join_settings(job), job.narrow)
}

/// The groups of the scope with the values as the target keeps them, and with the number of their rows
/// under this name.
pub(crate) fn counted_groups(job: &BoundJob, scope: &Scope, rows: &str) -> String {
    let (values, names) = (finished_values(job), finished_names(job));
    format!(
        "SELECT {}, `rows of a group` AS {}\nFROM (\n{}\n)",
        names.join(", "),
        quote_identifier(rows),
        join_of(job, scope, &format!("{}\n, count() AS `rows of a group`", values.join("\n, ")))
    )
}

fn finished_values(job: &BoundJob) -> Vec<String> {
    let values = job.columns.iter().enumerate().map(|(number, column)| {
        format!("CAST({}\n AS {}) AS `value {number}`", column.expression, column.type_name)
    });
    values.collect()
}

fn finished_names(job: &BoundJob) -> Vec<String> {
    let names =
        job.columns.iter().enumerate().map(|(number, column)| {
            format!("`value {number}` AS {}", quote_identifier(&column.name))
        });
    names.collect()
}
