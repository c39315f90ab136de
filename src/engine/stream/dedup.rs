//! How the target handles rows that are sent twice. Retries after a lost answer, chunks that are read
//! again and resumed runs all send rows twice.
//!
//! | Target | Repeated rows | Chunks are read |
//! |---|---|---|
//! | `ReplacingMergeTree` | collapse by the sorting key, whatever the batches | in any order |
//! | another MergeTree with a deduplication window | are recognized by their token, if the batch has the same rows | in order, so that it has |
//! | anything else | stay | not at all, unless duplicates are allowed |

use super::batch_size::LEAST_BATCH_ROWS;
use super::shared::PipelineOptions;
use crate::clickhouse::{
    Connection, Deduplication, Error as ServerError, TableName, deduplication,
    deduplication_disabled_by, is_replicated,
};
use crate::engine::Engine;
use crate::job::BoundJob;
use crate::plan::Plan;

/// What keeps repeated rows out of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DedupStrategy {
    /// They collapse by the sorting key.
    Collapse,
    /// The target recognizes the last blocks. Batches must have the same rows every time: see
    /// [`PipelineOptions::ordered`].
    Recognized {
        /// In blocks.
        window: u64,
    },
    /// Nothing, and duplicates are allowed.
    Stay,
}

/// The strategy for a target, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DedupPlan {
    /// What keeps repeated rows out of the target.
    pub strategy: DedupStrategy,
    /// Remarks for a person.
    pub remarks: Vec<String>,
    /// Whether the server reports the target as empty.
    pub target_is_empty: bool,
    /// The rows below which batches must not shrink, so that no more blocks lie between a block and its
    /// repetition than the target recognizes.
    pub least_batch_rows: u64,
}

/// Why repeated rows would stay in the target.
#[derive(Debug, thiserror::Error)]
pub enum DedupError {
    /// The target neither collapses rows nor recognizes blocks.
    #[error(
        "the target table {target} has the engine {engine} and no window of blocks that it recognizes: rows that are sent twice would stay twice"
    )]
    NoWindow {
        /// Which table.
        target: TableName,
        /// Its engine.
        engine: String,
        /// The setting that gives it a window; `None` where no setting does.
        setting: Option<&'static str>,
    },
    /// The window is too small.
    #[error(
        "the target table {target} recognizes the last {window} blocks, and {needed} may be inserted between a block and its repetition: rows that are sent twice would stay twice"
    )]
    WindowTooSmall {
        /// Which table.
        target: TableName,
        /// In blocks.
        window: u64,
        /// In blocks.
        needed: u64,
        /// The setting that makes it larger.
        setting: &'static str,
    },
    /// The job's settings keep the target from recognizing blocks.
    #[error(
        "the job sets {setting} = 'disable', so that no repeated block is recognized in {target}: rows that are sent twice would stay twice"
    )]
    SwitchedOff {
        /// Which table.
        target: TableName,
        /// Which setting.
        setting: String,
    },
    /// A view passes repeated rows on.
    #[error(
        "the view {view} fills {target} ({engine}), which has no window of blocks that it recognizes: what is sent twice would be there twice"
    )]
    View {
        /// Which view, with its database.
        view: String,
        /// The table that it fills.
        target: TableName,
        /// Its engine.
        engine: String,
        /// The setting that gives it a window.
        setting: &'static str,
    },
    /// The server engine cannot repeat a chunk.
    #[error(
        "--engine server repeats a chunk as a whole, which only a target that collapses rows takes once, and the target table {target} has the engine {engine}"
    )]
    ServerEngine {
        /// Which table.
        target: TableName,
        /// Its engine.
        engine: String,
    },
    /// An earlier version of the load filled the target with other tokens.
    #[error(
        "{target} has rows, of which run {run_id} may have inserted some; it recognizes repeated blocks by the tokens of their run, and another version of the load has others: those rows would be there twice"
    )]
    Again {
        /// Which table.
        target: TableName,
        /// The version of the load before.
        run_id: String,
    },
    /// The query failed.
    #[error("asking how the target table {target} treats repeated blocks failed")]
    Server {
        /// Which table.
        target: TableName,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
}

