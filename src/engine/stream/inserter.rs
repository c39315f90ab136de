//! Inserting batches: each is held whole in memory until the server has acknowledged it.

use std::sync::Arc;
use std::time::Instant;

use super::batch::Batch;
use super::error::PipelineError;
use super::give_up::give_up_chunk;
use super::queue::QueueReceiver;
use super::shared::Shared;
use crate::clickhouse::{Error as ServerError, Settings};
use crate::retry::{FailedAttempt, Failure, RetryError, Retryable, milliseconds};

/// Inserts batches until the queue is closed and empty, or something fails for good; gives whether
/// it came to the queue's end.
pub(super) async fn insert_batches(
    shared: Arc<Shared>,
    queue: QueueReceiver,
) -> Result<bool, PipelineError> {
    loop {
        let turn_and_batch = async {
            // The turn comes first: who waits for one must not hold a batch.
            let turn = shared.throttle.inserting.turn().await;
            (turn, shared.counters.activities.idling.during(queue.receive()).await)
        };
        let (turn, queued) = tokio::select! {
            biased;
            () = shared.stop.failing() => return Ok(false),
            both = turn_and_batch => both,
        };
        let Some(queued) = queued else { return Ok(true) };
        let attempt = &queued.batch.attempt;
        if attempt.chunk_failed() {
            attempt.batch_dropped();
            continue;
        }
        shared.counters.inserts_in_flight.add(1);
        let busy = shared.counters.activities.inserting.begin();
        let inserted = tokio::select! {
            inserted = insert_with_retries(&shared, &queued.batch) => inserted,
            // The connection is closed; a block that the server has not taken as a whole by then
            // leaves nothing.
            () = shared.stop.abandoning() => Inserted::Stopped,
        };
        shared.counters.inserts_in_flight.take(1);
        drop(busy);
        match inserted {
            Inserted::Acknowledged => {
                attempt.batch_acknowledged(
                    queued.batch.rows,
                    queued.batch.bytes,
                    queued.batch.hash,
                );
                drop(turn);
                shared.throttle.inserting.finished(queued.batch.bytes, queue.has_more());
            }
            Inserted::Stopped => return Ok(false),
            Inserted::Failed(error) => {
                give_up_chunk(&shared, attempt, error).inspect_err(|_| shared.stop.fail())?;
                attempt.batch_dropped();
            }
            Inserted::Lost(source) => {
                shared.stop.fail();
                return Err(shared.lost(source));
            }
        }
    }
}

/// What became of a batch.
enum Inserted {
    Acknowledged,
    /// It may have arrived; nobody waits for it any more.
    Stopped,
    Failed(PipelineError),
    /// The server stayed away for too long.
    Lost(ServerError),
}

async fn insert_with_retries(shared: &Shared, batch: &Batch) -> Inserted {
    let chunk = batch.attempt.chunk + 1;
    // Equal token, equal rows: a repeated batch is recognized by tables that deduplicate, and no
    // other batch is taken for it. The load's identity is part of it, so that a later load is not
    // swallowed after rows were removed.
    let mut settings = shared.insert_settings.clone();
    if !shared.options.dry_run {
        let token = format!("{}-{chunk}-{:032x}", shared.options.token_prefix, batch.digest);
        settings = settings.with("insert_deduplication_token", &token);
    }
    match shared.at_target().run(&mut Insertion { shared, batch, settings }).await {
        Ok(()) => Inserted::Acknowledged,
        Err(RetryError::GaveUp { attempts, error }) => Inserted::Failed(PipelineError::Insert {
            table: shared.job.target.name.clone(),
            chunk,
            rows: batch.rows,
            bytes: batch.bytes,
            attempts,
            source: error.into(),
        }),
        Err(RetryError::Lost { outage, .. }) => Inserted::Lost(outage),
        Err(RetryError::Interrupted { .. }) => Inserted::Stopped,
    }
}

/// The insert of one batch. The same bytes are sent with the same token each time, which is right
/// whether or not they arrived before.
struct Insertion<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    settings: Settings,
}

impl Retryable for Insertion<'_> {
    type Output = ();
    type Error = ServerError;

    async fn attempt(&mut self) -> Result<(), ServerError> {
        let Shared { servers, insert_sql, counters, .. } = self.shared;
        let sent = Instant::now();
        servers.target.insert("insert", insert_sql, &self.settings, &self.batch.pieces).await?;
        let took = sent.elapsed();
        counters.insert_latency.note(took);
        counters.recent_inserts.note(took);
        Ok(())
    }

    async fn diagnose(&mut self, error: &ServerError) -> Failure {
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
