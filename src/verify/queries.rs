//! The SQL of a comparison: the same queries for both sides. One side is the equivalent join over a
//! part of the source, the other a part of the target.
//!
//! Sums add up the cheap hashes of [`super::hashes`], single rows are compared by the exact ones.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::Attribution;
use super::decode::{BLOCK, MARGIN, start_of};
use super::hashes::{
    JSON_AS_PATHS, JSON_AS_TEXT, needs_json_as_paths, normalized, summed, text_of,
};
use crate::clickhouse::{Column, quote_identifier, quote_literal};
use crate::job::statements::{Scope, finished};
use crate::job::target_key::{TableColumn, TargetKey, hash_of, source_value, with_values};
use crate::job::{BoundColumn, BoundJob, RemovalMethod, narrow};

/// The alias of the key's hash.
const KEY: &str = "`hash of the key`";
/// The alias of whether the target's TTL may have removed a row.
const EXPIRED: &str = "`past the TTL`";
/// The alias of whether the job owns a row.
const OWNED: &str = "`owned by the job`";
/// The alias of whether the job owns a row, past the TTL or not.
const OWNED_OR_EXPIRED: &str = "`owned, also past the TTL`";
/// The alias of whether a row is neither the job's own nor past the TTL.
const OTHER: &str = "`not owned by the job`";

/// A share of all keys, such as 1/100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Share {
    /// The numerator.
    pub parts: u32,
    /// The denominator.
    pub of: u32,
}

impl Share {
    /// `1/100`
    pub(super) fn text(self) -> String {
        format!("{}/{}", self.parts, self.of)
    }

    /// `1%`, or `1/3` where a percentage needs more than two digits after its point.
    pub(crate) fn percentage(self) -> String {
        let (parts, of) = (u64::from(self.parts) * 10_000, u64::from(self.of.max(1)));
        if parts % of != 0 {
            return self.text();
        }
        let (whole, rest) = (parts / of / 100, parts / of % 100);
        let text = format!("{whole}.{rest:02}");
        format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }

    /// This share of things in a row, spread evenly over them: their numbers from 0. At least one; the
    /// same for the same count.
    pub(crate) fn spread(self, count: usize) -> BTreeSet<usize> {
        let (all, parts, of) = (count as u128, u128::from(self.parts), u128::from(self.of.max(1)));
        let chosen = (all * parts).div_ceil(of).clamp(1, all.max(1));
        let middle = |place: u128| usize::try_from((2 * place + 1) * all / (2 * chosen));
        let numbers = (0..chosen).filter_map(|place| middle(place).ok());
        numbers.filter(|number| *number < count).collect()
    }
}

/// How a row is removed from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// By a deleted row of the same version: of equal versions the one inserted last is kept.
    Tombstone,
    /// By a lightweight DELETE.
    Delete,
    /// By a lightweight DELETE if the target has a live row of the same version, which a deleted row
    /// would hide; by a deleted row otherwise.
    TombstoneOrDelete,
}

/// The requested blocks of values: by the position of the column and the hash of the row.
pub(super) type BlockRequests = BTreeMap<usize, BTreeMap<u64, usize>>;

/// The keys whose hash modulo `count` is one of these numbers.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// The modulus.
    pub count: u32,
    /// The remainders.
    pub numbers: Vec<u32>,
}

/// Which rows of some keys a query returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowFilter {
    /// All rows.
    All,
    /// Rows that are marked as deleted.
    Deleted,
    /// Rows of the compared partition of the source that the job does not own.
    NotOwned,
}

/// The queries of one comparison.
#[derive(Clone, Debug)]
pub(super) struct Queries {
    pub job: BoundJob,
    /// The columns of the job that are compared.
    pub compared: Vec<BoundColumn>,
    pub key: TargetKey,
    pub attribution: Attribution,
    /// Whether ranges of the target are read by their winners first.
    pub narrow: bool,
    /// SQL that is true for rows that the target's TTL may have removed.
    pub expired: Option<String>,
    pub share: Option<Share>,
    /// SQL that is true for rows of the target that are compared, where not all chunks are.
    pub of_chunks: Option<String>,
}