impl DedupError {
    /// Whether a partition of the target could be replaced as a whole.
    pub(crate) fn is_lifted_by_replacing(&self) -> bool {
        const OF_PLAIN_TABLES: &str = "non_replicated_deduplication_window";
        match self {
            Self::ServerEngine { engine, .. } => !is_replicated(engine),
            Self::NoWindow { setting, .. } => *setting == Some(OF_PLAIN_TABLES),
            Self::WindowTooSmall { setting, .. } => *setting == OF_PLAIN_TABLES,
            Self::SwitchedOff { .. }
            | Self::View { .. }
            | Self::Again { .. }
            | Self::Server { .. } => false,
        }
    }
}

/// Finds the strategy for the target and the tables that its views fill. `allowed`: duplicates may
/// stay.
///
/// # Errors
/// [`DedupError`] where duplicates would stay and may not, and where the query fails.
pub(crate) async fn find_dedup_strategy(
    target: &Connection,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
    allowed: bool,
) -> Result<DedupPlan, DedupError> {
    let name = &job.target.name;
    let mut tables = match deduplication(target, name).await {
        Ok(tables) => tables,
        // Rows collapse in any case.
        Err(error) if job.target.is_replacing() => {
            tracing::debug!(%error, "the server does not say what views the target has");
            Vec::new()
        }
        Err(source) => {
            return Err(DedupError::Server { target: name.clone(), source: Box::new(source) });
        }
    };
    let settings = options.insert_settings(job);
    let switched_off = deduplication_disabled_by(&settings);
    if switched_off.is_some() {
        // A view sees every insert, and its table does not recognize blocks either.
        for table in &mut tables {
            table.window = 0;
        }
    }
    let plan = decide(job, &tables, switched_off, &BlockCounts::of(plan, options), allowed)?;
    match plan.strategy {
        DedupStrategy::Recognized { .. } if options.engine == Engine::Server => {
            let (target, engine) = (name.clone(), job.target.engine.clone());
            Err(DedupError::ServerEngine { target, engine })
        }
        _ => Ok(plan),
    }
}

/// An estimate of the rows of a batch, from the sizes of rows in the source.
pub(crate) fn rows_of_a_batch(plan: &Plan, options: &PipelineOptions) -> u64 {
    let row_bytes = (plan.stored_bytes / plan.stored_rows.max(1)).max(1);
    (options.batch_bytes / row_bytes).clamp(1, options.batch_rows.max(1))
}

/// An estimate of the number of batches of all chunks, from the sizes of rows in the source.
pub(crate) fn estimated_batches(plan: &Plan, options: &PipelineOptions) -> u64 {
    if plan.stored_rows == 0 { 0 } else { BlockCounts::of(plan, options).all }
}

impl DedupPlan {
    /// The same for a load that begins anew after run `before` inserted rows: its blocks have other
    /// tokens, so the target does not recognize them.
    ///
    /// # Errors
    /// [`DedupError::Again`], unless rows collapse, the target is empty, or duplicates may stay.
    pub(crate) fn anew(
        mut self,
        target: &TableName,
        before: &str,
        allowed: bool,
    ) -> Result<Self, DedupError> {
        if self.target_is_empty || !matches!(self.strategy, DedupStrategy::Recognized { .. }) {
            return Ok(self);
        }
        let again = DedupError::Again { target: target.clone(), run_id: before.to_owned() };
        if !allowed {
            return Err(again);
        }
        self.remarks.push(format!("{again}; that is allowed"));
        Ok(self)
    }
}

/// Numbers of blocks that a run inserts.
#[derive(Clone, Copy, Debug)]
struct BlockCounts {
    /// Between a block and its repetition.
    between: u64,
    /// In all.
    all: u64,
    /// Rows of a chunk.
    chunk_rows: u64,
    readers: u64,
    /// Blocks that are inserted at once, and those that others insert meanwhile.
    inserts: u64,
}

