//! Keeping figures of how a run goes. No failure in here disturbs the run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::request::{HostStats, LoadRequest, Observe};
use crate::engine::stream::{Concurrency, Counters, ReadFormat, RowFormat, Snapshot};
use crate::ledger::{FORMAT_VERSION, Ledger, LedgerError, LoadSample, WorkerPart, in_time};

/// Between two samples, from the beginning of a run on; the last one counts for all that follow. A
/// short run shall have a course as well.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// A ledger that does not answer within this time gets no sample this time …
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

/// What a process was started with, for its samples; no password is in it. A JSON object of texts, by the names of flags with underscores where there are flags.
pub(super) fn settings(request: &LoadRequest, part: WorkerPart) -> String {
    let LoadRequest { servers, server_version, plan, pipeline, allow_duplicates, .. } = request;
    let at_once = |concurrency: Concurrency| match concurrency {
        Concurrency::Fixed(number) => number.to_string(),
        Concurrency::Auto { first, most } => format!("auto, {first} to begin with, at most {most}"),
    };
    let format =
        if matches!(pipeline.format, RowFormat::Native(_)) { "native" } else { "rowbinary" };
    let read_format = match pipeline.read_format {
        ReadFormat::Native if !pipeline.ordered => "native",
        _ => "rowbinary",
    };
    let server = |connection: &crate::clickhouse::Connection| {
        let endpoint = connection.endpoint();
        format!("{} as {}", endpoint.url(), endpoint.user())
    };
    let mut settings = BTreeMap::from([
        ("clickhouse_url", server(&servers.target)),
        ("server_version", server_version.clone()),
        ("tool_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("memory", bytes(plan.memory.total)),
        ("chunk_rows", plan.chunk_rows.to_string()),
        ("batch_size", pipeline.batch_rows.to_string()),
        ("batch_bytes", bytes(pipeline.batch_bytes)),
        ("queue", bytes(pipeline.queue_bytes)),
        ("readers", at_once(pipeline.readers)),
        ("inserters", at_once(pipeline.inserters)),
        ("insert_format", format.to_owned()),
        ("read_format", read_format.to_owned()),
        ("rows_in_key_order", if pipeline.ordered { "yes" } else { "no" }.to_owned()),
        ("max_retries", pipeline.retry.max_retries.to_string()),
        ("max_failed_chunks", pipeline.max_failed_chunks.to_string()),
        ("outage_wait", format!("{} s", pipeline.outage_wait.as_secs_f64())),
        ("drain_timeout", format!("{} s", pipeline.drain_timeout.as_secs_f64())),
        ("allow_duplicates", if *allow_duplicates { "yes" } else { "no" }.to_owned()),
        ("worker", part.to_string()),
    ]);
    if !servers.is_one_server() {
        settings.insert("source_url", server(&servers.source));
    }
    if let Some(rows) = pipeline.stream_block_rows {
        settings.insert("stream_block_size", rows.to_string());
    }
    // Texts can always be written.
    serde_json::to_string(&settings).unwrap_or_default()
}

fn bytes(bytes: u64) -> String {
    format!("{bytes} bytes")
}