impl Queries {
    /// The rows that the job makes of this part of the source.
    pub(super) fn expected(&self, scope: &Scope) -> String {
        self.with_defaults(&finished(&self.job, scope))
    }

    /// The same rows without those that the job owns, or with them where only the join tells whether it
    /// does: then the query has to leave them out.
    pub(super) fn expected_not_owned(&self, scope: &Scope) -> String {
        let mut job = self.job.clone();
        job.exclusions.extend(self.owned_by_source());
        self.with_defaults(&finished(&job, scope))
    }

    /// SQL over a source row that is true if the job owns the row that it makes of it; `None` if the
    /// columns that decide are not the source's alone.
    fn owned_by_source(&self) -> Option<String> {
        let owned = self.job.owned.as_ref().filter(|owned| !owned.columns.is_empty())?;
        let names: Vec<_> = owned.columns.iter().map(String::as_str).collect();
        let values = names.iter().map(|name| source_value(&self.job, name).ok());
        let values = values.map(|value| value.map(|(value, _)| value));
        Some(with_values(&names, &values.collect::<Option<Vec<_>>>()?, &self.job.is_owned()))
    }

    /// The key columns of the rows that the job would make of all versions of this part of the
    /// source, or only of the deleted ones.
    pub(super) fn keys_of_all_versions(&self, scope: &Scope, deleted: bool) -> String {
        let mut job = self.job.clone();
        job.collapse = false;
        job.exclusions.clear();
        job.filters.clear();
        job.before = None;
        job.live_rows = None;
        if let Some(column) = job.source_deleted.take()
            && deleted
        {
            job.exclusions.push(format!("NOT source.{}", quote_identifier(&column)));
        }
        self.keys_of(job, &Scope { older: None, ..scope.clone() })
    }

    /// The key columns of the rows that the job makes of this part of the source, or would make if the
    /// target had no live row of an equal version.
    pub(super) fn expected_keys(&self, scope: &Scope) -> String {
        self.keys_of(BoundJob { live_rows: None, ..self.job.clone() }, scope)
    }

    fn keys_of(&self, mut job: BoundJob, scope: &Scope) -> String {
        let needed = self.columns_of_keys();
        job.columns.retain(|column| needed.iter().any(|name| **name == column.name));
        if job.columns.iter().all(|column| !column.expression.contains("lookup")) {
            job.lookup = None;
        }
        let defaults = self
            .key
            .filled_by_table
            .iter()
            .filter(|column| needed.iter().any(|name| **name == column.name));
        with_defaults(&finished(&job, scope), defaults)
    }

    /// The columns from which the key is computed.
    fn columns_of_keys(&self) -> Vec<&String> {
        let mut names: Vec<_> = self.key.columns.iter().map(|(name, _)| name).collect();
        let mut number = 0;
        while let Some(name) = names.get(number).copied() {
            let mut by_table = self.key.filled_by_table.iter();
            let reads = by_table.find(|column| column.name == *name).map(|column| &column.reads);
            let more: Vec<_> =
                reads.into_iter().flatten().filter(|read| !names.contains(read)).collect();
            names.extend(more);
            number += 1;
        }
        names
    }

