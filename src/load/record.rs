//! The part of a load that keeps the record: the ledger, this process's claim, and what was
//! recorded before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::claim::Heartbeat;
use super::request::Recording;
use crate::engine::stream::{PipelineOptions, SourceCount};
use crate::ledger::{
    ChunkRecord, ChunkStatus, HeldClaim, Ledger, LedgerError, LoadRecord, SILENCE, WorkerPart,
    in_time, persist,
};
use crate::plan::{Bound, Chunk, ChunkBounds, ChunkId, Cuts, MOST_PARTS, Plan};
use crate::state::LoadState;

/// Keeps the record of a load on which this process holds a claim.
pub(super) struct Record {
    pub ledger: Ledger,
    pub claim: Arc<HeldClaim>,
    pub heartbeat: Heartbeat,
    pub options: Recording,
    /// Whether no row of the load had been inserted when this process came.
    pub was_untouched: bool,
    /// The load as it is, or is to be written.
    pub load: LoadRecord,
    /// Its chunks as this process found them.
    pub chunks: Vec<ChunkRecord>,
    /// The cuts of those that were divided before.
    pub cuts: BTreeMap<ChunkId, Vec<Bound>>,
    /// The version of the load that this one replaces.
    pub replaces: Option<LoadRecord>,
}

/// What is left of a load for one process.
pub(super) struct LeftChunks {
    /// For each chunk of the plan, whether something of it is left.
    pub pending: Vec<bool>,
    /// Of chunks that were divided before, the parts that are left.
    pub parts: BTreeMap<usize, Vec<Chunk>>,
}

/// The cuts of the chunks that were divided.
///
/// # Errors
/// [`LedgerError::Malformed`] where they do not fit the bounds of the load's chunks.
pub(super) fn recorded_cuts(
    records: &[ChunkRecord],
    bounds: &ChunkBounds,
) -> Result<BTreeMap<ChunkId, Vec<Bound>>, LedgerError> {
    let malformed = |message: String| LedgerError::Malformed {
        what: "cuts of a divided chunk".to_owned(),
        message,
    };
    let divided = records.iter().filter(|record| record.status == ChunkStatus::Divided);
    divided
        .map(|record| {
            let Cuts(cuts) =
                serde_json::from_str(&record.cuts).map_err(|error| malformed(error.to_string()))?;
            let fits = (1..MOST_PARTS).contains(&cuts.len())
                && record.id().part(0).is_some()
                && cuts.iter().all(|cut| cut.len() == bounds.key.len());
            if fits {
                Ok((record.id(), cuts))
            } else {
                Err(malformed(format!("those of chunk {} do not fit its load", record.id())))
            }
        })
        .collect()
}

impl Record {
    /// Which part of the chunks this process works on.
    pub(super) fn part(&self) -> WorkerPart {
        self.options.part
    }

    /// The numbers of the chunks that this process works on, of this many in the plan.
    pub(super) fn own(&self, chunks: usize) -> BTreeSet<usize> {
        match self.options.canary {
            Some(share) => share.spread(chunks),
            None => self.part().range_of(chunks).collect(),
        }
    }

    /// Whether this process works on all chunks.
    pub(super) fn is_whole(&self) -> bool {
        self.part() == WorkerPart::WHOLE && self.options.canary.is_none()
    }

    /// What this process is to do.
    pub(super) fn left(&self, plan: &Plan) -> LeftChunks {
        let part = self.own(plan.chunks.len());
        let completed: BTreeSet<_> = self.completed().map(ChunkRecord::id).collect();
        let mut left = LeftChunks { pending: Vec::new(), parts: BTreeMap::new() };
        for (number, chunk) in plan.chunks.iter().enumerate() {
            let of_chunk = if part.contains(&number) {
                self.left_of(plan, chunk, &completed)
            } else {
                Vec::new()
            };
            left.pending.push(!of_chunk.is_empty());
            if self.cuts.contains_key(&chunk.id) {
                left.parts.insert(number, of_chunk);
            }
        }
        left
    }

