//! Which partitions of the target a partition of the source fills, and whether nothing else does.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::PublishError;
use crate::clickhouse::{Error as ServerError, Servers, quote_identifier, quote_literal};
use crate::job::statements::join_settings;
use crate::job::target_key::TargetKey;
use crate::job::{BoundColumn, BoundJob, names_in};
use crate::ledger::partitions_in_words;

/// Partitions that are replaced at most: in one statement, for whose time writers wait.
const MOST: usize = 100;

/// Finds the ids of the target's partitions that hold all rows that the job makes of a partition of the
/// source, and of no other, in order. Those that were filled `before` and that no row leads to now are
/// among them: what stands there is no longer made.
///
/// Where the target is partitioned as the source is, that is the partition of the same id. Elsewhere
/// the values of the partition key are computed for all rows of the source. Versions are not collapsed
/// for that: an old one may lead to a refusal, never to a wrong partition.
///
/// # Errors
/// [`PublishError::Unfit`] where there is none: partitions are replaced as a whole.
pub(crate) async fn target_partitions(
    servers: &Servers,
    job: &BoundJob,
    source_partition: &str,
    before: &[String],
) -> Result<Vec<String>, PublishError> {
    let target = &job.target.name;
    let unfit = |message: String| PublishError::Unfit { table: target.clone(), message };
    let columns = partition_columns(job);
    if columns.is_empty() && job.is_of_period() {
        let message = "it is not partitioned, so the rows of other periods would be replaced too";
        return Err(unfit(message.to_owned()));
    }
    if is_partitioned_as_the_source(job, &columns) {
        return Ok(vec![source_partition.to_owned()]);
    }
    let (id, rows) = partitions_of_rows(servers, job, source_partition).await?;
    let sql = format!(
        "SELECT {id} AS id, countIf(`of the partition`) AS own, countIf(NOT `of the partition`) AS others\n\
         FROM (\n{rows}\n)\nGROUP BY id ORDER BY id"
    );
    let found: Result<Vec<FoundPartition>, ServerError> =
        servers.source.rows_with("partitions", &sql, &join_settings(job)).await;
    let found = found.map_err(PublishError::of("asking for the partitions of", target))?;
    whole_partitions(&found, before).map_err(unfit)
}

/// SQL that is true for the target's rows in the partitions that a partition of the source fills at the
/// time of the query, for a job whose partitions [`target_partitions`] has found.
///
/// # Errors
/// Those of [`target_partitions`].
pub(crate) async fn is_in_target_partitions(
    servers: &Servers,
    job: &BoundJob,
    source_partition: &str,
) -> Result<String, PublishError> {
    if is_partitioned_as_the_source(job, &partition_columns(job)) {
        return Ok(format!("_partition_id = {}", quote_literal(source_partition)));
    }
    let (id, rows) = partitions_of_rows(servers, job, source_partition).await?;
    Ok(format!(
        "_partition_id IN (\nSELECT {id} AS id FROM (\n{rows}\n) WHERE `of the partition` GROUP BY id\n)"
    ))
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

/// SQL for the id of the target's partition that a row would lie in, and the SELECT of the source's rows that
/// it is evaluated over, which says whether a row is `of the partition` that is filled. The server groups by
/// the key behind the id as long as the id is not a column.
async fn partitions_of_rows(
    servers: &Servers,
    job: &BoundJob,
    source_partition: &str,
) -> Result<(String, String), PublishError> {
    let target = &job.target.name;
    let unfit = |message: String| PublishError::Unfit { table: target.clone(), message };
    let key = TargetKey::read(&servers.target, job, &job.columns, &[]).await;
    let key = key.map_err(PublishError::of("reading the keys of", target))?;
    let Some(partition_id) = key.partition_id else {
        let message = "its partition key reads a column that can be NULL".to_owned();
        return Err(unfit(message));
    };
    let columns = partition_columns(job);
    let columns = columns.iter().map(|name| filled_from_the_source(job, name));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(unfit)?;
    // The names inside are such that no expression can mean them.
    let values = columns.iter().enumerate().map(|(number, column)| {
        format!(", CAST({}\n AS {}) AS `value {number}`", column.expression, column.type_name)
    });
    let names = columns.iter().enumerate().map(|(number, column)| {
        format!(", `value {number}` AS {}", quote_identifier(&column.name))
    });
    let table = job.from(None);
    let (is_of_partition, rows) = match &job.objects {
        Some(objects) => {
            ("1".to_owned(), format!("{table} AS source\n    WHERE {}", objects.predicate()))
        }
        None if job.postgres.is_some() => ("1".to_owned(), format!("{table} AS source")),
        None => (
            format!("source._partition_id = {}", quote_literal(source_partition)),
            format!("{table} AS source"),
        ),
    };
    let rows = format!(
        "  SELECT `of the partition`{}\n  FROM (\n    SELECT {is_of_partition} AS `of the partition`{}\n    FROM {rows}\n  )",
        names.collect::<String>(),
        values.collect::<String>()
    );
    Ok((partition_id, rows))
}

/// The partitions that the source's partition alone fills, or has filled `before`; the error says why
/// there are none.
fn whole_partitions(found: &[FoundPartition], before: &[String]) -> Result<Vec<String>, String> {
    let own = || found.iter().filter(|partition| partition.own > 0);
    if own().next().is_none() {
        return Err("the partition of the source has no rows".to_owned());
    }
    if let Some(shared) = own().find(|partition| partition.others > 0) {
        return Err(format!(
            "rows of other partitions of the source lie in its partition {} too, and replacing it would remove them",
            shared.id
        ));
    }
    let is_empty = |id: &&String| found.iter().all(|partition| partition.id != **id);
    let emptied = before.iter().filter(is_empty).cloned();
    let ids: BTreeSet<_> = own().map(|partition| partition.id.clone()).chain(emptied).collect();
    if ids.len() > MOST {
        let words = partitions_in_words(ids.iter().map(String::as_str));
        return Err(format!(
            "the rows lie in {words} of it, and at most {MOST} are replaced at once"
        ));
    }
    Ok(ids.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_replaced_only_as_a_whole() {
        let partition = |id: &str, own, others| FoundPartition { id: id.to_owned(), own, others };
        let of = |found: &[FoundPartition]| whole_partitions(found, &[]);
        assert_eq!(of(&[partition("a", 0, 3), partition("b", 5, 0)]), Ok(vec!["b".to_owned()]));
        let several = [partition("a", 1, 0), partition("b", 0, 2), partition("c", 1, 0)];
        assert_eq!(of(&several), Ok(vec!["a".to_owned(), "c".to_owned()]));
        let error = of(&[partition("a", 1, 0), partition("b", 5, 3)]).unwrap_err();
        assert!(error.contains("lie in its partition b too"), "{error}");
        assert!(of(&[partition("a", 0, 3)]).is_err());
        let before = ["a", "b", "d"].map(str::to_owned);
        let now = ["a", "c", "d"].map(str::to_owned);
        assert_eq!(whole_partitions(&several, &before), Ok(now.to_vec()));
        let many: Vec<_> = (1..=101).map(|n| partition(&format!("{n:03}"), 1, 0)).collect();
        assert!(of(&many[1..]).is_ok());
        let error = of(&many).unwrap_err();
        assert!(error.contains("101 partitions (001 to 101) of it"), "{error}");
    }
}
