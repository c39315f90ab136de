//! Inserters: each task inserts one batch after another.

use std::sync::Arc;
use std::time::Instant;

use super::batch::{Batch, QueueReceiver};
use super::error::PipelineError;
use super::shared::Shared;
use crate::clickhouse::{Disk, Error as ServerError, Settings, disks_of};
use crate::retry::{FailedAttempt, FailureKind, RetryError, Retryable, milliseconds};
use crate::units::{bytes, duration};

/// Inserts batches until the queue has ended, the run stops or the server is lost. Returns whether
/// the queue has ended.
pub(super) async fn insert_batches(
    shared: Arc<Shared>,
    queue: QueueReceiver,
) -> Result<bool, PipelineError> {
    loop {
        let permit_and_batch = async {
            // The permit comes first: a task that waits for one must not hold a batch.
            let permit = shared.throttle.inserting.permit().await;
            (permit, shared.counters.activities.idling.during(queue.receive()).await)
        };
        let (permit, queued) = tokio::select! {
            biased;
            () = shared.stop.failing() => return Ok(false),
            both = permit_and_batch => both,
        };
        let Some(queued) = queued else { return Ok(true) };
        let batch = &queued.batch;
        if batch.attempt.chunk_failed() {
            batch.attempt.batch_dropped();
            continue;
        }
        match insert_unless_abandoned(&shared, batch).await {
            InsertEnd::Acknowledged => {
                batch.attempt.batch_acknowledged(batch.rows, batch.bytes, batch.hash);
                drop(permit);
                shared.throttle.inserting.finished(batch.bytes, queue.has_more());
            }
            InsertEnd::Stopped => return Ok(false),
            InsertEnd::Failed(error) => {
                shared.fail_chunk(&batch.attempt, error).inspect_err(|_| shared.stop.fail())?;
                batch.attempt.batch_dropped();
            }
            InsertEnd::Lost(source) => {
                shared.stop.fail();
                return Err(shared.lost(source));
            }
        }
    }
}

/// How the insert of a batch ended.
enum InsertEnd {
    Acknowledged,
    /// The run stops. The batch may have arrived.
    Stopped,
    Failed(PipelineError),
    /// The server was away for longer than is allowed.
    Lost(ServerError),
}

async fn insert_unless_abandoned(shared: &Shared, batch: &Batch) -> InsertEnd {
    let _busy = shared.counters.activities.inserting.begin();
    shared.counters.inserts_in_flight.add(1);
    let end = tokio::select! {
        end = insert_with_retries(shared, batch) => end,
        // The connection is closed. A block that the server has not received completely leaves
        // nothing.
        () = shared.stop.abandoning() => {
            shared.counters.uncertain_inserts.add(1);
            InsertEnd::Stopped
        }
    };
    shared.counters.inserts_in_flight.take(1);
    end
}

async fn insert_with_retries(shared: &Shared, batch: &Batch) -> InsertEnd {
    let chunk = batch.attempt.chunk + 1;
    // Equal tokens mean equal rows: a table that deduplicates recognizes a repeated batch, and
    // takes no other batch for it. The identity of the load is part of the token, so that a later
    // load is not ignored after rows were removed.
    let mut settings = shared.insert_settings.clone();
    if !shared.options.dry_run {
        let token = format!("{}-{chunk}-{:032x}", shared.options.token_prefix, batch.digest);
        settings = settings.with("insert_deduplication_token", &token);
    }
    match shared
        .at_target()
        .run(&mut Insertion { shared, batch, settings, has_named_disks: false })
        .await
    {
        Ok(()) => InsertEnd::Acknowledged,
        Err(RetryError::GaveUp { attempts, error }) => InsertEnd::Failed(PipelineError::Insert {
            table: shared.job.target.name.clone(),
            chunk,
            rows: batch.rows,
            bytes: batch.bytes,
            attempts,
            source: error.into(),
        }),
        Err(RetryError::Lost { outage, .. }) => InsertEnd::Lost(outage),
        Err(RetryError::Interrupted { .. }) => InsertEnd::Stopped,
    }
}

/// The insert of one batch. Each attempt sends the same bytes with the same token, which is right
/// whether or not an earlier one arrived.
struct Insertion<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    settings: Settings,
    has_named_disks: bool,
}

/// Says on which disks there is no space; the server's error does not name them.
async fn name_full_disks(shared: &Shared) {
    let table = &shared.job.target.name;
    let wait = duration(shared.options.outage_wait);
    let disks = disks_of(&shared.servers.target, table).await.unwrap_or_default();
    let disks: Vec<_> = disks
        .iter()
        .map(|Disk { name, path, free, total }| {
            format!("{name} ({path}): {} of {} free", bytes(*free), bytes(*total))
        })
        .collect();
    let disks = if disks.is_empty() { "unknown".to_owned() } else { disks.join(", ") };
    tracing::warn!(%table, disks, "the disk of the target is full, waiting up to {wait} for space");
}

impl Retryable for Insertion<'_> {
    type Output = ();
    type Error = ServerError;

    async fn attempt(&mut self) -> Result<(), ServerError> {
        let counters = &self.shared.counters;
        let sent = Instant::now();
        self.shared.insert(&self.settings, &self.batch.pieces).await?;
        let took = sent.elapsed();
        counters.insert_latency.note(took);
        counters.recent_inserts.note(took);
        Ok(())
    }

    async fn diagnose(&mut self, error: &ServerError) -> FailureKind {
        if error.is_out_of_space() && !std::mem::replace(&mut self.has_named_disks, true) {
            name_full_disks(self.shared).await;
        }
        if error.may_have_inserted() {
            self.shared.counters.uncertain_inserts.add(1);
        }
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ServerError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        self.shared.throttle.inserting.refused();
        let outcome = if error.is_view_error() {
            "the rows may be in the target, of which a view failed"
        } else if error.may_have_inserted() {
            "it is not known whether the rows arrived"
        } else {
            "no row was inserted"
        };
        let (chunk, rows) = (self.batch.attempt.chunk + 1, self.batch.rows);
        tracing::warn!(chunk, attempt = number, rows, pause_ms = milliseconds(pause), %error, outcome, "an insert failed, the same bytes are sent again");
    }
}
