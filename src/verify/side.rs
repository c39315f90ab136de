//! The queries: the same questions, asked of both sides. One side is what the job makes of a part
//! of the source (the equivalent join), the other a part of the target.
//!
//! All hashes are taken over the key as well: else values that two rows have swapped would cancel
//! out in a sum.

use std::collections::BTreeMap;

use super::comparable::{comparable, hash_of};
use super::key::TargetKey;
use super::values::{BLOCK, MARGIN, start_of};
use crate::clickhouse::{quote_identifier, quote_literal};
use crate::job::statements::{Scope, finished};
use crate::job::{BoundColumn, BoundJob};

/// The name of the key's hash in these queries.
const KEY: &str = "`hash of the key`";

/// A share of all keys, such as 1/100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// So many …
    pub parts: u32,
    /// … of so many.
    pub of: u32,
}

/// How a row is removed from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// By a row of the same version that marks it as deleted; it is inserted later, hence wins.
    Tombstone,
    /// By a lightweight DELETE.
    Delete,
}

/// For a column, by its position, the block of its value that is asked for, by the hash of its row.
pub(super) type Wanted = BTreeMap<usize, BTreeMap<u64, usize>>;

/// The keys whose hash leaves one of these remainders.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// The divisor.
    pub count: u32,
    /// The remainders.
    pub numbers: Vec<u32>,
}

/// Which rows of some keys are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All.
    All,
    /// Those that mark a deletion.
    Deleted,
    /// Those that the job does not answer for.
    Others,
}

/// Makes the queries of one comparison.
#[derive(Clone, Debug)]
pub(super) struct Queries {
    pub job: BoundJob,
    pub key: TargetKey,
    pub share: Option<Share>,
}

impl Queries {
    /// What the job makes of this part of the source.
    pub fn expected(&self, scope: &Scope) -> String {
        self.with_defaults(&finished(&self.job, scope))
    }

    /// What keys the job would make of all versions of this part of the source, or of its deleted
    /// ones only. Only the key's columns can be asked of it.
    pub fn keys_of_all_versions(&self, scope: &Scope, deleted: bool) -> String {
        let mut job = self.job.clone();
        job.collapse = false;
        job.exclusions.clear();
        if let Some(column) = job.source_deleted.take()
            && deleted
        {
            job.exclusions.push(format!("NOT source.{}", quote_identifier(&column)));
        }
        job.columns.retain(|column| self.key.columns.iter().any(|(name, _)| *name == column.name));
        if job.columns.iter().all(|column| !column.expression.contains("lookup")) {
            job.lookup = None;
        }
        let defaults = self
            .key
            .filled_by_table
            .iter()
            .filter(|(name, ..)| self.key.columns.iter().any(|(column, _)| column == name));
        with_defaults(&finished(&job, scope), defaults)
    }

    /// The rows of a part of the target, versions collapsed or not.
    pub fn found(&self, partition_id: &str, range: Option<&str>, collapse: bool) -> String {
        let filled = self.job.columns.iter().map(|column| &column.name);
        let columns = filled
            .chain(self.key.filled_by_table.iter().map(|(name, ..)| name))
            .map(|name| quote_identifier(name).to_string());
        let collapse = if collapse && self.job.target.is_replacing() { " FINAL" } else { "" };
        let mut conditions = Vec::new();
        if self.job.target.is_merge_tree() {
            conditions.push(format!("_partition_id = {}", quote_literal(partition_id)));
        }
        conditions.extend(range.map(|range| format!("({range})")));
        let condition = if conditions.is_empty() {
            String::new()
        } else {
            format!("\nWHERE {}", conditions.join(" AND "))
        };
        format!(
            "SELECT {}\nFROM {}{collapse}{condition}",
            columns.collect::<Vec<_>>().join(", "),
            self.job.target.name.quoted()
        )
    }

    /// For each bucket: its number, how many rows the job answers for and how many not, their
    /// partitions' ids, and a sum of hashes for each column over the rows that the job answers for.
    /// Keys are divided into `count` buckets. `FORMAT RowBinary`, [`super::sums`] reads it.
    pub fn sums(&self, rows: &str, count: u32, only: Option<&Buckets>) -> String {
        let owned = self.owned();
        let sums: Vec<_> = self
            .job
            .columns
            .iter()
            .map(|column| {
                let value = comparable(quote_identifier(&column.name).as_str(), &column.type_name);
                format!("sumIf(sipHash64({KEY}, {}), {owned})", hash_of(&[value]))
            })
            .collect();
        let mut conditions = self.conditions(only);
        conditions.push(format!("NOT ({})", self.key.is_deleted()));
        format!(
            "WITH {} AS {KEY}\nSELECT toUInt32({KEY} % {count}) AS `bucket of the key`, countIf({owned}), countIf(NOT ({owned})), groupUniqArray({})\n, {}\nFROM (\n{rows}\n)\nWHERE {}\nGROUP BY `bucket of the key`",
            self.key_hash(),
            self.key.partition_id,
            sums.join("\n, "),
            conditions.join(" AND ")
        )
    }