    /// The rows of a part of the target, with versions collapsed or not.
    pub(super) fn found(&self, partition_id: &str, range: Option<&str>, collapse: bool) -> String {
        let is_stored = |name: &str| self.job.target.column(name).is_none_or(Column::is_selectable);
        let filled = self.job.columns.iter().map(|column| &column.name);
        let by_table = self.key.filled_by_table.iter().filter(|column| column.is_stored);
        let columns = filled
            .filter(|name| is_stored(name))
            .chain(by_table.map(|column| &column.name))
            .map(|name| quote_identifier(name).to_string());
        let collapse = if collapse && self.job.target.is_replacing() { " FINAL" } else { "" };
        let mut conditions = Vec::new();
        if self.job.target.is_merge_tree() {
            conditions.push(format!("_partition_id = {}", quote_literal(partition_id)));
        }
        conditions.extend(range.map(|range| format!("({range})")));
        let (table, predicate) = (self.job.target.name.quoted(), conditions.join(" AND "));
        let condition = if predicate.is_empty() {
            collapse.to_owned()
        } else if self.narrow && !collapse.is_empty() {
            let winners = format!("FROM {table}{collapse}\nWHERE {predicate}");
            format!("\n{}", narrow(&predicate, &winners))
        } else {
            format!("{collapse}\nWHERE {predicate}")
        };
        let rows =
            format!("SELECT {}\nFROM {table}{condition}", columns.collect::<Vec<_>>().join(", "));
        match &self.of_chunks {
            // Outside, so that it does not choose between versions.
            Some(of_chunks) => format!("SELECT *\nFROM (\n{rows}\n)\nWHERE {of_chunks}"),
            None => rows,
        }
    }

    /// SQL that is true for rows of the target whose key the job makes of one of these parts of the
    /// source, on the same server.
    pub(super) fn has_key_of(&self, scopes: &[Scope]) -> String {
        let hash = self.key_hash();
        let keys = scopes
            .iter()
            .map(|scope| format!("SELECT {hash}\nFROM (\n{}\n)", self.expected_keys(scope)));
        format!("{hash} IN (\n{}\n)", keys.collect::<Vec<_>>().join("\nUNION ALL\n"))
    }

    /// The sums of rows that the job makes.
    pub(super) fn expected_sums(&self, rows: &str, count: u32, only: Option<&Buckets>) -> String {
        self.sums(rows, count, self.conditions(only))
    }

    /// The sums of rows of the target, without rows of other partitions of the source.
    pub(super) fn found_sums(&self, rows: &str, count: u32, only: Option<&Buckets>) -> String {
        let mut conditions = self.conditions(only);
        conditions.extend(self.attribution.condition().map(str::to_owned));
        conditions.extend(self.not_expired());
        self.sums(rows, count, conditions)
    }

    /// For each bucket: its number, the number of owned, other and expired rows, a sum of hashes over
    /// the other rows, the ids of their partitions, and a sum of hashes for each column over the owned
    /// rows. Keys are divided into `count` buckets. Decoded by [`super::sums`].
    fn sums(&self, rows: &str, count: u32, mut conditions: Vec<String>) -> String {
        let name = |number: usize| format!("`hash {number}`");
        let hashes = self.compared.iter().enumerate().map(|(number, column)| {
            let value = quote_identifier(&column.name);
            format!(", {} AS {}\n", summed(KEY, value.as_str(), &column.type_name), name(number))
        });
        let hashes = hashes.collect::<Vec<_>>().concat();
        let names: Vec<_> = (0..self.compared.len()).map(name).collect();
        let others = match self.job.owned {
            Some(_) => format!("sumIf(cityHash64({KEY}, {}), {OTHER})", names.join(", ")),
            None => "toUInt64(0)".to_owned(),
        };
        let sums: Vec<_> = names.iter().map(|name| format!("\n, sumIf({name}, {OWNED})")).collect();
        let sums = sums.concat();
        conditions.push(format!("NOT ({})", self.key.is_deleted()));
        let expired = self.expired.as_deref().unwrap_or("0");
        let (inside, outside) = self.json_settings();
        format!(
            "WITH {} AS {KEY}, {expired} AS {EXPIRED}, {} AS {OWNED_OR_EXPIRED}, {OWNED_OR_EXPIRED} AND NOT {EXPIRED} AS {OWNED}, NOT {OWNED_OR_EXPIRED} AND NOT {EXPIRED} AS {OTHER}\n{hashes}SELECT toUInt32({KEY} % {count}) AS `bucket of the key`, countIf({OWNED}), countIf({OTHER}), countIf({EXPIRED}), {others}, groupUniqArray({}){sums}\nFROM (\n{rows}{inside}\n)\nWHERE {}\nGROUP BY `bucket of the key`{outside}",
            self.key_hash(),
            self.job.is_owned(),
            self.key.partition_id.as_deref().unwrap_or("''"),
            conditions.join(" AND ")
        )
    }

