//! Which partition of the target a partition of the source fills, and whether nothing else does.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::PublishError;
use crate::clickhouse::{Error as ServerError, Servers, quote_identifier, quote_literal};
use crate::job::statements::join_settings;
use crate::job::target_key::TargetKey;
use crate::job::{BoundColumn, BoundJob, names_in};

/// Finds the id of the target's partition that holds all rows that the job makes of a partition of the
/// source, and of no other.
///
/// Where the target is partitioned as the source is, that is the partition of the same id. Elsewhere
/// the values of the partition key are computed for all rows of the source. Versions are not collapsed
/// for that: an old one may lead to a refusal, never to a wrong partition.
///
/// # Errors
/// [`PublishError::Unfit`] where there is none: one statement replaces one partition as a whole.
pub(crate) async fn target_partition(
    servers: &Servers,
    job: &BoundJob,
    source_partition: &str,
) -> Result<String, PublishError> {
    let target = &job.target.name;
    let unfit = |message: String| PublishError::Unfit { table: target.clone(), message };
    let key = TargetKey::read(&servers.target, job, &job.columns, &[]).await;
    let key = key.map_err(PublishError::of("reading the keys of", target))?;
    let Some(partition_id) = key.partition_id else {
        let message = "its partition key reads a column that can be NULL".to_owned();
        return Err(unfit(message));
    };
    let columns = partition_columns(job);
    if columns.is_empty() && job.objects.as_ref().is_some_and(|objects| objects.is_of_period) {
        let message = "it is not partitioned, so the rows of other periods would be replaced too";
        return Err(unfit(message.to_owned()));
    }
    if is_partitioned_as_the_source(job, &columns) {
        return Ok(source_partition.to_owned());
    }
    let columns = columns.iter().map(|name| filled_from_the_source(job, name));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(unfit)?;
    let sql = partitions_of_rows(job, &partition_id, &columns, source_partition);
    let found: Result<Vec<FoundPartition>, ServerError> =
        servers.source.rows_with("partitions", &sql, &join_settings(job)).await;
    let found = found.map_err(PublishError::of("asking for the partitions of", target))?;
    only_partition(&found).map_err(unfit)
}

/// A partition of the target that rows of the source would lie in.
#[derive(Debug, Deserialize)]
struct FoundPartition {
    id: String,
    /// Rows of the partition that is filled.
    own: u64,
    /// Rows of other partitions of the source.
    others: u64,
}

/// The names of the columns in the target's partition key.
fn partition_columns(job: &BoundJob) -> BTreeSet<String> {
    let read = names_in(&job.target.partition_key);
    let columns = job.target.columns.iter().map(|column| column.name.clone());
    columns.filter(|name| read.contains(name)).collect()
}

/// Whether the partition keys are the same expression over columns that the job copies.
fn is_partitioned_as_the_source(job: &BoundJob, columns: &BTreeSet<String>) -> bool {
    let copies = |name: &String| {
        let filled = job.columns.iter().find(|column| column.name == *name);
        let source = job.source.column(name);
        filled.zip(source).is_some_and(|(filled, source)| {
            filled.type_name == source.type_name
                && filled.expression.trim() == format!("source.{name}")
        })
    };
    !columns.is_empty()
        && job.target.partition_key == job.source.partition_key
        && columns.iter().all(copies)
}

fn filled_from_the_source<'a>(job: &'a BoundJob, name: &str) -> Result<&'a BoundColumn, String> {
    match job.columns.iter().find(|column| column.name == name) {
        None => Err(format!("the job does not fill {name}, a column of its partition key")),
        Some(column) if column.reads_lookup() => {
            Err(format!("{name}, a column of its partition key, reads the lookup"))
        }
        Some(column) => Ok(column),
    }
}

/// Counts the source's rows by the partition of the target that they would lie in.
fn partitions_of_rows(
    job: &BoundJob,
    partition_id: &str,
    columns: &[&BoundColumn],
    source_partition: &str,
) -> String {
    // The names inside are such that no expression can mean them.
    let values = columns.iter().enumerate().map(|(number, column)| {
        format!(", CAST({}\n AS {}) AS `value {number}`", column.expression, column.type_name)
    });
    let names = columns.iter().enumerate().map(|(number, column)| {
        format!(", `value {number}` AS {}", quote_identifier(&column.name))
    });
    let (is_of_partition, rows) = match &job.objects {
        Some(objects) => {
            ("1".to_owned(), format!("{} AS source\n    WHERE {}", job.from(), objects.predicate()))
        }
        None => (
            format!("source._partition_id = {}", quote_literal(source_partition)),
            format!("{} AS source", job.from()),
        ),
    };
    format!(
        "SELECT {partition_id} AS id, countIf(`of the partition`) AS own, countIf(NOT `of the partition`) AS others\n\
         FROM (\n  SELECT `of the partition`{}\n  FROM (\n    SELECT {is_of_partition} AS `of the partition`{}\n    FROM {rows}\n  )\n)\n\
         GROUP BY id ORDER BY id",
        names.collect::<String>(),
        values.collect::<String>()
    )
}

/// The one partition that the source's partition fills; the error says why there is none.
fn only_partition(found: &[FoundPartition]) -> Result<String, String> {
    let own: Vec<_> = found.iter().filter(|partition| partition.own > 0).collect();
    match own.as_slice() {
        [] => Err("the partition of the source has no rows".to_owned()),
        [one] if one.others > 0 => Err(format!(
            "rows of other partitions of the source lie in its partition {} too, and replacing it would remove them",
            one.id
        )),
        [one] => Ok(one.id.clone()),
        [first, .., last] => Err(format!(
            "the rows lie in {} of its partitions, {} to {}, which no single statement replaces",
            own.len(),
            first.id,
            last.id
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_replaced_only_as_a_whole() {
        let partition = |id: &str, own, others| FoundPartition { id: id.to_owned(), own, others };
        let of = |found: &[FoundPartition]| only_partition(found);
        assert_eq!(of(&[partition("a", 0, 3), partition("b", 5, 0)]), Ok("b".to_owned()));
        let error = of(&[partition("all", 5, 3)]).unwrap_err();
        assert!(error.contains("rows of other partitions of the source"), "{error}");
        let several = [partition("a", 1, 0), partition("b", 5, 0), partition("c", 1, 0)];
        let error = of(&several).unwrap_err();
        assert!(error.contains("3 of its partitions, a to c"), "{error}");
        assert!(of(&[partition("a", 0, 3)]).is_err());
    }
}
