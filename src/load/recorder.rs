//! Writing down what becomes of each chunk, while the pipeline goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::tables::{JobTables, TablesError};
use crate::engine::stream::{BegunChunk, ChunkEvent, ChunkOutcome, ChunkReport};
use crate::ledger::{ChunkRecord, ChunkStatus, Lease, Ledger, LedgerError, Timestamp, persist};
use crate::plan::{Chunk, ChunkId, Cuts};
use crate::stop::Stop;

/// Chunks that end within so long of each other are written together.
const TOGETHER: Duration = Duration::from_millis(500);

/// Why completed chunks are not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Rows of these chunks may have been read or written under another definition of a table.
    #[error(transparent)]
    Tables(#[from] TablesError),
}

impl RecordingError {
    /// What it was caused by, for log lines.
    pub fn cause(&self) -> String {
        std::error::Error::source(self).map(ToString::to_string).unwrap_or_default()
    }
}

/// Turns reports of the pipeline into records of the ledger.
pub(super) struct Recorder {
    pub ledger: Ledger,
    pub run_id: String,
    /// Who works, for people: worker, host and process.
    pub worker: String,
    /// The ranges of the chunks.
    pub ranges: BTreeMap<ChunkId, String>,
    /// The rows of the batches of chunks that are begun, where repeated batches are recognized.
    pub begun: BTreeMap<ChunkId, u64>,
    pub tables: JobTables,
    /// Until when this process may write.
    pub lease: Lease,
    /// How long a ledger that cannot be reached is tried again.
    pub patience: Duration,
    /// Asked to stop when the ledger is given up.
    pub stop: Stop,
}

/// What is to be written down.
enum Noted {
    Begun(ChunkId),
    Ended(ChunkReport),
}

/// What was written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub completed: u64,
    pub failed: u64,
    /// Completed chunks that could not be written down.
    pub lost: u64,
}

impl Recorder {
    /// Records until the pipeline has ended. With an error comes how many completed chunks it
    /// concerns; they are all still read.
    pub(super) async fn record(
        mut self,
        mut events: UnboundedReceiver<ChunkEvent>,
    ) -> (Tally, Result<(), RecordingError>) {
        let (mut recorded, mut failure) = (Tally::default(), None);
        while let Some(first) = events.recv().await {
            let mut waiting = Vec::new();
            let mut group = vec![self.noted(first, &mut waiting)];
            let until = tokio::time::Instant::now() + TOGETHER;
            // A chunk that is begun waits for its record.
            while waiting.is_empty()
                && let Ok(Some(event)) = timeout_at(until, events.recv()).await
            {
                group.push(self.noted(event, &mut waiting));
            }
            let records = self.records_of(group);
            let with =
                |status| records.iter().filter(|record| record.status == status).count() as u64;
            let (completed, failed) = (with(ChunkStatus::Completed), with(ChunkStatus::Failed));
            if self.lease.held().await.is_err() {
                // Another process records what becomes of them.
                continue;
            }
            if failure.is_none() {
                failure = self.write(records).await.err();
            }
            if failure.is_none() {
                recorded.completed += completed;
                recorded.failed += failed;
                for begun in waiting {
                    // Its reader may be gone.
                    let _ = begun.send(());
                }
            } else {
                recorded.lost += completed;
                if matches!(failure, Some(RecordingError::Tables(TablesError::Changed(_)))) {
                    self.stop.fail();
                } else {
                    self.stop.request();
                }
            }
        }
        (recorded, failure.map_or(Ok(()), Err))
    }

    async fn write(&self, records: Vec<ChunkRecord>) -> Result<(), RecordingError> {
        self.tables.check().await?;
        persist(self.patience, || self.ledger.write_chunks(records.clone())).await?;
        Ok(())
    }

    /// What is recorded of an event. `waiting` gets who waits for that.
    fn noted(&mut self, event: ChunkEvent, waiting: &mut Vec<oneshot::Sender<()>>) -> Noted {
        match event {
            ChunkEvent::Begun(BegunChunk { chunk, batch_rows, recorded }) => {
                self.begun.insert(chunk, batch_rows);
                waiting.push(recorded);
                Noted::Begun(chunk)
            }
            ChunkEvent::Ended(report) => Noted::Ended(report),
        }
    }

    /// The last record of each chunk. Those of the parts of a divided chunk come with its own.
    fn records_of(&mut self, noted: Vec<Noted>) -> Vec<ChunkRecord> {
        let mut records = BTreeMap::new();
        for noted in noted {
            let report = match noted {
                Noted::Begun(chunk) => {
                    records.insert(chunk, self.pending(chunk));
                    continue;
                }
                Noted::Ended(report) => report,
            };
            if let ChunkOutcome::Divided { parts, .. } = &report.outcome {
                for part in parts {
                    let range = part.range.clone().unwrap_or_default();
                    let record = ChunkRecord::pending(&self.run_id, part.id.record(), &range);
                    records.insert(part.id, record);
                    self.ranges.insert(part.id, range);
                }
            }
            records.insert(report.chunk, self.record_of(report));
        }
        records.into_values().collect()
    }

    /// A chunk of which nothing is known but the rows of its batches.
    fn pending(&self, chunk: ChunkId) -> ChunkRecord {
        let range = self.ranges.get(&chunk).map_or("", String::as_str);
        let batch_rows = Some(self.begun.get(&chunk).copied().unwrap_or_default());
        ChunkRecord { batch_rows, ..ChunkRecord::pending(&self.run_id, chunk.record(), range) }
    }

    fn record_of(&self, report: ChunkReport) -> ChunkRecord {
        let (mut error, mut cuts) = (String::new(), String::new());
        let status = match report.outcome {
            ChunkOutcome::Completed => ChunkStatus::Completed,
            ChunkOutcome::Failed(reason) => {
                error = reason;
                ChunkStatus::Failed
            }
            ChunkOutcome::Divided { cuts: bounds, .. } => {
                // Texts always have a JSON form.
                cuts = serde_json::to_string(&Cuts(bounds)).unwrap_or_default();
                ChunkStatus::Divided
            }
        };
        let figures = report.figures;
        ChunkRecord {
            status,
            cuts,
            worker: self.worker.clone(),
            attempts: u64::from(report.attempts),
            rows_read: figures.rows_read,
            rows_inserted: figures.rows_inserted,
            matched: figures.matched.in_window,
            matched_late: figures.matched.late,
            unmatched: figures.matched.not,
            bytes_inserted: figures.bytes_inserted,
            batches: figures.batches,
            hash: figures.hash,
            stage_attempt: figures.stage_attempt,
            error,
            started_at: Some(Timestamp::from(report.started_at)),
            completed_at: Some(Timestamp::from(report.finished_at)),
            ..self.pending(report.chunk)
        }
    }
}

/// The ranges of these chunks and parts.
pub(super) fn ranges(
    chunks: &[Chunk],
    parts: &BTreeMap<usize, Vec<Chunk>>,
) -> BTreeMap<ChunkId, String> {
    let range = |chunk: &Chunk| (chunk.id, chunk.range.clone().unwrap_or_default());
    chunks.iter().chain(parts.values().flatten()).map(range).collect()
}