    /// The clauses for the rows and for their sums where JSON is compared: the job's expressions see
    /// its text, as they do when rows are inserted. Keys are hashed the same way by all queries.
    fn json_settings(&self) -> (String, String) {
        let mut columns = self.compared.iter().map(|column| &column.type_name);
        let mut keys = self.key.columns.iter().map(|(_, type_name)| type_name);
        if keys.any(|name| needs_json_as_paths(name))
            || !columns.any(|name| needs_json_as_paths(name))
        {
            return (String::new(), String::new());
        }
        (format!("\nSETTINGS {JSON_AS_TEXT}"), format!("\nSETTINGS {JSON_AS_PATHS}"))
    }

    /// For each row: hash of the key, flags (1 owned, 2 deleted, 4 of the compared partition of the
    /// source), version, hash of all columns. Decoded by [`super::rows`].
    pub(super) fn digests(&self, rows: &str, only: &Buckets, filter: RowFilter) -> String {
        let mut conditions = self.conditions(Some(only));
        conditions.extend(self.not_expired());
        match filter {
            RowFilter::All => {}
            RowFilter::Deleted => conditions.push(self.key.is_deleted()),
            RowFilter::NotOwned => {
                conditions.push(format!("NOT ({})", self.job.is_owned()));
                conditions.extend(self.attribution.condition().map(str::to_owned));
            }
        }
        format!(
            "WITH {} AS {KEY}\nSELECT {KEY}, toUInt8(({}) + 2 * ({}) + 4 * ({})), {}, {}\nFROM (\n{rows}\n)\nWHERE {}",
            self.key_hash(),
            self.job.is_owned(),
            self.key.is_deleted(),
            self.attribution.condition().unwrap_or("1"),
            self.key.version_number(),
            self.row_hash(),
            conditions.join(" AND ")
        )
    }

    /// Only the keys, in the form of [`Queries::digests`].
    pub(super) fn keys(&self, rows: &str, only: &Buckets) -> String {
        let conditions = self.conditions(Some(only)).join(" AND ");
        format!(
            "WITH {} AS {KEY}\nSELECT DISTINCT {KEY}, toUInt8(0), toInt128(0), toUInt64(0)\nFROM (\n{rows}\n)\nWHERE {conditions}",
            self.key_hash()
        )
    }

