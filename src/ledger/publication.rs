//! What a load that replaces a partition has built beside its target, and how far it is published.

use serde::{Deserialize, Serialize};

use crate::units::counted;

/// The record of a load's publication, in the load's row. Its tables exist only where the row names
/// them: the row is written before they are created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// How far it is.
    pub step: PublicationStep,
    /// The id of the target's partition that is replaced.
    pub partition_id: String,
    /// The database of its tables: the target's.
    pub database: String,
    /// The table with the rows of every attempt of every chunk.
    pub stage: String,
    /// The table with the rows that are published.
    pub publish: String,
    /// The table with the rows that were replaced, where they are kept.
    pub kept: Option<String>,
    /// The greatest block number of the target's partition when the load began: a row with a greater
    /// one was written since.
    pub newest_block: i64,
    /// Rows in the target's partition when the load began.
    pub rows_before: u64,
    /// Rows in the table that is published.
    pub rows_published: Option<u64>,
}

/// How far a publication is. Each step is recorded when it is done, but for `publishing`, which is
/// recorded before the partition is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicationStep {
    /// Chunks are inserted into the stage.
    Staging,
    /// The rows to publish are built, and equal what the job makes of the source.
    Staged,
    /// What stood in the partition is kept, if it is to be. The partition may have been replaced.
    Publishing,
    /// The partition was replaced.
    Published,
    /// The stage and the table that was published are dropped.
    Done,
    /// Another version began before the partition was replaced, and these tables are dropped.
    Abandoned,
}

impl Publication {
    /// Whether the stage or the table to publish may exist.
    pub(crate) fn may_have_tables(&self) -> bool {
        self.step < PublicationStep::Done
    }

    /// How far it is, in words.
    pub(crate) fn words(&self) -> String {
        let Self { partition_id, stage, publish, rows_before, .. } = self;
        let built =
            self.rows_published.map_or_else(|| "rows".to_owned(), |rows| counted(rows, "row"));
        let kept = match &self.kept {
            Some(kept) => format!("{} stood there, kept in {kept}", counted(*rows_before, "row")),
            None if *rows_before == 0 => "none stood there".to_owned(),
            None => format!("{} stood there, not kept", counted(*rows_before, "row")),
        };
        match self.step {
            PublicationStep::Staging => format!("not yet: chunks are staged in {stage}"),
            PublicationStep::Staged => {
                format!("not yet: {built} are built in {publish} and equal the equivalent join")
            }
            PublicationStep::Publishing => {
                format!("unknown: {built} of {publish} were to replace partition {partition_id}")
            }
            PublicationStep::Published | PublicationStep::Done => {
                format!("{built} as partition {partition_id}; {kept}")
            }
            PublicationStep::Abandoned => "never: another version began before".to_owned(),
        }
    }

    /// The tables that are dropped at its end.
    pub(crate) fn temporary(&self) -> [&str; 2] {
        [&self.stage, &self.publish]
    }
}
