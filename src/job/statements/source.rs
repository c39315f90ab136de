//! The source query: key columns, cast as in the join, then the source columns that the expressions
//! read; and the scope of statements.

use serde::Deserialize;

use super::older::OlderRows;
use crate::clickhouse::{
    Connection, Error as ServerError, Quoted, Settings, TableSchema, quote_identifier,
    quote_literal,
};
use crate::formats::native::{READ_JSON_SETTING, READ_SETTINGS, SourceLayout};
use crate::job::bound::{BoundJob, BoundLookup};

/// The last column of every streamed row: one byte, always 0.
///
/// A server before 25.11 ends a response that fails with the text of the exception, and the last
/// value of a row may quote one. This byte ends each row instead; it is dropped when rows are
/// enriched and loaded.
pub(crate) const END_OF_ROW: (&str, &str) = ("end of row", "UInt8");

/// SQL for that column.
pub(super) const SELECT_END_OF_ROW: &str = "toUInt8(0)";

/// A partition, or a range of it, with the lookup's window that belongs to it.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The source's partition id, as in `_partition_id`.
    pub partition_id: String,
    /// A predicate over the source's sorting key, already quoted; `None` for the whole partition.
    pub range: Option<String>,
    /// The lookup's times; `None` for all.
    pub window: Option<LookupTimes>,
    /// The bucket of the join's keys; `None` for all.
    pub bucket: Option<Bucket>,
    /// Rows of the partition that are not the newest of their id; `None` if all rows count.
    pub(crate) older: Option<OlderRows>,
}

/// The keys whose hash has this remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The remainder, below `count`.
    pub index: u32,
    /// The divisor.
    pub count: u32,
}

impl Bucket {
    /// The predicate over the key's columns, given as SQL. In a tuple NULL has a hash, so rows without
    /// a key belong to a bucket too.
    pub(crate) fn predicate(self, keys: impl Iterator<Item = String>) -> String {
        format!(
            "cityHash64(tuple({})) % {} = {}",
            keys.collect::<Vec<_>>().join(", "),
            self.count,
            self.index
        )
    }
}

impl Scope {
    /// No row: no partition has an empty id.
    pub(crate) fn of_nothing() -> Self {
        Self { partition_id: String::new(), range: None, window: None, bucket: None, older: None }
    }

    /// Limits the scope to a bucket of the join's keys.
    #[must_use]
    pub fn in_bucket(&self, bucket: Option<Bucket>) -> Self {
        Self { bucket, ..self.clone() }
    }

    /// Limits the scope to a range of the sorting key.
    #[must_use]
    pub fn within(&self, range: Option<&str>) -> Self {
        Self { range: range.map(str::to_owned), ..self.clone() }
    }

    /// The scope for statements that are shown: they name older rows by the query that finds them.
    #[must_use]
    pub(crate) fn shown(&self) -> Self {
        Self { older: self.older.as_ref().map(OlderRows::shown), ..self.clone() }
    }

    /// The range that PostgreSQL evaluates.
    fn range_outside(&self) -> Option<&str> {
        if self.partition_id.is_empty() { Some("false") } else { self.range.as_deref() }
    }

    /// The predicate on the source. It names the partition's id: a predicate on the time would miss
    /// rows before 1970, because `toDate` wraps. For objects it names the objects; PostgreSQL has
    /// [evaluated](BoundJob::from) it.
    pub(super) fn predicate(&self, job: &BoundJob) -> String {
        if let Some(objects) = &job.objects {
            return match &self.range {
                _ if self.partition_id.is_empty() => "0".to_owned(),
                Some(object) => object.clone(),
                None => objects.predicate(),
            };
        }
        if job.postgres.is_some() {
            return if self.partition_id.is_empty() { "0" } else { "1" }.to_owned();
        }
        let partition: Quoted = quote_literal(&self.partition_id);
        match &self.range {
            Some(range) => format!("_partition_id = {partition} AND ({range})"),
            None => format!("_partition_id = {partition}"),
        }
    }
}

/// A closed range of the lookup's time column, in microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupTimes {
    /// The earliest time.
    pub from: i64,
    /// The latest time.
    pub to: i64,
}

/// Times before this fit into every time type: 2105 is the last whole year of `DateTime`.
const SAFE_UNTIL: i64 = 4_291_747_200_000_000;