    /// For each row: hash of the key, flags (1 the job answers for it, 2 deleted), version, hash of
    /// all columns. `FORMAT RowBinary`, [`super::rows`] reads it.
    pub fn digests(&self, rows: &str, only: &Buckets, taken: Taken) -> String {
        let mut conditions = self.conditions(Some(only));
        match taken {
            Taken::All => {}
            Taken::Deleted => conditions.push(self.key.is_deleted()),
            Taken::Others => conditions.push(format!("NOT ({})", self.owned())),
        }
        format!(
            "WITH {} AS {KEY}\nSELECT {KEY}, toUInt8(({}) + 2 * ({})), {}, {}\nFROM (\n{rows}\n)\nWHERE {}",
            self.key_hash(),
            self.owned(),
            self.key.is_deleted(),
            self.key.version_number(),
            self.row_hash(),
            conditions.join(" AND ")
        )
    }

    /// The keys alone, in the form of [`Queries::digests`].
    pub fn keys(&self, rows: &str, only: &Buckets) -> String {
        let conditions = self.conditions(Some(only)).join(" AND ");
        format!(
            "WITH {} AS {KEY}\nSELECT DISTINCT {KEY}, toUInt8(0), toInt128(0), toUInt64(0)\nFROM (\n{rows}\n)\nWHERE {conditions}",
            self.key_hash()
        )
    }

    /// For rows of these keys: the key's hash, a hash of all columns, the key's columns as texts,
    /// and each column, with its value for the keys of which these are `shown`. `FORMAT RowBinary`,
    /// [`super::detail`] reads it.
    pub fn details(&self, rows: &str, keys: &[u64], shown: &[u64]) -> String {
        let texts = self.key.columns.iter().map(|(name, _)| {
            format!("ifNull(toValidUTF8(toString({})), 'NULL')", quote_identifier(name))
        });
        let shown = numbers(shown);
        let cells = self.job.columns.iter().map(|column| {
            let value = comparable(quote_identifier(&column.name).as_str(), &column.type_name);
            let text = format!("if({KEY} IN ({shown}), {}, '')", text_of(&value));
            format!(
                "tuple({}, toUInt8(isNull({value})), length({text}), substring({text}, 1, {}), \
                 arrayMap(i -> sipHash64(substring({text}, i * {BLOCK} + 1, {BLOCK})), range(toUInt64(1), intDiv(length({text}) + {}, {BLOCK}))))",
                hash_of(std::slice::from_ref(&value)),
                BLOCK + MARGIN,
                BLOCK - 1
            )
        });
        format!(
            "WITH {} AS {KEY}\nSELECT {KEY}, {}, [{}], [{}]\nFROM (\n{rows}\n)\nWHERE {}",
            self.key_hash(),
            self.row_hash(),
            texts.collect::<Vec<_>>().join(", "),
            cells.collect::<Vec<_>>().join("\n, "),
            self.live_rows_of(keys)
        )
    }

    /// For rows of these keys: a hash of all columns, and of these columns the blocks that belong
    /// to this hash of a row. `FORMAT RowBinary`, [`super::detail`] reads it.
    pub fn pieces(&self, rows: &str, keys: &[u64], wanted: &Wanted) -> String {
        let row = self.row_hash();
        let piece = |(position, blocks): (&usize, &BTreeMap<u64, usize>)| {
            let column = self.job.columns.get(*position)?;
            let value = comparable(quote_identifier(&column.name).as_str(), &column.type_name);
            let (hashes, starts): (Vec<_>, Vec<_>) =
                blocks.iter().map(|(row, block)| (*row, start_of(*block))).unzip();
            let start = format!(
                "transform({row}, [{}]::Array(UInt64), [{}]::Array(UInt64), toUInt64(0))",
                numbers(&hashes),
                numbers(&starts)
            );
            Some(format!("substring({}, {start} + 1, {})", text_of(&value), BLOCK + 2 * MARGIN))
        };
        let pieces: Vec<_> = wanted.iter().filter_map(piece).collect();
        format!(
            "WITH {} AS {KEY}\nSELECT {row}, [{}]\nFROM (\n{rows}\n)\nWHERE {}",
            self.key_hash(),
            pieces.join("\n, "),
            self.live_rows_of(keys)
        )
    }

