//! A job bound to its tables: the input of its statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cutoff::Cutoff;
use super::keys::{
    Condition, EqualVersion, LookupWindow, Publish, RemovalMethod, StatementSettings,
};
use super::merging::Combining;
use super::objects::BoundObjects;
use super::postgres::BoundPostgres;
use crate::clickhouse::{Settings, TableSchema};
use crate::formats::native::{NativeLayout, SourceLayout};
use crate::formats::rowbinary::{RowLayout, VersionEncoding};

/// A job whose tables, columns and types were checked.
#[derive(Clone, Debug)]
pub struct BoundJob {
    /// The job's name.
    pub name: String,
    /// Where the job was read.
    pub origin: String,
    /// The source table; for objects, their columns.
    pub source: TableSchema,
    /// The objects that are read; `None` for a table.
    pub objects: Option<Arc<BoundObjects>>,
    /// The query of PostgreSQL that is read; `None` for a table.
    pub postgres: Option<Arc<BoundPostgres>>,
    /// Whether the source is read FINAL.
    pub collapse: bool,
    /// Whether chunks of the source are read by their winners first.
    pub(crate) narrow: bool,
    /// The source's deleted flag.
    pub source_deleted: Option<String>,
    /// What identifies a row of which only the newest counts, beyond the sorting key.
    pub(crate) newest_by: Option<NewestBy>,
    /// Whether a copy of the partition is read.
    pub(crate) snapshot: bool,
    /// The source's time column.
    pub source_time: Option<String>,
    /// Predicates of the rows that are left out.
    pub exclusions: Vec<String>,
    /// The filters of which all must be true, by name.
    pub filters: Vec<(String, String)>,
    /// Only rows before this moment.
    pub(crate) before: Option<Cutoff>,
    /// The source columns that expressions read, in the order of the source query.
    pub source_columns: Vec<UsedColumn>,
    /// The lookup.
    pub lookup: Option<BoundLookup>,
    /// The target table.
    pub target: TableSchema,
    /// Selects the target's rows that belong to the job; `None` for all.
    pub owned: Option<Owned>,
    /// Which row is kept if a live writer's row has the key and the version of a row of the job.
    pub on_equal_version: EqualVersion,
    /// How rows get into the target.
    pub publish: Publish,
    /// How many replaced versions of a partition are kept.
    pub keep_versions: u32,
    /// Selects the target's rows of live writers; `None` if the job does not say which these are.
    pub live: Option<Owned>,
    /// Recognizes the source rows that are left out because of a live row of an equal version.
    pub(crate) live_rows: Option<LiveRows>,
    /// How rows are removed from the target.
    pub(crate) removal: RemovalMethod,
    /// The conditions that must not hold when a run starts, by name.
    pub(crate) checks: BTreeMap<String, Condition>,
    /// How rows of the source are grouped; `None` for a job of rows.
    pub group: Option<BoundGroup>,
    /// The columns that are written.
    pub columns: Vec<BoundColumn>,
    /// Columns of the job that are not written, with the reason.
    pub left_out: Vec<LeftOut>,
    /// Columns of the target that stay at their defaults.
    pub defaults: Vec<String>,
    /// Settings of the job.
    pub settings: StatementSettings,
    /// Settings that inserts need to be deduplicated by the target's server; the job's settings
    /// override them.
    pub deduplication_settings: Settings,
    /// The framing of a source row; the key columns are marked.
    pub source_layout: Arc<RowLayout>,
    /// The layout of Native blocks that are read, with the same columns; or the reason why rows are read
    /// as RowBinary.
    pub source_blocks: Result<Arc<SourceLayout>, String>,
    /// The layout of Native blocks, or the reason why rows are inserted as RowBinary.
    pub native_layout: Result<Arc<NativeLayout>, String>,
    /// Remarks for the user.
    pub remarks: Vec<String>,
}

/// The rows of the source of which only the newest counts, although they have several sorting keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewestBy {
    /// The columns in which they are equal.
    pub columns: Vec<String>,
    /// The column whose greatest value is the newest version.
    pub version: String,
}

/// How a job groups the rows of its source.
#[derive(Clone, Debug)]
pub struct BoundGroup {
    /// The keys: the leading columns of the job.
    pub keys: Vec<String>,
    /// SQL for each key over a row of the source.
    pub(crate) expressions: Vec<String>,
    /// What fills the other columns.
    pub(crate) aggregates: Vec<Aggregate>,
    /// Columns of the source that are keys themselves.
    pub(crate) along: Vec<String>,
    /// SQL for the partition id of a group over the target's columns.
    pub(crate) partition_id: String,
    /// The columns that it reads.
    pub(crate) partition_columns: Vec<String>,
    /// Groups that keep what the target has; `None` if the source loses no rows.
    pub(crate) horizon: Option<Horizon>,
}