impl LookupTimes {
    /// The predicate on the lookup's time column.
    ///
    /// Beyond the years 1970 to 2105, `identity` hides the column from the primary index: `toDate` in
    /// a sorting key wraps there, and the index would skip granules with rows of the window.
    pub(super) fn predicate(self, lookup: &BoundLookup) -> Option<String> {
        let window = lookup.window.as_ref()?;
        let column = quote_identifier(&window.column);
        let safe = self.from >= 0 && self.to < SAFE_UNTIL;
        let column = if safe { column.to_string() } else { format!("identity({column})") };
        let time =
            |microseconds: i64| format!("fromUnixTimestamp64Micro(toInt64({microseconds}), 'UTC')");
        Some(format!("{column} >= {} AND {column} <= {}", time(self.from), time(self.to)))
    }
}

/// Rows of the scope for `FORMAT RowBinary`, in any order: ordering would more than double the cost
/// of reading.
pub(crate) fn source(job: &BoundJob, scope: &Scope) -> String {
    format!("SELECT {}\n{}", list(job), from_winners(job, scope))
}

/// The select list of a source row.
pub(super) fn list(job: &BoundJob) -> String {
    columns(job).chain([SELECT_END_OF_ROW.to_owned()]).collect::<Vec<_>>().join(", ")
}

/// The same rows in a fixed order: by the sorting key, and if rows may share it, by all selected
/// columns.
pub(crate) fn source_in_order(job: &BoundJob, scope: &Scope) -> String {
    let table = &job.source;
    // The server's text of the key, a list of columns.
    let mut order: Vec<_> =
        Some(table.sorting_key.clone()).filter(|key| !key.is_empty()).into_iter().collect();
    let is_unique = job.collapse && table.is_replacing() && !order.is_empty();
    let columns: Vec<_> = columns(job).collect();
    if !is_unique && !columns.is_empty() {
        // Not all types can be compared, but their bytes can.
        order.push(format!("formatRow('RowBinary', {})", columns.join(", ")));
    }
    let order =
        if order.is_empty() { String::new() } else { format!("\nORDER BY {}", order.join(", ")) };
    format!("{}{order}", source(job, scope))
}

/// The columns that expressions and keys need.
fn columns(job: &BoundJob) -> impl Iterator<Item = String> + '_ {
    let columns = job
        .source_columns
        .iter()
        .map(|column| format!("source.{}", quote_identifier(&column.name)));
    job.lookup.iter().flat_map(keys).chain(columns)
}

/// Counts the rows of the source query.
pub(crate) fn count(job: &BoundJob, scope: &Scope) -> String {
    format!("SELECT count() AS rows\n{}", from(job, scope))
}

/// The same with a sum of hashes of the rows' sorting keys, `keys`, which tells whether other rows were
/// counted; 0 if rows have no key of their own.
pub(crate) fn count_with_keys(job: &BoundJob, scope: &Scope) -> String {
    let keys = if job.counts_keys() {
        format!("sum(cityHash64(tuple({})))", job.source.sorting_key)
    } else {
        "toUInt64(0)".to_owned()
    };
    format!("SELECT count() AS rows, {keys} AS keys\n{}", from(job, scope))
}

/// How many rows of the scope meet a condition, which is made of `FROM … WHERE …` for all versions of
/// these rows.
pub(crate) fn count_where(
    job: &BoundJob,
    scope: &Scope,
    condition: impl Fn(&str) -> String,
) -> String {
    format!("{}\n  AND {}", count(job, scope), condition(&any_version(job, scope)))
}

/// The settings of the source query.
///
/// One thread a stream: several chunks are read at once anyway, and FINAL in several threads needs
/// 1.6 times the memory and a tenth more processor time for the same rows.
pub(crate) fn source_settings(job: &BoundJob) -> Settings {
    let settings = Settings::read().with("max_threads", "1").with_all(&job.settings.source.0);
    narrow_settings(settings, job.narrow)
}

/// The settings of the source query where it is read as Native blocks of about these rows and bytes.
pub(crate) fn source_blocks_settings(
    job: &BoundJob,
    layout: &SourceLayout,
    rows: u64,
    bytes: u64,
) -> Settings {
    let sizes = [("max_block_size", rows), ("preferred_block_size_bytes", bytes)];
    // Those of the job prevail.
    let sizes = sizes
        .into_iter()
        .filter(|(name, _)| !job.settings.source.0.contains_key(*name))
        .map(|(name, value)| (name, value.to_string()));
    let settings = source_settings(job).with_all(sizes).with_all(READ_SETTINGS);
    if layout.contains_json() {
        let (name, value) = READ_JSON_SETTING;
        return settings.with(name, value);
    }
    settings
}

