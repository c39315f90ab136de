//! Making the plan of a partition.

use serde::Deserialize;

use super::boundaries::boundaries;
use super::ranges::predicates;
use super::{Partition, PlanError};
use crate::clickhouse::{Connection, Error as ServerError, quote_identifier, quote_literal};
use crate::job::BoundJob;
use crate::job::statements::{LookupWindow, Scope};

/// What decides how a partition is cut.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    /// About how many rows a chunk should have, versions not collapsed.
    pub chunk_rows: u64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { chunk_rows: 1_000_000 }
    }
}

/// How a partition is filled.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which partition.
    pub partition: Partition,
    /// Rows in the partition's parts, versions and deletions not collapsed.
    pub stored_rows: u64,
    /// Their bytes, uncompressed.
    pub stored_bytes: u64,
    /// Active parts of the partition.
    pub parts: u64,
    /// The whole partition, with the lookup's window.
    pub scope: Scope,
    /// The waves in their order; none where the partition has no rows.
    pub waves: Vec<Wave>,
}

/// What is looked up at once.
#[derive(Clone, Debug)]
pub struct Wave {
    /// The chunks that are streamed against it.
    pub chunks: Vec<Chunk>,
}

/// A range of the source's primary key.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its number in the plan, from 0.
    pub number: usize,
    /// The range as a predicate; `None` for the whole partition.
    pub range: Option<String>,
}

impl Plan {
    /// Chunks of all waves.
    pub fn chunks(&self) -> usize {
        self.waves.iter().map(|wave| wave.chunks.len()).sum()
    }
}

/// A cut costs one or two granules in each part; a chunk of at least this many granules of each part keeps that small.
const GRANULES_A_PART: u64 = 16;
const GRANULE_ROWS: u64 = 8192;

/// Plans a partition.
///
/// # Errors
/// [`PlanError`]; a partition without rows is not one, its plan has no waves.
pub async fn plan(connection: &Connection, job: &BoundJob, partition: &Partition, options: PlanOptions) -> Result<Plan, PlanError> {
    let table = &job.source;
    let failed = |what| move |source: ServerError| PlanError::Server { what, table: table.name.clone(), source };
    if matches!(partition, Partition::Month(_)) && !table.partition_key.starts_with("toYYYYMM(") {
        let key = if table.partition_key.is_empty() { "nothing (its only partition is id:all)" } else { &table.partition_key };
        return Err(PlanError::PartitionedOtherwise { table: table.name.clone(), partition_key: key.to_owned() });
    }
    let stored = stored(connection, job, partition).await.map_err(failed("counting the rows"))?;
    let window = window(connection, job, partition).await.map_err(failed("asking for the times"))?;
    let scope = Scope { partition_id: partition.id().to_owned(), range: None, window };
    let mut plan = Plan {
        partition: partition.clone(),
        stored_rows: stored.rows,
        stored_bytes: stored.bytes,
        parts: stored.parts,
        scope,
        waves: Vec::new(),
    };
    if stored.rows == 0 {
        return Ok(plan);
    }
    let chunk_rows = options.chunk_rows.max(GRANULES_A_PART * GRANULE_ROWS * stored.parts).max(1);
    let found = boundaries(connection, table, partition.id(), chunk_rows).await?;
    let chunks = predicates(&found.key, &found.bounds).into_iter().enumerate().map(|(number, range)| Chunk { number, range }).collect();
    plan.waves.push(Wave { chunks });
    Ok(plan)
}

#[derive(Deserialize)]
struct Stored {
    rows: u64,
    bytes: u64,
    parts: u64,
}

async fn stored(connection: &Connection, job: &BoundJob, partition: &Partition) -> Result<Stored, ServerError> {
    let (database, table) = (quote_literal(&job.source.name.database), quote_literal(&job.source.name.table));
    let sql = format!(
        "SELECT sum(rows) AS rows, sum(data_uncompressed_bytes) AS bytes, count() AS parts FROM system.parts \
         WHERE active AND database = {database} AND table = {table} AND partition_id = {}",
        quote_literal(partition.id())
    );
    connection.row("plan", &sql).await
}

/// The lookup's window around the times of the partition's rows, whatever their versions.
async fn window(connection: &Connection, job: &BoundJob, partition: &Partition) -> Result<Option<LookupWindow>, ServerError> {
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
    Ok(Some(LookupWindow {
        from: times.earliest.saturating_sub(days(window.days_before)),
        to: times.latest.saturating_add(days(window.days_after)),
    }))
}
