//! Keeping figures of how a run goes. No failure in here disturbs the run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::request::{HostStats, Observe};
use crate::engine::stream::{Counters, Snapshot};
use crate::ledger::{FORMAT_VERSION, Ledger, LedgerError, LoadSample, in_time};

/// Between two samples, from the beginning of a run on; the last one counts for all that follow. A
/// short run shall have a course as well.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// A ledger that is silent for so long gets no sample this time …
const PATIENCE: Duration = Duration::from_secs(8);
/// … and at a run's end is not waited for any longer than this.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

/// Whose figures are kept, and where.
pub(super) struct Sampling {
    pub ledger: Ledger,
    pub run_id: String,
    pub claim_id: String,
    /// Who works, for people.
    pub worker: String,
    pub counters: Arc<Counters>,
    pub observe: Observe,
    /// What the process was started with, as JSON.
    pub settings: String,
}

/// The task that takes samples until it is ended.
pub(super) struct Samples {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Sampling {
    pub(super) fn start(self) -> Samples {
        let (end, ended) = oneshot::channel();
        Samples { end, task: tokio::spawn(self.sample_until(ended)) }
    }

    async fn sample_until(self, mut ended: oneshot::Receiver<()>) {
        let (mut before, mut taken_at) = (self.counters.snapshot(), Instant::now());
        let mut sample = self.sample(&before, &before, Duration::ZERO);
        sample.settings.clone_from(&self.settings);
        let mut pauses = PAUSES.into_iter();
        let mut pause = Duration::ZERO;
        let mut last = false;
        loop {
            if !self.keep(&sample).await || last {
                return;
            }
            pause = pauses.next().unwrap_or(pause);
            tokio::select! {
                () = sleep(pause) => {}
                _ = &mut ended => last = true,
            }
            let now = self.counters.snapshot();
            sample = self.sample(&before, &now, taken_at.elapsed());
            (before, taken_at) = (now, Instant::now());
        }
    }

    /// Writes it; gives whether the next one is worth a try.
    async fn keep(&self, sample: &LoadSample) -> bool {
        let Err(error) = in_time(PATIENCE, self.ledger.write_sample(sample)).await else {
            return true;
        };
        if error.is_access_denied()
            || matches!(
                error,
                LedgerError::MayNotCreate { .. }
                    | LedgerError::MayNotUpgrade { .. }
                    | LedgerError::File { .. }
            )
        {
            let cause = error.cause();
            tracing::warn!(%error, cause, "the run is not affected, but its report will not show how it went");
            return false;
        }
        tracing::debug!(%error, cause = error.cause(), "figures of this moment are not kept");
        true
    }

    fn sample(&self, before: &Snapshot, now: &Snapshot, interval: Duration) -> LoadSample {
        let HostStats {
            active_parts,
            merges,
            server_memory_bytes,
            server_memory_limit_bytes,
            client_memory_bytes,
            waiting,
        } = (self.observe)();
        let inserts = self.counters.recent_inserts.take();
        // Rows of attempts that were given up are taken out of the counters again.
        let rate = |before: u64, now: u64| {
            if interval.is_zero() {
                0.0
            } else {
                now.saturating_sub(before) as f64 / interval.as_secs_f64()
            }
        };
        LoadSample {
            format_version: FORMAT_VERSION,
            run_id: self.run_id.clone(),
            claim_id: self.claim_id.clone(),
            sampled_at: None,
            worker: self.worker.clone(),
            phase: self.counters.phase().name().to_owned(),
            interval_seconds: interval.as_secs_f64(),
            rows_read: now.source_rows,
            rows_inserted: now.inserted_rows,
            bytes_inserted: now.inserted_bytes,
            rows_read_per_second: rate(before.source_rows, now.source_rows),
            rows_inserted_per_second: rate(before.inserted_rows, now.inserted_rows),
            bytes_inserted_per_second: rate(before.inserted_bytes, now.inserted_bytes),
            inserts: inserts.map_or(0, |inserts| inserts.count),
            insert_p50_seconds: inserts.map(|inserts| inserts.p50.as_secs_f64()),
            insert_p95_seconds: inserts.map(|inserts| inserts.p95.as_secs_f64()),
            insert_max_seconds: inserts.map(|inserts| inserts.max.as_secs_f64()),
            active_parts,
            merges,
            server_memory_bytes,
            server_memory_limit_bytes,
            client_memory_bytes,
            queue_bytes: now.queued_bytes,
            inserts_in_flight: now.inserts_in_flight,
            retries: now.retries,
            waiting,
            settings: String::new(),
        }
    }
}

impl Samples {
    /// Takes the last sample, and waits for it a little.
    pub(super) async fn end(mut self) {
        // A task that has ended by itself hears nothing.
        let _ = self.end.send(());
        if timeout(LAST_PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
