//! Planning a partition.

use serde::Deserialize;

use super::attributes::{AttributeStatistics, LeadingColumn, longest, statistics};
use super::boundaries::{Stored, boundaries, check_bounds, stored};
use super::chunk::{Chunk, ChunkBounds};
use super::error::PlanError;
use super::key::KeyColumn;
use super::memory::MemoryPlan;
use super::partition::{Partition, PartitionError};
use super::waves::WavePlanner;
use crate::clickhouse::{
    Connection, Error as ServerError, TableName, TableSchema, quote_identifier, quote_literal,
};
use crate::job::statements::{self, LookupTimes, OlderRows, Scope, older_rows};
use crate::job::{BoundJob, BoundObjects, BoundPostgres};

/// Options of a plan.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Approximate maximum of rows in a chunk; versions are not collapsed.
    pub chunk_rows: u64,
    /// How the memory is divided.
    pub memory: MemoryPlan,
    /// The bounds of an earlier plan, to rebuild exactly its chunks; `None` for new ones.
    pub bounds: Option<ChunkBounds>,
    /// Whether attributes are held in the memory of this process, so that those of a key must fit.
    pub holds_attributes: bool,
}

impl PlanOptions {
    /// New chunks of the usual size.
    pub fn new(memory: MemoryPlan) -> Self {
        Self { chunk_rows: DEFAULT_CHUNK_ROWS, memory, bounds: None, holds_attributes: true }
    }
}

/// Bytes of a chunk, uncompressed, unless it would have too few granules.
const CHUNK_BYTES: u64 = 256 << 20;
/// Chunks are not made smaller than this many granules of each part for their bytes.
const LEAST_GRANULES_A_PART: u64 = 8;

/// Rows of a chunk, unless memory requires smaller ones.
pub(crate) const DEFAULT_CHUNK_ROWS: u64 = 1_000_000;

/// How a partition is filled.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The partition.
    pub partition: Partition,
    /// Rows in the partition's parts; versions and deletions are not collapsed.
    pub stored_rows: u64,
    /// Their uncompressed bytes; 0 if unknown.
    pub stored_bytes: u64,
    /// Active parts of the partition.
    pub parts: u64,
    /// The whole partition, with the lookup's window.
    pub scope: Scope,
    /// How the memory is divided.
    pub memory: MemoryPlan,
    /// The bounds between the chunks.
    pub bounds: ChunkBounds,
    /// The chunks in order; none if the partition has no rows and no bounds were given.
    pub chunks: Vec<Chunk>,
    /// Groups the chunks into waves.
    pub waves: WavePlanner,
}

/// How a partition has changed since its plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Whether rows were inserted, or changed or deleted by a mutation.
    pub written: bool,
    /// Whether rows were changed in place: by a mutation, or by a lightweight UPDATE or DELETE.
    pub updated: bool,
    /// Whether it has fewer rows, superseded ones included: merges remove these too.
    pub fewer_rows: bool,
}

impl Plan {
    /// How the partition has changed since the plan was made.
    ///
    /// # Errors
    /// Those of the query.
    pub(crate) async fn changes(
        &self,
        connection: &Connection,
        table: &TableSchema,
    ) -> Result<Changes, ServerError> {
        if !self.bounds.objects.is_empty() || self.bounds.ranges.is_some() {
            // Statements throw where an object has changed. PostgreSQL does not tell what has.
            return Ok(Changes { written: false, updated: false, fewer_rows: false });
        }
        let now = stored(connection, table, &self.partition).await?;
        let newest = self.bounds.newest_block;
        Ok(Changes {
            written: newest.is_none_or(|newest| now.newest_block > newest),
            updated: newest.is_some_and(|newest| now.newest_update > newest),
            fewer_rows: now.rows < self.stored_rows,
        })
    }
}

/// Each cut reads one or two extra granules of each part. Chunks of at least this many granules of
/// each part keep that share small.
const GRANULES_A_PART: u64 = 16;
const GRANULE_ROWS: u64 = 8192;
/// The default of `index_granularity_bytes`.
const GRANULE_BYTES: u64 = 10 << 20;
/// Chunks of a wave, if there are several waves.
const CHUNKS_A_WAVE: f64 = 4.0;

