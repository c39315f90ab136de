//! What becomes of rows that are sent twice, as a retry after a lost answer, a chunk that is read
//! again and a resumed run all do.
//!
//! | The target | Repeats | Chunks are read |
//! |---|---|---|
//! | a `ReplacingMergeTree` | collapse by the sorting key, whatever the batches | in any order |
//! | another MergeTree with a window of blocks | are recognized by their token, if the batch has the same rows | in order, so that it has |
//! | anything else | stay | refused, unless that is allowed |

use super::PipelineOptions;
use crate::clickhouse::{
    Connection, Deduplication, Error as ServerError, TableName, deduplication,
    deduplication_disabled_by,
};
use crate::job::BoundJob;
use crate::plan::Plan;

/// What keeps rows from being in the target twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// They collapse by the sorting key.
    Collapse,
    /// The target recognizes so many of the last blocks. Batches must be made alike every time: see
    /// [`PipelineOptions::ordered`].
    Recognized {
        /// In blocks.
        window: u64,
    },
    /// Nothing does, and that was allowed.
    Stay,
}

/// What was found out about repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatsFound {
    /// What keeps them apart.
    pub repeats: Repeats,
    /// What a person should know beside it.
    pub remarks: Vec<String>,
    /// Whether the target has no row, as far as the server says.
    pub target_is_empty: bool,
}

/// Repeated rows would stay.
#[derive(Debug, thiserror::Error)]
pub enum RepeatsError {
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
    /// The job's settings forbid that blocks are recognized.
    #[error(
        "the job sets {setting} = 'disable', so that no repeated block is recognized in {target}: rows that are sent twice would stay twice"
    )]
    SwitchedOff {
        /// Which table.
        target: TableName,
        /// Which setting.
        setting: String,
    },
    /// A view carries repeats on.
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
    /// An earlier version of the load has filled the target, under other tokens.
    #[error(
        "{target} has rows, of which run {run_id} may have inserted some; it recognizes repeated blocks by the tokens of their run, and another version of the load has others: those rows would be there twice"
    )]
    Again {
        /// Which table.
        target: TableName,
        /// The version of the load before.
        run_id: String,
    },
    /// The server could not be asked.
    #[error("asking how the target table {target} treats repeated blocks failed")]
    Server {
        /// Which table.
        target: TableName,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
}

/// Finds out what becomes of repeats in the target and in what its views fill. `allowed`: they may
/// stay.
///
/// # Errors
/// [`RepeatsError`] where they would stay and may not, and where the server cannot be asked.
pub async fn repeats(
    target: &Connection,
    job: &BoundJob,
    plan: &Plan,
    options: &PipelineOptions,
    allowed: bool,
) -> Result<RepeatsFound, RepeatsError> {
    let name = &job.target.name;
    let mut tables = match deduplication(target, name).await {
        Ok(tables) => tables,
        // Nothing depends on it: rows collapse, whatever the server would have said.
        Err(error) if job.target.is_replacing() => {
            tracing::debug!(%error, "the server does not say what views the target has");
            Vec::new()
        }
        Err(source) => {
            return Err(RepeatsError::Server { target: name.clone(), source: Box::new(source) });
        }
    };
    let settings = options.insert_settings(job);
    let switched_off = deduplication_disabled_by(&settings);
    if switched_off.is_some() {
        // A view sees every insert, and its table recognizes no block either.
        for table in &mut tables {
            table.window = 0;
        }
    }
    decide(job, &tables, switched_off, &Blocks::of(plan, options), allowed)
}

/// About how many batches a run makes of all chunks, by the sizes of rows in the source.
pub fn estimated_batches(plan: &Plan, options: &PipelineOptions) -> u64 {
    if plan.stored_rows == 0 { 0 } else { Blocks::of(plan, options).all }
}

impl RepeatsFound {
    /// The same for a load that begins anew over what run `before` has inserted: its blocks have
    /// other tokens, which nothing recognizes.
    ///
    /// # Errors
    /// [`RepeatsError::Again`], unless rows collapse, or none are there, or they may stay.
    pub fn anew(
        mut self,
        target: &TableName,
        before: &str,
        allowed: bool,
    ) -> Result<Self, RepeatsError> {
        if self.target_is_empty || !matches!(self.repeats, Repeats::Recognized { .. }) {
            return Ok(self);
        }
        let again = RepeatsError::Again { target: target.clone(), run_id: before.to_owned() };
        if !allowed {
            return Err(again);
        }
        self.remarks.push(format!("{again}; that is allowed"));
        Ok(self)
    }
}

/// How many blocks a run inserts.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    /// Between a block and its repetition.
    between: u64,
    /// In all.
    all: u64,
}

impl Blocks {
    /// An estimate: rows have the size that they have in the source, uncompressed.
    fn of(plan: &Plan, options: &PipelineOptions) -> Self {
        let row_bytes = (plan.stored_bytes / plan.stored_rows.max(1)).max(1);
        let batch_rows = (options.batch_bytes / row_bytes).clamp(1, options.batch_rows.max(1));
        let all = plan.stored_rows.div_ceil(batch_rows).max(1);
        let of_a_chunk = all.div_ceil(plan.chunks.len().max(1) as u64);
        // A chunk that is read again repeats all its blocks, and so do all chunks under way when a
        // run dies; others go on meanwhile.
        let between = of_a_chunk
            .saturating_mul(options.readers.most() as u64)
            .saturating_add(3 * options.inserters.most() as u64);
        Self { between: between.min(all), all }
    }
}

fn decide(
    job: &BoundJob,
    tables: &[Deduplication],
    switched_off: Option<&str>,
    blocks: &Blocks,
    allowed: bool,
) -> Result<RepeatsFound, RepeatsError> {
    let name = &job.target.name;
    let target = tables.iter().find(|table| table.name == *name);
    let target_is_empty = target.is_some_and(|target| target.rows == Some(0));
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
        return Ok(RepeatsFound { repeats: Repeats::Collapse, remarks, target_is_empty });
    }
    match refusal(job, target, unsafe_views, switched_off, blocks) {
        Some(refusal) if allowed => {
            remarks.push(format!("{refusal}; that is allowed"));
            return Ok(RepeatsFound { repeats: Repeats::Stay, remarks, target_is_empty });
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
    Ok(RepeatsFound { repeats: Repeats::Recognized { window }, remarks, target_is_empty })
}

fn refusal<'a>(
    job: &BoundJob,
    target: Option<&Deduplication>,
    mut unsafe_views: impl Iterator<Item = &'a Deduplication>,
    switched_off: Option<&str>,
    blocks: &Blocks,
) -> Option<RepeatsError> {
    let name = job.target.name.clone();
    if let Some(setting) = switched_off {
        return Some(RepeatsError::SwitchedOff { target: name, setting: setting.to_owned() });
    }
    let window = target.map_or(0, |target| target.window);
    if window == 0 {
        let setting = target
            .filter(|target| target.engine.ends_with("MergeTree"))
            .map(Deduplication::window_setting);
        return Some(RepeatsError::NoWindow {
            target: name,
            engine: job.target.engine.clone(),
            setting,
        });
    }
    if window < blocks.between {
        let setting =
            target.map_or("non_replicated_deduplication_window", Deduplication::window_setting);
        return Some(RepeatsError::WindowTooSmall {
            target: name,
            window,
            needed: blocks.between,
            setting,
        });
    }
    unsafe_views.next().map(|table| RepeatsError::View {
        view: table.view.as_ref().unwrap_or(&table.name).to_string(),
        target: table.name.clone(),
        engine: table.engine.clone(),
        setting: table.window_setting(),
    })
}