    /// The rows of the batches of chunks that were begun, where the target recognizes repeated ones.
    /// Older versions always had those of the options, and did not record which chunks were begun.
    pub(super) fn begun(&self, options: &PipelineOptions) -> BTreeMap<ChunkId, u64> {
        let rows = |chunk: &ChunkRecord| chunk.batch_rows.unwrap_or(options.batch_rows);
        let begun = self.chunks.iter().map(|chunk| (chunk.id(), rows(chunk)));
        begun.filter(|(_, rows)| options.ordered && *rows > 0).collect()
    }

    /// The chunk, unless it is completed; of one that was divided, the parts that are left.
    fn left_of(&self, plan: &Plan, chunk: &Chunk, completed: &BTreeSet<ChunkId>) -> Vec<Chunk> {
        match self.cuts.get(&chunk.id) {
            Some(cuts) => {
                let parts = plan.bounds.parts(chunk, cuts);
                parts.iter().flat_map(|part| self.left_of(plan, part, completed)).collect()
            }
            None if completed.contains(&chunk.id) => Vec::new(),
            None => vec![chunk.clone()],
        }
    }

    /// The chunks that were completed when this process came.
    pub(super) fn completed(&self) -> impl Iterator<Item = &ChunkRecord> {
        self.chunks.iter().filter(|chunk| chunk.status == ChunkStatus::Completed)
    }

    /// Who works, for people.
    pub(super) fn worker(&self) -> String {
        let process = self.claim.process();
        format!("{} {} {}", self.part(), process.host, process.pid)
    }

    /// Writes the load with this status, and the sums of these chunks.
    pub(super) async fn write(
        &mut self,
        status: LoadState,
        error: &str,
        chunks: &[ChunkRecord],
    ) -> Result<(), LedgerError> {
        self.load.status = status;
        error.clone_into(&mut self.load.error);
        self.load.sum(chunks);
        persist(self.options.patience, || self.ledger.write_load(&self.load)).await
    }

    /// Notes how many rows there were at the beginning, unless that is known.
    pub(super) fn note_count(&mut self, counted: SourceCount) {
        if self.load.rows_expected.is_none() {
            self.load.rows_expected = Some(counted.rows);
            self.load.keys_expected = counted.keys;
        }
    }

    /// The chunks as they are now.
    pub(super) async fn chunks_now(&self) -> Result<Vec<ChunkRecord>, LedgerError> {
        persist(self.options.patience, || self.ledger.chunks(&self.load.run_id)).await
    }
}

/// Writes how many rows there will be as soon as they were counted, so that others see how far a load
/// is. No failure in here disturbs the run.
pub(super) struct Expected {
    pub ledger: Ledger,
    pub claim: Arc<HeldClaim>,
    pub load: LoadRecord,
}

impl Expected {
    /// Waits for the count, and writes it.
    pub(super) async fn note(self, mut counted: UnboundedReceiver<SourceCount>) {
        let Some(counted) = counted.recv().await else { return };
        // What was counted when the load began stays what it was.
        if self.load.rows_expected.is_some() {
            return;
        }
        if let Err(error) = in_time(SILENCE, self.write(counted)).await {
            tracing::debug!(%error, cause = error.cause(), "how many rows there will be is not in the ledger yet");
        }
    }

    async fn write(&self, counted: SourceCount) -> Result<(), LedgerError> {
        // Who has lost the load writes nothing about it.
        self.claim.beat().await?;
        let Some(load) = self.ledger.newest_load(&self.load.key).await? else { return Ok(()) };
        if load.run_id != self.load.run_id || load.rows_expected.is_some() {
            return Ok(());
        }
        let SourceCount { rows, keys } = counted;
        let load = LoadRecord { rows_expected: Some(rows), keys_expected: keys, ..load };
        self.ledger.write_load(&load).await
    }
}