/// Which groups may have lost rows of the source to its TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// Rows that the TTL removes by this moment count as lost, in seconds since 1970.
    pub moment: i64,
    /// SQL over a row of the source that is true if it belongs to such a group.
    pub of_source: String,
    /// SQL over the target's columns that is true for such a group.
    pub of_target: String,
}

/// An aggregate of a group.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    /// The aggregate function.
    pub function: String,
    /// How its values combine when rows of a group are merged.
    pub combining: Combining,
}

impl BoundGroup {
    /// Whether parts of a group may reach the target by themselves, since merges combine them.
    pub(crate) fn is_mergeable(&self) -> bool {
        self.aggregates.iter().all(|aggregate| aggregate.combining != Combining::Whole)
    }

    /// `GROUP BY` of the keys.
    pub(crate) fn clause(&self) -> String {
        format!("\nGROUP BY {}", self.expressions.join("\n, "))
    }
}

/// A condition on the target's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// SQL over the target's columns.
    pub sql: String,
    /// The columns that it reads.
    pub columns: Vec<String>,
}

/// The lookup side of a bound job.
#[derive(Clone, Debug)]
pub struct BoundLookup {
    /// The table.
    pub table: TableSchema,
    /// The key's columns.
    pub keys: Vec<BoundKey>,
    /// The column whose greatest value is the newest version.
    pub version: Option<BoundVersion>,
    /// The deleted flag.
    pub deleted: Option<String>,
    /// The window around the partition's times.
    pub window: Option<LookupWindow>,
    /// The type of the window's column.
    pub window_type: Option<String>,
    /// The lookup columns that expressions read.
    pub columns: Vec<UsedColumn>,
    /// The framing of a row of the lookup query; all columns are marked.
    pub layout: Arc<RowLayout>,
    /// The framing of a row of a deferred look-up; the key columns are marked.
    pub deferred_layout: Arc<RowLayout>,
}

/// The lookup's version column.
#[derive(Clone, Debug)]
pub struct BoundVersion {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// The order of its bytes.
    pub encoding: VersionEncoding,
}

/// One column of the join's key.
#[derive(Clone, Debug)]
pub struct BoundKey {
    /// The source's column.
    pub source: String,
    /// The lookup's column.
    pub lookup: String,
    /// The common type to which the join casts both.
    pub type_name: String,
    /// Whether the common type can be NULL; a NULL key is a miss.
    pub nullable: bool,
}

/// A column that expressions read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedColumn {
    /// Its name in its table.
    pub name: String,
    /// Its type.
    pub type_name: String,
}

/// A column of the target and its expression.
#[derive(Clone, Debug)]
pub struct BoundColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// The expression.
    pub expression: String,
    /// The expression's type.
    pub expression_type: String,
    /// The columns that it reads, as `source.x` and `lookup.y`.
    pub inputs: Vec<String>,
}

/// A column of the job that is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Owned {
    /// SQL that is true for these rows and never NULL. The expression may end with a comment, hence the
    /// line break.
    pub(crate) fn is_true(&self) -> String {
        format!("ifNull(({}\n) != 0, 0)", self.sql)
    }
}

impl BoundColumn {
    /// Whether its expression reads the lookup.
    pub(crate) fn reads_lookup(&self) -> bool {
        self.inputs.iter().any(|input| input.starts_with("lookup."))
    }
}

impl BoundJob {
    /// The job with only these columns of the target, and what they read. A job that groups keeps its
    /// keys.
    pub(crate) fn narrowed_to(&self, keeps: impl Fn(&str) -> bool) -> Self {
        let is_key = |name: &String| self.group.iter().any(|group| group.keys.contains(name));
        let keeps = |column: &&BoundColumn| keeps(&column.name) || is_key(&column.name);
        let columns: Vec<_> = self.columns.iter().filter(keeps).cloned().collect();
        let is_read = |used: &&UsedColumn| {
            let qualified = format!("source.{}", used.name);
            columns.iter().any(|column| column.inputs.contains(&qualified))
        };
        let source_columns = self.source_columns.iter().filter(is_read).cloned().collect();
        let reads_lookup = columns.iter().any(BoundColumn::reads_lookup);
        let lookup = self.lookup.clone().filter(|_| reads_lookup);
        Self { source_columns, lookup, columns, ..self.clone() }
    }

