//! The stage: a table that keeps the rows of every attempt of every chunk apart.
//!
//! An attempt counts only if its insert was acknowledged and the stage has as many rows of it as the
//! source has in the chunk. After any doubt the chunk is inserted again as another attempt, so rows of
//! an insert that ends late are never taken for rows of one that counts.

use crate::clickhouse::{TableName, quote_identifier, quote_literal};
use crate::formats::rowbinary::DataType;
use crate::job::{BoundJob, Publish, simple_value_type};
use crate::plan::ChunkId;

/// The columns of the stage before those of the target.
const CHUNK: &str = "_chunk";
const ATTEMPT: &str = "_attempt";
/// The column of a chunk's SELECT, and of the stage, with how many rows of the source a row stands
/// for.
pub(crate) const STAGED_ROWS: &str = "_rows";

/// The name of the stage of a run.
pub(crate) fn stage_name(target: &TableName, run_id: &str) -> String {
    format!("{}_stage_{run_id}", target.table)
}

/// An attempt of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StagedAttempt {
    /// The chunk.
    pub chunk: ChunkId,
    /// The number of the attempt. It is random, so processes need not agree on numbers.
    pub attempt: u32,
}

impl StagedAttempt {
    /// A new attempt of a chunk.
    pub(crate) fn new(chunk: ChunkId) -> Self {
        Self { chunk, attempt: rand::random::<u32>().max(1) }
    }

    fn condition(self) -> String {
        format!("{CHUNK} = {} AND {ATTEMPT} = {}", self.chunk.record(), self.attempt)
    }
}

/// The stage of a load.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    table: TableName,
    /// The columns of the target that are filled, with the stage's types.
    columns: Vec<(String, String)>,
}

impl Stage {
    /// The stage of a run of this job, if the job publishes by replacement.
    pub(crate) fn of(job: &BoundJob, run_id: &str) -> Option<Self> {
        let columns =
            job.columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str()));
        (job.publish == Publish::Replace).then(|| Self::new(&job.target.name, columns, run_id))
    }

    /// The stage of a run for these columns of a target, with the target's types.
    fn new<'a>(
        target: &TableName,
        columns: impl IntoIterator<Item = (&'a str, &'a str)>,
        run_id: &str,
    ) -> Self {
        let columns = columns.into_iter();
        Self {
            table: TableName {
                database: target.database.clone(),
                table: stage_name(target, run_id),
            },
            columns: columns.map(|(name, of_target)| (name.to_owned(), plain(of_target))).collect(),
        }
    }

    /// Its name.
    pub(crate) fn table(&self) -> &TableName {
        &self.table
    }

    /// The statement that creates it.
    pub(crate) fn create(&self) -> String {
        let columns =
            self.columns.iter().map(|(name, of)| format!(",\n    {} {of}", quote_identifier(name)));
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n    {CHUNK} UInt64,\n    {ATTEMPT} UInt32,\n    {STAGED_ROWS} UInt64{}\n)\n\
             ENGINE = MergeTree ORDER BY ({CHUNK}, {ATTEMPT}) SETTINGS non_replicated_deduplication_window = 0\nCOMMENT {}",
            self.table.quoted(),
            columns.collect::<String>(),
            quote_literal("Stage of a load of clickhouse-backfill, which drops it at the end")
        )
    }

    /// The statement that inserts an attempt. `rows` is a SELECT of the chunk that yields the
    /// target's columns by their names, and [`STAGED_ROWS`].
    pub(crate) fn insert(&self, attempt: StagedAttempt, rows: &str) -> String {
        format!(
            "INSERT INTO {} ({CHUNK}, {ATTEMPT}, {STAGED_ROWS}, {})\nSELECT {}, {}, {STAGED_ROWS}, {}\nFROM (\n{rows}\n)",
            self.table.quoted(),
            self.names(),
            attempt.chunk.record(),
            attempt.attempt,
            self.names()
        )
    }

    /// Counts the source's rows that the stage has of an attempt, as `rows`.
    pub(crate) fn count(&self, attempt: StagedAttempt) -> String {
        let (table, condition) = (self.table.quoted(), attempt.condition());
        format!("SELECT sum({STAGED_ROWS}) AS rows FROM {table} WHERE {condition}")
    }

    /// The same of several attempts.
    pub(super) fn count_all(&self, attempts: &[StagedAttempt]) -> String {
        let (table, condition) = (self.table.quoted(), among(attempts));
        format!("SELECT sum({STAGED_ROWS}) AS rows FROM {table} WHERE {condition}")
    }

    /// The statement that copies the rows of these attempts into a table with the target's columns.
    pub(super) fn copy(&self, into: &TableName, attempts: &[StagedAttempt]) -> String {
        let names = self.names();
        format!(
            "INSERT INTO {} ({names})\nSELECT {names}\nFROM {}\nWHERE {}",
            into.quoted(),
            self.table.quoted(),
            among(attempts)
        )
    }

    /// The names of the target's columns, of which there is at least one.
    fn names(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| quote_identifier(name).to_string());
        names.collect::<Vec<_>>().join(", ")
    }
}

/// True for the rows of these attempts.
fn among(attempts: &[StagedAttempt]) -> String {
    let pairs = attempts.iter().map(|one| format!("({}, {})", one.chunk.record(), one.attempt));
    format!("({CHUNK}, {ATTEMPT}) IN ({})", pairs.collect::<Vec<_>>().join(", "))
}

/// The type in the stage: that of the values of a `SimpleAggregateFunction`, which a merge of the stage
/// must not aggregate.
fn plain(type_name: &str) -> String {
    simple_value_type(type_name)
        .filter(|values| DataType::parse(values).is_ok())
        .unwrap_or_else(|| type_name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> Stage {
        let target = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let columns =
            [("a`b", "SimpleAggregateFunction(sum, Nullable(UInt64))"), ("c", "Array(String)")];
        Stage::new(&target, columns, "run1")
    }

    #[test]
    fn values_of_simple_aggregates_are_staged_as_they_are() {
        let sql = stage().create();
        assert!(sql.contains("`d`.`t_stage_run1`"), "{sql}");
        assert!(sql.contains("`a\\`b` Nullable(UInt64)"), "{sql}");
        assert_eq!(
            plain("SimpleAggregateFunction(anyLast, Map(String, UInt8))"),
            "Map(String, UInt8)"
        );
        assert_eq!(plain("AggregateFunction(avg, Float32)"), "AggregateFunction(avg, Float32)");
    }

    #[test]
    fn attempts_are_told_apart_by_chunk_and_number() {
        let attempt = StagedAttempt { chunk: ChunkId::planned(7), attempt: 2 };
        let sql = stage().insert(attempt, "SELECT 1");
        assert!(sql.contains("SELECT 7, 2, _rows, `a\\`b`, `c`\nFROM (\nSELECT 1\n)"), "{sql}");
        assert!(stage().count(attempt).ends_with("WHERE _chunk = 7 AND _attempt = 2"));
        let other = StagedAttempt { chunk: ChunkId::planned(8), attempt: 5 };
        let into = TableName { database: "d".to_owned(), table: "p".to_owned() };
        let sql = stage().copy(&into, &[attempt, other]);
        assert!(
            sql.starts_with("INSERT INTO `d`.`p` (`a\\`b`, `c`)\nSELECT `a\\`b`, `c`\n"),
            "{sql}"
        );
        assert!(sql.ends_with("WHERE (_chunk, _attempt) IN ((7, 2), (8, 5))"), "{sql}");
        let new = StagedAttempt::new(ChunkId::planned(7));
        assert_ne!(new.attempt, 0, "0 is an attempt that was not staged");
    }
}