impl BlockCounts {
    /// An estimate that takes rows to be as large as in the source, uncompressed.
    fn of(plan: &Plan, options: &PipelineOptions) -> Self {
        let batch_rows = rows_of_a_batch(plan, options);
        let all = plan.stored_rows.div_ceil(batch_rows).max(1);
        let chunks = plan.chunks.len().max(1) as u64;
        let of_a_chunk = all.div_ceil(chunks);
        let (readers, inserts) =
            (options.readers.most() as u64, 3 * options.inserters.most() as u64);
        // A chunk that is read again repeats all of its blocks, and so do all chunks in progress
        // when a run is killed. Others go on meanwhile.
        let between = of_a_chunk.saturating_mul(readers).saturating_add(inserts);
        let chunk_rows = plan.stored_rows.div_ceil(chunks);
        Self { between: between.min(all), all, chunk_rows, readers, inserts }
    }

    /// The fewest rows of a batch with which a window of this many blocks still recognizes a repeated
    /// one.
    fn least_rows(&self, window: u64) -> u64 {
        let of_a_chunk = window.saturating_sub(self.inserts) / self.readers.max(1);
        self.chunk_rows.div_ceil(of_a_chunk.max(1)).max(LEAST_BATCH_ROWS)
    }
}

fn decide(
    job: &BoundJob,
    tables: &[Deduplication],
    switched_off: Option<&str>,
    blocks: &BlockCounts,
    allowed: bool,
) -> Result<DedupPlan, DedupError> {
    let name = &job.target.name;
    let target = tables.iter().find(|table| table.name == *name);
    let target_is_empty = target.is_some_and(|target| target.rows == Some(0));
    let plan_of = |strategy, least_batch_rows, remarks| DedupPlan {
        strategy,
        remarks,
        target_is_empty,
        least_batch_rows,
    };
    let unsafe_views = tables.iter().filter(|table| {
        table.name != *name && !table.is_replacing() && table.window < blocks.between
    });
    let mut remarks = Vec::new();
    if job.target.is_replacing() {
        // A view sees every insert, before anything collapses.
        remarks.extend(unsafe_views.map(|table| {
            format!(
                "{} ({}) is filled by a view and does not recognize rows that are sent twice: after a retry they would be there twice",
                table.name, table.engine
            )
        }));
        return Ok(plan_of(DedupStrategy::Collapse, LEAST_BATCH_ROWS, remarks));
    }
    match refusal(job, target, unsafe_views, switched_off, blocks) {
        Some(refusal) if allowed => {
            remarks.push(format!("{refusal}; that is allowed"));
            return Ok(plan_of(DedupStrategy::Stay, LEAST_BATCH_ROWS, remarks));
        }
        Some(refusal) => return Err(refusal),
        None => {}
    }
    let window = target.map_or(0, |target| target.window);
    if window < blocks.all {
        remarks.push(format!(
            "{name} recognizes the last {window} blocks, and the partition makes about {}: resume an interrupted run before others have inserted so many",
            blocks.all
        ));
    }
    Ok(plan_of(DedupStrategy::Recognized { window }, blocks.least_rows(window), remarks))
}

fn refusal<'a>(
    job: &BoundJob,
    target: Option<&Deduplication>,
    mut unsafe_views: impl Iterator<Item = &'a Deduplication>,
    switched_off: Option<&str>,
    blocks: &BlockCounts,
) -> Option<DedupError> {
    let name = job.target.name.clone();
    if let Some(setting) = switched_off {
        return Some(DedupError::SwitchedOff { target: name, setting: setting.to_owned() });
    }
    let window = target.map_or(0, |target| target.window);
    if window == 0 {
        let setting = target
            .filter(|target| target.engine.ends_with("MergeTree"))
            .map(Deduplication::window_setting);
        return Some(DedupError::NoWindow {
            target: name,
            engine: job.target.engine.clone(),
            setting,
        });
    }
    if window < blocks.between {
        let setting =
            target.map_or("non_replicated_deduplication_window", Deduplication::window_setting);
        return Some(DedupError::WindowTooSmall {
            target: name,
            window,
            needed: blocks.between,
            setting,
        });
    }
    unsafe_views.next().map(|table| DedupError::View {
        view: table.view.as_ref().unwrap_or(&table.name).to_string(),
        target: table.name.clone(),
        engine: table.engine.clone(),
        setting: table.window_setting(),
    })
}