/// The settings of counts of the source: the server's threads.
pub(crate) fn count_settings(job: &BoundJob) -> Settings {
    Settings::read().with_all(&job.settings.source.0)
}

/// The key's columns, cast as in the join.
pub(super) fn keys(lookup: &BoundLookup) -> impl Iterator<Item = String> + '_ {
    lookup
        .keys
        .iter()
        .map(|key| format!("CAST(source.{} AS {})", quote_identifier(&key.source), key.type_name))
}

/// `FROM … WHERE …` for the rows of [`from`], by a narrow read where that costs less.
pub(super) fn from_winners(job: &BoundJob, scope: &Scope) -> String {
    if !(job.narrow && job.collapse) {
        return from(job, scope);
    }
    let table = job.from(scope.range_outside());
    format!("FROM {table} AS source\n{}", narrow(&scope.predicate(job), &from(job, scope)))
}

/// The rows of the source that a job reads, among those of a table that meet a condition: `FROM … WHERE …`.
pub(super) fn from_where(job: &BoundJob, table: &str, condition: &str) -> String {
    let collapse = if job.collapse { " FINAL" } else { "" };
    let head = format!("FROM {table} AS source{collapse}\nWHERE {condition}");
    let live = job
        .source_deleted
        .iter()
        .map(|deleted| format!("AND NOT source.{}", quote_identifier(deleted)));
    // The line break ends a comment at the end of the exclusion.
    let kept = job.exclusions.iter().map(|exclusion| format!("AND NOT ({exclusion}\n)"));
    let filters = job.filters.iter().map(|(_, filter)| format!("AND ({filter}\n)"));
    let before = job.before.iter().map(|before| format!("AND {}", before.predicate));
    let horizon = job.group.iter().flat_map(|group| &group.horizon);
    let whole = horizon.map(|horizon| format!("AND NOT {}", horizon.of_source));
    std::iter::once(head)
        .chain(live)
        .chain(kept)
        .chain(filters)
        .chain(before)
        .chain(whole)
        .collect::<Vec<_>>()
        .join("\n  ")
}

/// `FROM … WHERE …`, the same for every statement that reads the source.
pub(super) fn from(job: &BoundJob, scope: &Scope) -> String {
    let head = from_where(job, &job.from(scope.range_outside()), &scope.predicate(job));
    let of_live_writers = job
        .live_rows
        .iter()
        .map(|rows| format!("AND NOT ({})", rows.predicate(&any_version(job, scope))));
    let bucket = scope.bucket.iter().flat_map(|bucket| {
        job.lookup.iter().map(|lookup| format!("AND {}", bucket.predicate(keys(lookup))))
    });
    let older = scope.older.iter().filter_map(|older| older.predicate(job));
    std::iter::once(head)
        .chain(of_live_writers)
        .chain(bucket)
        .chain(older)
        .collect::<Vec<_>>()
        .join("\n  ")
}

/// `FROM … WHERE …` for all versions of the scope's rows, including excluded ones.
pub(super) fn any_version(job: &BoundJob, scope: &Scope) -> String {
    let bucket = scope
        .bucket
        .iter()
        .zip(&job.lookup)
        .map(|(bucket, lookup)| format!("\n  AND {}", bucket.predicate(keys(lookup))));
    format!(
        "FROM {} AS source\nWHERE {}{}",
        job.from(scope.range_outside()),
        scope.predicate(job),
        bucket.collect::<String>()
    )
}

/// SQL for the greatest block number of the part that a row lies in. A part is named
/// `<partition id>_<least block>_<greatest block>_<level>`, and a partition's id has no `_`.
const NEWEST_BLOCK_OF_PART: &str = "toUInt64OrZero(splitByChar('_', _part)[3])";

/// The rows of the partition whose newest version is a deletion that lies in a part with a block
/// after this one, in the form of the source query. `None` where the source has no deleted flag, or
/// no sorting key that tells rows apart.
///
/// A deletion that ties with a live version is none where the server does not take it for one.
pub(crate) fn deleted_after(job: &BoundJob, partition_id: &str, block: u64) -> Option<String> {
    deleted_rows_after(job, partition_id, block, &list(job))
}

