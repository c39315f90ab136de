//! The sweep: rows that were deleted in the source during a load.
//!
//! `FINAL` hides a deleted row, so no chunk contains it. If a row is deleted after its chunk was
//! read, it would be live in the target and gone from the source. So at the end of a load, the
//! deletions among the rows that were inserted since are sent as well. Their versions are newer, and
//! their flag hides the row in the target as it does in the source. A job with `removal = "delete"`
//! deletes the rows of these keys instead. A deletion that is sent twice changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::batch::{Batch, BatchBuilder};
use super::counters::Counters;
use super::enrich::columns;
use super::error::{PipelineError, ReadError};
use super::report::{ChunkAttempt, ChunkBook, KeyShare};
use super::shared::Shared;
use crate::clickhouse::{Error as ServerError, ErrorClass, Settings, TableName, replacing_columns};
use crate::job::removal::{DeleteTables, KeyedRows, RowBatch, in_batches, removal_settings};
use crate::job::target_key::TargetKey;
use crate::job::{BoundJob, RemovalMethod, statements};
use crate::plan::{ChunkId, Plan};
use crate::retry::{FailedAttempt, FailureKind, RetryError, Retryable, milliseconds};

/// Copies the deletions since the plan was made, and returns their number; `None` if nothing is done,
/// because the target does not collapse by the source's version and deleted flag, or because rows are
/// deleted by a key that the source alone does not give.
pub(super) async fn sweep(
    shared: &Shared,
    plan: &Plan,
    miss: &[u8],
) -> Result<Option<u64>, PipelineError> {
    let Some(block) = plan.bounds.newest_block else { return Ok(None) };
    // Nothing is swept into a target whose partition is replaced.
    if shared.options.dry_run || shared.options.stage.is_some() {
        return Ok(None);
    }
    let partition_id = &plan.scope.partition_id;
    if shared.job.removal == RemovalMethod::Delete {
        return delete_rows(shared, partition_id, block).await;
    }
    let Some(sql) = statements::deleted_after(&shared.job, partition_id, block) else {
        return Ok(None);
    };
    if !takes_deletions(shared).await? {
        return Ok(None);
    }
    let mut sweeping = Sweeping { shared, plan, sql, miss };
    let swept = shared.at_source().run(&mut sweeping).await;
    swept.map(Some).map_err(|error| match error {
        RetryError::GaveUp { error, .. }
        | RetryError::Lost { error, .. }
        | RetryError::Interrupted { error } => match error {
            SweepError::Insert(error) => error,
            SweepError::Read(error) => PipelineError::Deletions {
                table: shared.job.source.name.clone(),
                source: error.into(),
            },
        },
    })
}

/// Whether a deleted version of a source row hides the row's older versions in the target.
async fn takes_deletions(shared: &Shared) -> Result<bool, PipelineError> {
    let (job, target) = (&shared.job, &shared.servers.target);
    let name = &job.target.name;
    let engine = async || replacing_columns(target, name).await;
    let found = ask_target(shared, "asking for the engine", name, engine).await?;
    Ok(found.is_some_and(|(version, deleted)| {
        let copies_deleted =
            job.source_deleted.as_ref().is_some_and(|flag| copied(job, &deleted) == Some(flag));
        copies_deleted && copied(job, &version).is_some()
    }))
}

/// The source column that fills this column of the target, unchanged.
fn copied<'a>(job: &'a BoundJob, name: &str) -> Option<&'a str> {
    let column = job.columns.iter().find(|column| column.name == name)?;
    let source = column.expression.trim().strip_prefix("source.")?;
    job.source.column(source).map(|column| column.name.as_str())
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Read(ReadError),
    #[error(transparent)]
    Insert(PipelineError),
}

impl<E: Into<ReadError>> From<E> for SweepError {
    fn from(error: E) -> Self {
        Self::Read(error.into())
    }
}

/// The stream of deletions.
struct Sweeping<'a> {
    shared: &'a Shared,
    plan: &'a Plan,
    sql: String,
    miss: &'a [u8],
}

impl Retryable for Sweeping<'_> {
    type Output = u64;
    type Error = SweepError;

    async fn attempt(&mut self) -> Result<u64, SweepError> {
        send(self.shared, self.plan, &self.sql, self.miss).await
    }

    async fn diagnose(&mut self, error: &SweepError) -> FailureKind {
        match error {
            SweepError::Read(error) => error.into(),
            // It was retried already.
            SweepError::Insert(_) => FailureKind::of(ErrorClass::Fatal),
        }
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, SweepError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        tracing::warn!(attempt = number, pause_ms = milliseconds(pause), %error, "reading deletions broke off, they are read again");
    }
}