    /// For rows of these keys: the key's hash, a hash of all columns, the key columns as text, and
    /// each column, with its text for the `shown` keys. Decoded by [`super::decode`].
    pub(super) fn details(&self, rows: &str, keys: &[u64], shown: &[u64]) -> String {
        let texts = self.key.columns.iter().map(|(name, _)| {
            format!("ifNull(toValidUTF8(toString({})), 'NULL')", quote_identifier(name))
        });
        let shown = numbers(shown);
        let cells = self.compared.iter().map(|column| {
            let value = normalized(quote_identifier(&column.name).as_str(), &column.type_name);
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

    /// For rows of these keys: a hash of all columns, and the requested block of each of these
    /// columns. Decoded by [`super::decode`].
    pub(super) fn pieces(&self, rows: &str, keys: &[u64], requests: &BlockRequests) -> String {
        let row = self.row_hash();
        let piece = |(position, blocks): (&usize, &BTreeMap<u64, usize>)| {
            let column = self.compared.get(*position)?;
            let value = normalized(quote_identifier(&column.name).as_str(), &column.type_name);
            let (hashes, starts): (Vec<_>, Vec<_>) =
                blocks.iter().map(|(row, block)| (*row, start_of(*block))).unzip();
            let start = format!(
                "transform({row}, [{}]::Array(UInt64), [{}]::Array(UInt64), toUInt64(0))",
                numbers(&hashes),
                numbers(&starts)
            );
            Some(format!("substring({}, {start} + 1, {})", text_of(&value), BLOCK + 2 * MARGIN))
        };
        let pieces: Vec<_> = requests.iter().filter_map(piece).collect();
        format!(
            "WITH {} AS {KEY}\nSELECT {row}, [{}]\nFROM (\n{rows}\n)\nWHERE {}",
            self.key_hash(),
            pieces.join("\n, "),
            self.live_rows_of(keys)
        )
    }

    fn row_hash(&self) -> String {
        let value = |column: &BoundColumn| {
            normalized(quote_identifier(&column.name).as_str(), &column.type_name)
        };
        hash_of(&self.compared.iter().map(value).collect::<Vec<_>>())
    }

    fn live_rows_of(&self, keys: &[u64]) -> String {
        format!("{KEY} IN ({}) AND NOT ({})", numbers(keys), self.key.is_deleted())
    }

    /// How rows are removed from the target.
    pub(super) fn removal(&self) -> Removal {
        match (&self.key.deleted, &self.job.live_rows) {
            _ if self.job.removal == RemovalMethod::Delete => Removal::Delete,
            (None, _) => Removal::Delete,
            (Some(_), None) => Removal::Tombstone,
            (Some(_), Some(_)) => Removal::TombstoneOrDelete,
        }
    }

    /// The keys and versions of these rows of which a part of the target has a live row, in the form of
    /// [`Queries::digests`]; `None` if no live rows are kept.
    pub(super) fn with_live_row(
        &self,
        partition_id: &str,
        range: Option<&str>,
        rows: &[(u64, i128)],
    ) -> Option<String> {
        let live = &self.job.live_rows.as_ref()?.live;
        let (target, hash) = (self.job.target.name.quoted(), self.key_hash());
        let version = self.key.version_number();
        let range = range.map_or_else(String::new, |range| format!(" AND ({range})"));
        Some(format!(
            "SELECT DISTINCT {hash}, toUInt8(0), {version}, toUInt64(0)\nFROM {target}\nWHERE _partition_id = {}{range} AND ({live}\n) AND ({hash}, {version}) IN ({})",
            quote_literal(partition_id),
            pairs(rows)
        ))
    }

    /// A statement that removes the rows of these keys and versions from a part of the target by deleted
    /// rows; `None` if the target has no mark for them.
    pub(super) fn insert_tombstones(
        &self,
        partition_id: &str,
        range: Option<&str>,
        rows: &[(u64, i128)],
    ) -> Option<String> {
        let target = self.job.target.name.quoted();
        let deleted = self.key.deleted.as_ref()?;
        let mut names = self.columns_of_tombstones();
        names.retain(|name| *name != deleted);
        let joined = |names: &[&String]| {
            let quoted: Vec<_> =
                names.iter().map(|name| quote_identifier(name).to_string()).collect();
            quoted.join(", ")
        };
        let list = joined(&names);
        // An asterisk leaves out the columns that the table computes.
        let computed = self.key.own_columns.iter().filter(|name| !names.contains(name));
        let read = joined(&names.iter().copied().chain(computed).collect::<Vec<_>>());
        let conditions = format!(
            "_partition_id = {}{}",
            quote_literal(partition_id),
            range.map_or_else(String::new, |range| format!(" AND ({range})"))
        );
        Some(format!(
            "INSERT INTO {target} ({list}, {deleted})\nWITH {} AS {KEY}\nSELECT {list}, 1\nFROM (SELECT {read} FROM {target} FINAL WHERE {conditions})\nWHERE ({KEY}, {}) IN ({})",
            self.key_hash(),
            self.key.version_number(),
            pairs(rows),
            deleted = quote_identifier(deleted)
        ))
    }

    /// The columns that a deleted row keeps: those that identify the row and its version, and those that
    /// tell whose it is. The others get their defaults, unless the table computes a part of the key from
    /// them.
    fn columns_of_tombstones(&self) -> Vec<&String> {
        let columns = &self.job.target.columns;
        let whose = [&self.job.owned, &self.job.live].into_iter().flatten();
        let whose: Vec<_> = whose.flat_map(|rows| &rows.columns).collect();
        let is_kept = |name: &String| self.key.own_columns.contains(name) || whose.contains(&name);
        let is_insertable = |column: &&Column| column.is_insertable() && column.is_selectable();
        let is_computed =
            |name: &String| self.job.target.column(name).is_some_and(|own| !is_insertable(&own));
        let keep_all = self.key.own_columns.iter().any(is_computed);
        let kept = columns.iter().filter(is_insertable).map(|column| &column.name);
        kept.filter(|name| keep_all || is_kept(name)).collect()
    }

    fn key_hash(&self) -> String {
        self.key.hash()
    }

    fn not_expired(&self) -> Option<String> {
        self.expired.as_ref().map(|expired| format!("NOT {expired}"))
    }

    /// The ids of all partitions of the target.
    pub(super) fn partitions(&self) -> String {
        format!("SELECT DISTINCT _partition_id FROM {}", self.job.target.name.quoted())
    }

    fn conditions(&self, only: Option<&Buckets>) -> Vec<String> {
        // From the upper half of the hash, so that a share has rows in every bucket.
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

    /// The rows with the columns that the job does not fill.
    fn with_defaults(&self, rows: &str) -> String {
        with_defaults(rows, self.key.filled_by_table.iter())
    }
}

fn with_defaults<'a>(rows: &str, defaults: impl Iterator<Item = &'a TableColumn>) -> String {
    let defaults: Vec<_> = defaults
        .map(|TableColumn { name, type_name, value, .. }| {
            format!("CAST({value} AS {type_name}) AS {}", quote_identifier(name))
        })
        .collect();
    if defaults.is_empty() {
        rows.to_owned()
    } else {
        format!("SELECT *, {}\nFROM (\n{rows}\n)", defaults.join(", "))
    }
}

/// A list of keys and versions for `IN`.
fn pairs(rows: &[(u64, i128)]) -> String {
    let pairs = rows.iter().map(|(key, version)| format!("({key}, toInt128('{version}'))"));
    pairs.collect::<Vec<_>>().join(", ")
}

/// A list of numbers for `IN`. An empty list is a syntax error; NULL matches nothing.
fn numbers<T: ToString>(numbers: &[T]) -> String {
    if numbers.is_empty() {
        "NULL".to_owned()
    } else {
        numbers.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spread_over_all() {
        let spread = |parts, of, count| -> Vec<usize> {
            Share { parts, of }.spread(count).into_iter().collect()
        };
        assert_eq!(spread(1, 100, 300), [50, 150, 250]);
        assert_eq!(spread(1, 100, 8), [4]);
        assert_eq!(spread(1, 2, 3), [0, 2]);
        assert_eq!(spread(1, 100, 1), [0]);
        assert_eq!(spread(1, 100, 0), [0; 0]);
        assert_eq!(spread(1, 1, 5), [0, 1, 2, 3, 4]);
        assert_eq!(spread(99, 100, 1000).len(), 990);
    }

    #[test]
    fn a_share_is_a_percentage_where_two_digits_suffice() {
        let text = |parts, of| Share { parts, of }.percentage();
        assert_eq!([text(1, 100), text(1, 200), text(1, 1)], ["1%", "0.5%", "100%"]);
        assert_eq!([text(1, 3), text(25, 10_000)], ["1/3", "0.25%"]);
    }
}