/// Plans a partition.
///
/// # Errors
/// [`PlanError`]. A partition without rows is no error: its plan has no waves.
pub async fn plan(
    connection: &Connection,
    job: &BoundJob,
    partition: &Partition,
    options: PlanOptions,
) -> Result<Plan, PlanError> {
    let table = &job.source;
    let failed = |what| {
        move |source: ServerError| PlanError::Server { what, table: table.name.clone(), source }
    };
    if let Some(objects) = &job.objects {
        return plan_objects(job, objects, partition, options);
    }
    if let Some(postgres) = &job.postgres {
        return plan_ranges(connection, job, postgres, partition, options).await;
    }
    check_partitioning(table, partition)?;
    let stored = stored(connection, table, partition).await.map_err(failed("counting the rows"))?;
    let window =
        window(connection, job, partition).await.map_err(failed("asking for the times"))?;
    let older = find_older_rows(connection, job, partition)
        .await
        .map_err(failed("looking for older rows of the same id"))?;
    let scope =
        Scope { partition_id: partition.id().to_owned(), range: None, window, bucket: None, older };
    let Division { bounds, mut waves } = match options.bounds {
        Some(bounds) => {
            check_bounds(connection, table, &bounds).await?;
            let leading = LeadingColumn::find(job, &bounds);
            let attributes = attributes(connection, job, window, leading.as_ref()).await?;
            Division::new(bounds, leading, attributes, &options.memory)
        }
        None if stored.rows == 0 => {
            Division { bounds: ChunkBounds::default(), waves: WavePlanner::new(0, None, None, 0) }
        }
        None => {
            divide(connection, job, &stored, window, options.chunk_rows, &options.memory).await?
        }
    };
    let chunks = if waves.has_chunks() { bounds.chunks(stored.rows) } else { Vec::new() };
    if options.holds_attributes && !chunks.is_empty() {
        waves.reserve(longest_that_fits(connection, job, window, &options.memory).await?);
    }
    Ok(Plan {
        partition: partition.clone(),
        stored_rows: stored.rows,
        stored_bytes: stored.bytes,
        parts: stored.parts,
        scope,
        memory: options.memory,
        bounds,
        chunks,
        waves,
    })
}

/// Plans the objects of a period, of which each is a chunk.
fn plan_objects(
    job: &BoundJob,
    objects: &BoundObjects,
    partition: &Partition,
    options: PlanOptions,
) -> Result<Plan, PlanError> {
    let bounds = match options.bounds {
        None => ChunkBounds::of_objects(objects),
        Some(bounds) => {
            let changes = objects.changes_since(&bounds.objects);
            if !changes.is_empty() {
                let objects = job.source.name.clone();
                return Err(PlanError::OtherObjects { objects, changes });
            }
            bounds
        }
    };
    let (rows, parts) = (objects.rows().unwrap_or_default(), objects.pins.len() as u64);
    Ok(plan_outside(partition, options.memory, bounds, rows, parts))
}

/// Plans the rows of a query of PostgreSQL, of which each range is a chunk.
async fn plan_ranges(
    connection: &Connection,
    job: &BoundJob,
    postgres: &BoundPostgres,
    partition: &Partition,
    options: PlanOptions,
) -> Result<Plan, PlanError> {
    let table = &job.source.name;
    let failed =
        |what| move |source: ServerError| PlanError::Server { what, table: table.clone(), source };
    let count = postgres.count(connection).await.map_err(failed("counting the rows"))?;
    let bounds = if let Some(bounds) = options.bounds {
        bounds
    } else {
        let found = postgres.ranges(connection, &count, options.chunk_rows).await;
        ChunkBounds::of_ranges(found.map_err(failed("dividing the rows"))?)
    };
    let planned_by = bounds.ranges.as_ref().map(|ranges| ranges.column.as_str());
    if planned_by != Some(postgres.range()) {
        return Err(PlanError::OtherRange {
            table: table.clone(),
            bounds: planned_by.unwrap_or("nothing").to_owned(),
            range: postgres.range().to_owned(),
        });
    }
    let mut plan = plan_outside(partition, options.memory, bounds, count.rows, 1);
    if count.rows == 0 {
        plan.chunks.clear();
    }
    Ok(plan)
}

/// The plan of what is read outside of tables. Its bytes are not those of rows.
fn plan_outside(
    partition: &Partition,
    memory: MemoryPlan,
    bounds: ChunkBounds,
    rows: u64,
    parts: u64,
) -> Plan {
    Plan {
        partition: partition.clone(),
        stored_rows: rows,
        stored_bytes: 0,
        parts,
        scope: Scope { partition_id: partition.id().to_owned(), ..Scope::of_nothing() },
        memory,
        chunks: bounds.chunks(rows),
        waves: WavePlanner::new(bounds.chunk_count(), None, None, 0),
        bounds,
    }
}

/// Refuses a month of a table that is not partitioned by months.
fn check_partitioning(table: &TableSchema, partition: &Partition) -> Result<(), PlanError> {
    if let Partition::Period(period) = partition {
        return Err(PartitionError::NotAMonth(period.clone()).into());
    }
    let by_month = table.partition_key.starts_with("toYYYYMM(");
    if by_month || !matches!(partition, Partition::Month(_)) {
        return Ok(());
    }
    let key = if table.partition_key.is_empty() {
        "nothing (its only partition is id:all)"
    } else {
        &table.partition_key
    };
    Err(PlanError::PartitionedOtherwise {
        table: table.name.clone(),
        partition_key: key.to_owned(),
    })
}

