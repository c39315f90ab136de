//! The insert of a chunk: into the target, or as an attempt into the stage of a load that replaces its
//! partition.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use crate::clickhouse::{Connection, Servers};
use crate::engine::stream::error::FillError;
use crate::engine::stream::shared::PipelineOptions;
use crate::job::BoundJob;
use crate::job::statements::{self, Scope};
use crate::plan::ChunkId;
use crate::publish::{STAGED_ROWS, Stage, StagedAttempt};

/// The insert of one chunk.
pub(super) enum ChunkInsert {
    /// Into the target, or into nothing.
    Direct(String),
    /// Into the stage.
    Staged {
        stage: Arc<Stage>,
        /// The SELECT of its rows, which also says how many rows of the source each stands for.
        rows: String,
        /// The last attempt.
        attempt: Option<StagedAttempt>,
    },
}

/// The insert of this part of the source without a stage.
pub(super) fn direct(servers: &Servers, job: &BoundJob, scope: &Scope, dry_run: bool) -> String {
    let remote = servers.remote_source().map(|remote| move |select: &str| remote.rows_of(select));
    statements::insert_join(job, scope, dry_run, remote)
}

#[derive(Deserialize)]
struct Staged {
    rows: u64,
}

impl ChunkInsert {
    /// The insert of this part of the source.
    pub(super) fn of(
        servers: &Servers,
        job: &BoundJob,
        scope: &Scope,
        options: &PipelineOptions,
    ) -> Self {
        match &options.stage {
            None => Self::Direct(direct(servers, job, scope, options.dry_run)),
            Some(stage) => {
                let rows = if job.group.is_some() {
                    statements::counted_groups(job, scope, STAGED_ROWS)
                } else {
                    let rows = statements::finished(job, scope);
                    format!("SELECT *, toUInt64(1) AS {STAGED_ROWS}\nFROM (\n{rows}\n)")
                };
                Self::Staged { stage: Arc::clone(stage), rows, attempt: None }
            }
        }
    }

    /// The statement of the next attempt. In a stage no other attempt has its number.
    pub(super) fn next(&mut self, chunk: ChunkId) -> Cow<'_, str> {
        match self {
            Self::Direct(sql) => Cow::Borrowed(sql),
            Self::Staged { stage, rows, attempt } => {
                Cow::Owned(stage.insert(*attempt.insert(StagedAttempt::new(chunk)), rows))
            }
        }
    }

    /// The number of the last attempt in the stage; 0 without a stage.
    pub(super) fn stage_attempt(&self) -> u32 {
        match self {
            Self::Staged { attempt: Some(staged), .. } => staged.attempt,
            _ => 0,
        }
    }

    /// Compares the rows that the last attempt staged with those of the source.
    ///
    /// # Errors
    /// [`FillError::Staged`]: the attempt does not count.
    pub(super) async fn check(&self, target: &Connection, expected: u64) -> Result<(), FillError> {
        let Self::Staged { stage, attempt: Some(attempt), .. } = self else { return Ok(()) };
        let Staged { rows: staged } = target.row("staged", &stage.count(*attempt)).await?;
        if staged == expected {
            return Ok(());
        }
        Err(FillError::Staged { table: stage.table().clone(), staged, expected })
    }
}