/// The same rows with another select list.
pub(crate) fn deleted_rows_after(
    job: &BoundJob,
    partition_id: &str,
    block: u64,
    list: &str,
) -> Option<String> {
    let deleted = format!("source.{}", quote_identifier(job.source_deleted.as_ref()?));
    let key = &job.source.sorting_key;
    if key.is_empty() || key.contains(" DESC") {
        return None;
    }
    let (table, partition) = (job.source.name.quoted(), quote_literal(partition_id));
    let rows = format!(
        "FROM {table} AS source\nWHERE _partition_id = {partition} AND {deleted} AND {NEWEST_BLOCK_OF_PART} > {block}"
    );
    let live = format!(
        "SELECT tuple({key}) FROM {table} AS source FINAL\nWHERE _partition_id = {partition} AND NOT {deleted}"
    );
    Some(format!(
        "SELECT {list}\n{rows}\nAND tuple({key}) NOT IN (\n{live}\nAND tuple({key}) IN (\nSELECT tuple({key})\n{rows}))"
    ))
}

/// The settings of that query: keys that are NULL are equal.
pub(crate) fn deleted_settings(job: &BoundJob) -> Settings {
    source_settings(job).with("transform_null_in", "1")
}

// Narrow reads.
//
// FINAL keeps a decompressed block of each column of each part in memory while it merges rows that
// share a key. A *narrow* read finds the winners by FINAL over the few columns that decide, and reads
// all columns of those rows alone, without FINAL: the same rows for a fifth of the memory. A row is
// recognized by its position among the rows of all parts, so both reads, which are one statement,
// must see the same parts. Servers that cannot promise that are read by plain FINAL.

/// The setting under which all reads of one statement see the same parts of a table.
const SHARED_SNAPSHOT: &str = "enable_shared_storage_snapshot_in_query";
/// SQL for the position of a row among the rows of all parts that the statement sees.
const POSITION: &str = "(_part_starting_offset + _part_offset)";
/// From this many uncompressed bytes a row on, a narrow read needs less of the server's CPU. Below 500, it
/// needs a tenth to a half more, and saves little memory.
const MIN_ROW_BYTES: u32 = 1000;

/// Whether a narrow read of this table sees one snapshot and costs less than FINAL.
///
/// # Errors
/// Those of the query.
pub(crate) async fn is_read_narrow(
    connection: &Connection,
    table: &TableSchema,
) -> Result<bool, ServerError> {
    #[derive(Deserialize)]
    struct Answer {
        yes: u8,
    }
    // FINAL of other engines makes rows that no part has.
    let plain = table.engine.trim_start_matches("Replicated");
    if plain != "ReplacingMergeTree" {
        return Ok(false);
    }
    let (database, name) = (quote_literal(&table.name.database), quote_literal(&table.name.table));
    let is_shared = format!(
        "SELECT count() > 0 AS yes FROM system.settings WHERE name = '{SHARED_SNAPSHOT}' AND (value = '1' OR readonly = 0)"
    );
    let is_wide = format!(
        "SELECT count() > 0 AS yes FROM system.tables WHERE database = {database} AND name = {name} \
         AND total_rows > 0 AND total_bytes_uncompressed >= {MIN_ROW_BYTES} * total_rows"
    );
    // Older servers do not have what the later questions name.
    for sql in [is_shared, is_wide] {
        if connection.row::<Answer>("narrow", &sql).await?.yes == 0 {
            return Ok(false);
        }
    }
    let position = format!("SELECT {POSITION} FROM {} LIMIT 0", table.name.quoted());
    Ok(connection.execute("narrow", &position, &Settings::read()).await.is_ok())
}

/// `WHERE …` for the rows of `table` that meet `predicate` and are among the `winners`, which is made
/// of `FROM … FINAL WHERE …` over the same table.
pub(crate) fn narrow(predicate: &str, winners: &str) -> String {
    format!(
        "WHERE {predicate}\n  AND {POSITION} IN (\n    SELECT {POSITION}\n    {}\n  )",
        winners.replace('\n', "\n    ")
    )
}

/// The settings of a statement, with those of a narrow read if it has one.
pub(crate) fn narrow_settings(settings: Settings, narrow: bool) -> Settings {
    if !narrow {
        return settings;
    }
    // The cache would keep which granules an earlier set of positions lay in.
    settings.with(SHARED_SNAPSHOT, "1").with("use_query_condition_cache", "0")
}