/// A partition cut into chunks, and their grouping into waves.
struct Division {
    bounds: ChunkBounds,
    waves: WavePlanner,
}

impl Division {
    fn new(
        bounds: ChunkBounds,
        leading: Option<LeadingColumn>,
        attributes: Option<AttributeStatistics>,
        memory: &MemoryPlan,
    ) -> Self {
        let waves = WavePlanner::new(bounds.chunk_count(), leading, attributes, memory.attributes);
        Self { bounds, waves }
    }
}

/// Cuts a partition into chunks of about `chunk_rows` rows, or fewer if its attributes do not fit into
/// memory at once.
async fn divide(
    connection: &Connection,
    job: &BoundJob,
    stored: &Stored,
    window: Option<LookupTimes>,
    chunk_rows: u64,
    memory: &MemoryPlan,
) -> Result<Division, PlanError> {
    let wanted = match chunk_rows {
        DEFAULT_CHUNK_ROWS => rows_of_bytes(stored, chunk_rows),
        ..DEFAULT_CHUNK_ROWS => chunk_rows,
        _ => chunk_rows.max(GRANULES_A_PART * GRANULE_ROWS * stored.parts),
    };
    let usable = |key| group_columns(job, key);
    let mut bounds = boundaries(connection, &job.source, stored, wanted, usable).await?;
    let mut leading = LeadingColumn::find(job, &bounds);
    let mut attributes = attributes(connection, job, window, leading.as_ref()).await?;
    let needed = attributes.as_ref().map_or(0.0, AttributeStatistics::bytes);
    if needed > memory.attributes as f64 {
        // Several waves: a few chunks must fit into one, otherwise single chunks would have to be
        // split into buckets.
        let waves = needed / memory.wave().max(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of rows, never negative"
        )]
        let chunk_rows = (stored.rows as f64 / (waves * CHUNKS_A_WAVE)) as u64;
        let chunk_rows = chunk_rows.max(GRANULE_ROWS * stored.parts).min(wanted);
        bounds = boundaries(connection, &job.source, stored, chunk_rows, usable).await?;
        leading = LeadingColumn::find(job, &bounds);
        attributes = self::attributes(connection, job, window, leading.as_ref()).await?;
    }
    bounds.newest_block = Some(stored.newest_block);
    Ok(Division::new(bounds, leading, attributes, memory))
}

/// Of the source's key, the columns that the bounds of chunks may be in. The leading ones that a job groups
/// by cut no group; where there are none, groups whose parts merge may be cut, and others lie in one
/// chunk.
fn group_columns(job: &BoundJob, key: Vec<KeyColumn>) -> Vec<KeyColumn> {
    let Some(group) = &job.group else { return key };
    let leading = key.iter().take_while(|column| group.along.contains(&column.name)).count();
    match leading {
        0 if group.is_mergeable() => key,
        leading => key.into_iter().take(leading).collect(),
    }
}

/// The rows of a chunk for which none are asked: fewer where rows are large, since what a chunk has
/// inserted is inserted again when its run is killed.
fn rows_of_bytes(stored: &Stored, chunk_rows: u64) -> u64 {
    let usual = chunk_rows.max(GRANULES_A_PART * GRANULE_ROWS * stored.parts);
    let row_bytes = stored.bytes / stored.rows.max(1);
    if row_bytes == 0 {
        return usual;
    }
    // A granule ends at 8192 rows or at about 10 MiB.
    let granule_rows = GRANULE_ROWS.min((GRANULE_BYTES / row_bytes).max(1));
    let least = LEAST_GRANULES_A_PART * granule_rows * stored.parts;
    usual.min((CHUNK_BYTES / row_bytes).max(least).max(1))
}

/// Predicates of primary-key ranges that together cover a partition, of about `rows` rows each
/// (versions not collapsed); `None` is the whole partition. All versions of a row lie in one range.
///
/// # Errors
/// [`PlanError::Server`].
pub(crate) async fn table_ranges(
    connection: &Connection,
    table: &TableSchema,
    partition_id: &str,
    rows: u64,
) -> Result<Vec<Option<String>>, PlanError> {
    let failed =
        |source| PlanError::Server { what: "counting the rows", table: table.name.clone(), source };
    let stored =
        stored(connection, table, &Partition::Id(partition_id.to_owned())).await.map_err(failed)?;
    let found = boundaries(connection, table, &stored, rows, |key| key).await?;
    Ok(found.chunks(stored.rows).into_iter().map(|chunk| chunk.range).collect())
}