/// Reads the deletions and inserts them as misses, batch by batch.
async fn send(shared: &Shared, plan: &Plan, sql: &str, miss: &[u8]) -> Result<u64, SweepError> {
    // These rows belong to no chunk, and are not counted.
    let counters = Arc::new(Counters::default());
    let attempt = ChunkAttempt::begin(
        ChunkId::planned(plan.chunks.len()),
        KeyShare::of(None),
        Arc::new(ChunkBook::new(None, BTreeMap::new(), counters.clone())),
        counters,
    );
    let mut stream =
        shared.servers.source.stream("deleted", sql, &statements::deleted_settings(&shared.job))?;
    let mut framer = shared.source_framer();
    let mut builder = BatchBuilder::new(attempt, shared.batch_limits(None), &shared.options.format);
    let mut rows = 0;
    while let Some(piece) = stream.next().await? {
        framer.push(&piece, &mut |group| {
            rows += group.len() as u64;
            for row in group {
                builder.push(columns(&row), miss)?;
            }
            Ok::<(), ReadError>(())
        })?;
        for batch in builder.take_full() {
            insert(shared, &batch).await.map_err(SweepError::Insert)?;
        }
        tokio::task::consume_budget().await;
    }
    framer.finish()?;
    for batch in builder.take_all()? {
        insert(shared, &batch).await.map_err(SweepError::Insert)?;
    }
    Ok(rows)
}

async fn insert(shared: &Shared, batch: &Batch) -> Result<(), PipelineError> {
    let token = format!("{}-deleted-{:032x}", shared.options.token_prefix, batch.digest);
    let settings: Settings =
        shared.insert_settings.clone().with("insert_deduplication_token", &token);
    let insert = async || shared.insert(&settings, &batch.body.pieces).await;
    ask_target(shared, "inserting deletions", &shared.job.target.name, insert).await
}

/// A statement on the server of the target, with retries.
async fn ask_target<T>(
    shared: &Shared,
    what: &'static str,
    table: &TableName,
    statement: impl AsyncFn() -> Result<T, ServerError>,
) -> Result<T, PipelineError> {
    shared.at_target().ask(what, statement).await.map_err(|error| PipelineError::Query {
        what,
        table: table.clone(),
        source: Box::new(error.into_error()),
    })
}

/// Deletes the rows of the target whose source rows were deleted since this block, in the target and in
/// what its views fill.
async fn delete_rows(
    shared: &Shared,
    partition_id: &str,
    block: u64,
) -> Result<Option<u64>, PipelineError> {
    let (job, target) = (&shared.job, &shared.servers.target);
    if job.source_deleted.is_none() || !job.target.is_merge_tree() {
        return Ok(None);
    }
    let name = &job.target.name;
    let read = async || TargetKey::read(target, job, &job.columns, &[]).await;
    let key = ask_target(shared, "asking for the key", name, read).await?;
    let Some(batches) = deleted_batches(shared, &key, partition_id, block).await? else {
        return Ok(None);
    };
    if batches.is_empty() {
        return Ok(Some(0));
    }
    let tables = async || DeleteTables::read(target, job, &key).await;
    let tables = ask_target(shared, "listing the views", name, tables).await?;
    for table in &tables.unreachable {
        let reason = &table.reason;
        tracing::warn!(reason, "rows that were deleted in the source stay in {}", table.name);
    }
    let mut deleted = 0;
    for (partition, rows) in batches {
        deleted += rows.len() as u64;
        let rows = KeyedRows { partition_id: partition.as_deref(), range: None, rows: &rows };
        for (table, sql) in tables.statements(job, &key, rows) {
            let settings = removal_settings(&sql);
            let delete = async || {
                shared.confirm_claim().await?;
                target.execute("delete", &sql, &settings).await
            };
            ask_target(shared, "deleting rows", table, delete).await?;
        }
    }
    Ok(Some(deleted))
}

/// The keys and versions of rows that were deleted in the source since this block; `None` if the source
/// alone does not give the key.
async fn deleted_batches(
    shared: &Shared,
    key: &TargetKey,
    partition_id: &str,
    block: u64,
) -> Result<Option<Vec<RowBatch>>, PipelineError> {
    #[derive(Deserialize)]
    struct Deleted {
        row: (u64, String, String),
    }
    let job = &shared.job;
    let made = match key.made_of_source(job) {
        Ok(made) => format!("{made} AS row"),
        Err(reason) => {
            tracing::debug!(reason, "the keys of deleted rows are unknown");
            return Ok(None);
        }
    };
    let Some(sql) = statements::deleted_rows_after(job, partition_id, block, &made) else {
        return Ok(None);
    };
    let (what, source, settings) =
        ("reading deletions", &shared.servers.source, statements::deleted_settings(job));
    let read = async || source.rows_with::<Deleted>("deleted", &sql, &settings).await;
    let found = shared.at_source().ask(what, read).await.map_err(|error| PipelineError::Query {
        what,
        table: job.source.name.clone(),
        source: Box::new(error.into_error()),
    })?;
    let rows = found.into_iter().filter_map(|Deleted { row: (key, version, partition) }| {
        Some((Some(partition).filter(|id| !id.is_empty()), key, version.parse().ok()?))
    });
    Ok(Some(in_batches(rows)))
}
