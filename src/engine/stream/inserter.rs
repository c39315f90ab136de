//! Inserting batches: each is held whole in memory until the server has acknowledged it.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep;

use super::batch::Batch;
use super::error::PipelineError;
use super::give_up::give_up_chunk;
use super::queue::QueueReceiver;
use super::retry::{Attempts, Verdict, milliseconds};
use super::shared::Shared;
use crate::clickhouse::Error as ServerError;

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
    let mut attempts = Attempts::at_target(shared);
    loop {
        let sent = Instant::now();
        let Err(error) = shared
            .servers
            .target
            .insert("insert", &shared.insert_sql, &settings, &batch.pieces)
            .await
        else {
            let took = sent.elapsed();
            shared.counters.insert_latency.note(took);
            shared.counters.recent_inserts.note(took);
            return Inserted::Acknowledged;
        };
        let attempt = attempts.number();
        // Sending the same bytes with the same token again is right whether or not they arrived.
        match attempts.after(&error).await {
            Verdict::Again(pause) => {
                shared.throttle.inserting.refused();
                let outcome = if error.is_of_view() {
                    "the rows may be in the target, of which a view failed"
                } else if error.may_have_inserted() {
                    "it is not known whether the rows arrived"
                } else {
                    "no row was inserted"
                };
                tracing::warn!(chunk, attempt, rows = batch.rows, pause_ms = milliseconds(pause), error = %error, outcome, "an insert failed, the same bytes are sent again");
                tokio::select! {
                    () = sleep(pause) => {}
                    () = shared.stop.failing() => return Inserted::Stopped,
                }
            }
            Verdict::GiveUp => {
                return Inserted::Failed(PipelineError::Insert {
                    table: shared.job.target.name.clone(),
                    chunk,
                    rows: batch.rows,
                    bytes: batch.bytes,
                    attempts: attempt,
                    source: error.into(),
                });
            }
            Verdict::Lost(lost) => return Inserted::Lost(lost),
            Verdict::Stopped => return Inserted::Stopped,
        }
    }
}