/// Counts and measures the rows that will be looked up; `None` for a job without a lookup.
async fn attributes(
    connection: &Connection,
    job: &BoundJob,
    window: Option<LookupTimes>,
    leading: Option<&LeadingColumn>,
) -> Result<Option<AttributeStatistics>, PlanError> {
    let Some(lookup) = &job.lookup else { return Ok(None) };
    let found = statistics(connection, lookup, window, leading).await;
    let failed = |source| PlanError::Server {
        what: "counting the attributes",
        table: lookup.table.name.clone(),
        source,
    };
    found.map(Some).map_err(failed)
}

/// The bytes of the longest attributes, or 0 where they are short.
///
/// # Errors
/// [`PlanError::LongAttributes`] where they do not fit the memory.
async fn longest_that_fits(
    connection: &Connection,
    job: &BoundJob,
    window: Option<LookupTimes>,
    memory: &MemoryPlan,
) -> Result<u64, PlanError> {
    let Some(lookup) = &job.lookup else { return Ok(0) };
    let table = &lookup.table.name;
    let found = longest(connection, lookup, window, memory.longest_attributes() / 16).await;
    let found = found.map_err(|source| PlanError::Server {
        what: "measuring the attributes",
        table: table.clone(),
        source,
    })?;
    let Some(longest) = found else { return Ok(0) };
    if longest.bytes <= memory.longest_attributes() {
        return Ok(longest.bytes);
    }
    let columns: Vec<_> = lookup.keys.iter().map(|key| key.lookup.as_str()).collect();
    Err(PlanError::LongAttributes {
        table: table.clone(),
        key: format!("{} = {}", columns.join(", "), longest.key),
        longest: longest.bytes,
        total: memory.total,
        limit: memory.longest_attributes(),
        needed: memory.total_for(longest.bytes),
    })
}

/// Ids of which older rows are looked for in one query: 100 to 200 bytes of the server's memory for each.
const IDS_AT_ONCE: u64 = 4_000_000;

/// The rows of the partition that are older than another of the same id; `None` for a job that takes
/// all.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn find_older_rows(
    connection: &Connection,
    job: &BoundJob,
    partition: &Partition,
) -> Result<Option<OlderRows>, ServerError> {
    #[derive(Deserialize)]
    struct Table {
        total_rows: Option<u64>,
    }
    let Some(newest_by) = &job.newest_by else { return Ok(None) };
    let stored = stored(connection, &job.source, partition).await?;
    let settings = statements::count_settings(job);
    let count = u32::try_from(stored.rows.div_ceil(IDS_AT_ONCE)).unwrap_or(u32::MAX);
    let mut keys = Vec::new();
    for index in 0..count {
        let sql = older_rows(job, newest_by, partition.id(), (index, count));
        keys.extend(connection.fetch("older", &sql, "TSV", &settings).await?);
    }
    let TableName { database, table } = &job.source.name;
    let sql = format!(
        "SELECT total_rows FROM system.tables WHERE database = {} AND name = {}",
        quote_literal(database),
        quote_literal(table)
    );
    let table = connection.rows::<Table>("older", &sql).await?.pop();
    let read_rows = table.and_then(|table| table.total_rows).map(|rows| rows * u64::from(count));
    let shown = older_rows(job, newest_by, partition.id(), (0, 1));
    Ok(Some(OlderRows::new(shown, &String::from_utf8_lossy(&keys), read_rows)))
}

/// The lookup's window around the times of the partition's rows of all versions.
async fn window(
    connection: &Connection,
    job: &BoundJob,
    partition: &Partition,
) -> Result<Option<LookupTimes>, ServerError> {
    #[derive(Deserialize)]
    struct Times {
        earliest: i64,
        latest: i64,
    }
    const DAY: i64 = 86_400_000_000;
    let window = job.lookup.as_ref().and_then(|lookup| lookup.window.as_ref());
    let (Some(window), Some(time)) = (window, job.source_time.as_ref()) else { return Ok(None) };
    let time = quote_identifier(time);
    let sql = format!(
        "SELECT toUnixTimestamp64Micro(toDateTime64(min({time}), 6, 'UTC')) AS earliest, toUnixTimestamp64Micro(toDateTime64(max({time}), 6, 'UTC')) AS latest \
         FROM {} WHERE _partition_id = {}",
        job.source.name.quoted(),
        quote_literal(partition.id())
    );
    let times = connection.row::<Times>("plan", &sql).await?;
    let days = |days: u32| i64::from(days).saturating_mul(DAY);
    Ok(Some(LookupTimes {
        from: times.earliest.saturating_sub(days(window.days_before)),
        to: times.latest.saturating_add(days(window.days_after)),
    }))
}
