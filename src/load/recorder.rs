//! Writing down what becomes of each chunk, while the pipeline goes on.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout, timeout_at};

use super::heartbeat::error_cause;
use crate::clickhouse::ErrorClass;
use crate::ledger::{ChunkRecord, ChunkStatus, Ledger, LedgerError, Timestamp};
use crate::pipeline::{ChunkOutcome, ChunkReport, Stop};
use crate::plan::Chunk;

/// Chunks that end within so long of each other are written together.
const TOGETHER: Duration = Duration::from_millis(500);
/// A server that answers, and refuses, is asked again for so long; one that does not answer, for as long as outages are waited for.
const REFUSALS: Duration = Duration::from_secs(30);
/// What will hardly get better is tried so often.
const HOPELESS_TRIES: u32 = 4;

/// A ledger that is silent for so long was not heard this time.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// Turns reports of the pipeline into records of the ledger.
pub(super) struct Recorder {
    pub ledger: Ledger,
    pub run_id: String,
    /// Who works, for people: worker, host and process.
    pub worker: String,
    pub chunks: Vec<Chunk>,
    /// How long a ledger that cannot be reached is tried again.
    pub patience: Duration,
    /// Asked to stop when the ledger is given up.
    pub stop: Stop,
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
    /// Records until the pipeline has ended. With an error comes how many completed chunks it concerns; they are all still read.
    pub async fn record(self, mut reports: UnboundedReceiver<ChunkReport>) -> (Tally, Result<(), LedgerError>) {
        let (mut recorded, mut failure) = (Tally::default(), None);
        while let Some(first) = reports.recv().await {
            let mut group = vec![first];
            let until = tokio::time::Instant::now() + TOGETHER;
            while let Ok(Some(report)) = timeout_at(until, reports.recv()).await {
                group.push(report);
            }
            let records: Vec<_> = group.into_iter().map(|report| self.record_of(report)).collect();
            let completed = records.iter().filter(|record| record.status == ChunkStatus::Completed).count() as u64;
            let failed = records.len() as u64 - completed;
            if failure.is_none() {
                failure = self.write(records).await.err();
            }
            if failure.is_none() {
                recorded.completed += completed;
                recorded.failed += failed;
            } else {
                recorded.lost += completed;
                self.stop.request();
            }
        }
        (recorded, failure.map_or(Ok(()), Err))
    }

    async fn write(&self, records: Vec<ChunkRecord>) -> Result<(), LedgerError> {
        persist(self.patience, || self.ledger.write_chunks(records.clone())).await
    }

    fn record_of(&self, report: ChunkReport) -> ChunkRecord {
        let range = self.chunks.iter().find(|chunk| chunk.number == report.chunk).and_then(|chunk| chunk.range.as_deref());
        let (status, error) = match report.outcome {
            ChunkOutcome::Completed => (ChunkStatus::Completed, String::new()),
            ChunkOutcome::Failed(reason) => (ChunkStatus::Failed, reason),
        };
        ChunkRecord {
            status,
            worker: self.worker.clone(),
            attempts: u64::from(report.attempts),
            rows_read: report.rows_read,
            rows_inserted: report.rows_inserted,
            matched: report.matched,
            matched_late: report.matched_late,
            unmatched: report.unmatched,
            bytes_inserted: report.bytes_inserted,
            batches: report.batches,
            hash: report.hash,
            error,
            started_at: Some(Timestamp::from(report.started_at)),
            completed_at: Some(Timestamp::from(report.finished_at)),
            ..ChunkRecord::pending(&self.run_id, report.chunk as u64, range.unwrap_or_default())
        }
    }
}

/// Waits no longer than so for a ledger.
pub(super) async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    timeout(limit, work).await.unwrap_or(Err(LedgerError::Silent { after: limit }))
}

/// Does something to a ledger until it works: an outage may last for as long as `patience` allows, refusals that may pass get less, and
/// anything else is tried a few times.
pub(super) async fn persist<T, Doing: Future<Output = Result<T, LedgerError>>>(
    patience: Duration,
    mut work: impl FnMut() -> Doing,
) -> Result<T, LedgerError> {
    let (began, mut tries, mut pause) = (Instant::now(), 1, Duration::from_millis(250));
    loop {
        let error = match in_time(SILENCE, work()).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let patience = if error.is_answer() { patience.min(REFUSALS) } else { patience };
        let hopeless = matches!(error.class(), ErrorClass::Fatal | ErrorClass::Rows) && tries >= HOPELESS_TRIES;
        if hopeless || began.elapsed() + pause > patience {
            return Err(error);
        }
        tracing::warn!(%error, cause = error_cause(&error), tries, "the ledger cannot be written, trying again");
        sleep(pause).await;
        tries += 1;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}