    fn row_hash(&self) -> String {
        let value = |column: &BoundColumn| {
            comparable(quote_identifier(&column.name).as_str(), &column.type_name)
        };
        hash_of(&self.job.columns.iter().map(value).collect::<Vec<_>>())
    }

    fn live_rows_of(&self, keys: &[u64]) -> String {
        format!("{KEY} IN ({}) AND NOT ({})", numbers(keys), self.key.is_deleted())
    }

    /// How a row is removed.
    pub fn removal(&self) -> Removal {
        if self.key.deleted.is_some() { Removal::Tombstone } else { Removal::Delete }
    }

    /// Removes the rows of these keys and versions from a part of the target.
    pub fn remove(&self, partition_id: &str, range: Option<&str>, rows: &[(u64, i128)]) -> String {
        let target = self.job.target.name.quoted();
        let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
        let Some(deleted) = &self.key.deleted else {
            let range = range.map_or_else(String::new, |range| format!(" AND ({range})"));
            let newest = rows.iter().map(|(_, version)| *version).max().unwrap_or_default();
            let (hash, version) = (self.key_hash(), self.key.version_number());
            return format!(
                "DELETE FROM {target} WHERE _partition_id = {}{range} AND {hash} IN ({}) AND {version} <= toInt128('{newest}')",
                quote_literal(partition_id),
                numbers(&keys)
            );
        };
        // The columns that tell which row it is, and to which version it belongs; the others stay
        // at their defaults.
        let columns: Vec<_> = self
            .key
            .own_columns
            .iter()
            .filter(|name| *name != deleted)
            .map(|name| quote_identifier(name).to_string())
            .collect();
        let list = columns.join(", ");
        let pairs: Vec<_> =
            rows.iter().map(|(key, version)| format!("({key}, toInt128('{version}'))")).collect();
        let conditions = format!(
            "_partition_id = {}{}",
            quote_literal(partition_id),
            range.map_or_else(String::new, |range| format!(" AND ({range})"))
        );
        format!(
            "INSERT INTO {target} ({list}, {deleted})\nWITH {} AS {KEY}\nSELECT {list}, 1\nFROM (SELECT * FROM {target} FINAL WHERE {conditions})\nWHERE ({KEY}, {}) IN ({})",
            self.key_hash(),
            self.key.version_number(),
            pairs.join(", "),
            deleted = quote_identifier(deleted)
        )
    }

    fn key_hash(&self) -> String {
        hash_of(&self.key.expressions)
    }

    /// SQL that is true for rows that the job answers for. The line break ends a comment that the
    /// expression may end with.
    fn owned(&self) -> String {
        self.job
            .owned
            .as_ref()
            .map_or_else(|| "1".to_owned(), |owned| format!("({}\n) != 0", owned.sql))
    }

    fn conditions(&self, only: Option<&Buckets>) -> Vec<String> {
        // The upper half of the hash, so that a share has its part in every bucket.
        let share = self
            .share
            .map(|Share { parts, of }| format!("intDiv({KEY}, 4294967296) % {of} < {parts}"));
        let only = only.map(|Buckets { count, numbers: only }| {
            format!("{KEY} % {count} IN ({})", numbers(only))
        });
        let mut conditions: Vec<_> = share.into_iter().chain(only).collect();
        if conditions.is_empty() {
            conditions.push("1".to_owned());
        }
        conditions
    }

    /// Rows with the columns that the table fills itself.
    fn with_defaults(&self, rows: &str) -> String {
        with_defaults(rows, self.key.filled_by_table.iter())
    }
}

/// SQL for the text of a value.
fn text_of(value: &str) -> String {
    let row = format!("formatRow('TabSeparatedRaw', {value})");
    format!("substring({row}, 1, length({row}) - 1)")
}

fn with_defaults<'a>(
    rows: &str,
    defaults: impl Iterator<Item = &'a (String, String, String)>,
) -> String {
    let defaults: Vec<_> = defaults
        .map(|(name, type_name, value)| {
            format!("CAST({value} AS {type_name}) AS {}", quote_identifier(name))
        })
        .collect();
    if defaults.is_empty() {
        rows.to_owned()
    } else {
        format!("SELECT *, {}\nFROM (\n{rows}\n)", defaults.join(", "))
    }
}

/// A list of numbers. An empty one would be no SQL; no hash and no bucket is found by NULL.
fn numbers<T: ToString>(numbers: &[T]) -> String {
    if numbers.is_empty() {
        "NULL".to_owned()
    } else {
        numbers.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }
}