    /// What stands behind FROM to read the source, of which PostgreSQL sends only this range.
    pub(crate) fn from(&self, range: Option<&str>) -> String {
        match (&self.objects, &self.postgres) {
            (Some(objects), _) => objects.function.clone(),
            (None, Some(postgres)) => postgres.function(range),
            (None, None) => self.source.name.quoted(),
        }
    }

    /// What it reads, in a word, if that is no table.
    pub(crate) fn outside(&self) -> Option<&'static str> {
        match (&self.objects, &self.postgres) {
            (Some(_), _) => Some("objects"),
            (None, Some(_)) => Some("PostgreSQL"),
            (None, None) => None,
        }
    }

    /// Whether it reads no table, but objects or PostgreSQL by a function of the server.
    pub(crate) fn reads_outside(&self) -> bool {
        self.outside().is_some()
    }

    /// Whether other periods of what it reads outside of tables have rows of their own.
    pub(crate) fn is_of_period(&self) -> bool {
        self.objects.as_ref().is_some_and(|objects| objects.is_of_period)
            || self.postgres.as_ref().is_some_and(|postgres| postgres.is_of_period)
    }

    /// SQL that is true for the target's rows that belong to the job.
    pub(crate) fn is_owned(&self) -> String {
        self.owned.as_ref().map_or_else(|| "1".to_owned(), Owned::is_true)
    }

    /// Whether each row of the source has a sorting key of its own.
    pub(crate) fn counts_keys(&self) -> bool {
        let key = &self.source.sorting_key;
        self.collapse && self.source.is_replacing() && !key.is_empty() && !key.contains(" DESC")
    }

    /// Whether keys that are not in the lookup's window are looked up again without it.
    pub fn has_deferred_lookup(&self) -> bool {
        self.source_time.is_some()
            && self.lookup.as_ref().is_some_and(|lookup| lookup.window.is_some())
    }
}

impl BoundLookup {
    /// Positions of the key's columns that can be NULL.
    pub fn nullable_keys(&self) -> Vec<usize> {
        self.keys
            .iter()
            .enumerate()
            .filter(|(_, key)| key.nullable)
            .map(|(position, _)| position)
            .collect()
    }
}

/// Recognizes source rows of which the target has a live row of the same key and version.
///
/// Of equal versions, a ReplacingMergeTree keeps the row that was inserted last, so a backfill replaces
/// such rows; without a version column, all versions are equal. A job says with `[target]
/// on_equal_version` which row is kept. For `live`, the rows in question are left out of the source by
/// one predicate in every statement that reads the source: the query of a chunk, the count, and the
/// equivalent join, hence also in `verify` and `repair`. No two statements can disagree about them.
///
/// Other ways were rejected. A version that is lower by the smallest step changes a value that users
/// read, does not exist for the least version, and also loses to rows of an earlier backfill. Inserting
/// the live rows once more after the run is too late, since a merge may have removed them. An
/// anti-join in each insert reads the live rows for every batch instead of every chunk, and leaves the
/// equivalent join with rows that the target never has.
///
/// The predicate is evaluated when a chunk is read. A live row of an equal version that is inserted
/// between this moment and the insert of the chunk's rows is still replaced. If it comes later, it is the
/// last one and is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveRows {
    /// SQL over a source row for a hash of the key and the version of the row that it becomes.
    pub made: String,
    /// The same over a row of the target.
    pub found: String,
    /// Columns of the target, each with SQL for its value over a source row: only rows between the
    /// least and the greatest value of a scope are read.
    pub bounds: Vec<(String, String)>,
    /// SQL over the target's columns that is true for rows of live writers.
    pub live: String,
    /// The target, quoted.
    pub target: String,
}

impl LiveRows {
    /// SQL that is true for source rows of which the target has a live row of the same key and
    /// version. `scope`: `FROM … WHERE …` for all versions of the rows in question.
    pub(crate) fn predicate(&self, scope: &str) -> String {
        let least_and_greatest: Vec<_> =
            self.bounds.iter().map(|(_, value)| format!("min({value}), max({value})")).collect();
        // The server evaluates equal scalar subqueries once.
        let limits = format!("(SELECT tuple({}) {scope})", least_and_greatest.join(", "));
        let bounds = self.bounds.iter().enumerate().map(|(number, (column, _))| {
            let (least, greatest) = (2 * number + 1, 2 * number + 2);
            format!("\n    AND {column} BETWEEN {limits}.{least} AND {limits}.{greatest}")
        });
        format!(
            "{} IN (\n    SELECT {} FROM {}\n    WHERE ({}\n    ){})",
            self.made,
            self.found,
            self.target,
            self.live,
            bounds.collect::<String>()
        )
    }
}
