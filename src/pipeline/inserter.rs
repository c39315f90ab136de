//! Inserting batches: each is held whole in memory until the server has acknowledged it.

use std::sync::Arc;

use tokio::time::sleep;

use super::batch::Batch;
use super::error::PipelineError;
use super::queue::QueueReceiver;
use super::retry::{Decision, milliseconds};
use super::shared::Shared;
use crate::clickhouse::ErrorClass;

/// Inserts batches until the queue is closed and empty, or something fails for good; gives whether it came to the queue's end.
pub(super) async fn insert_batches(shared: Arc<Shared>, queue: QueueReceiver) -> Result<bool, PipelineError> {
    loop {
        let turn_and_batch = async {
            // The turn comes first: who waits for one must not hold a batch.
            let turn = shared.inserting.turn().await;
            (turn, queue.receive().await)
        };
        let (turn, queued) = tokio::select! {
            biased;
            () = shared.stop.failing() => return Ok(false),
            both = turn_and_batch => both,
        };
        let Some(queued) = queued else { return Ok(true) };
        shared.counters.inserts_in_flight.add(1);
        let inserted = insert_with_retries(&shared, &queued.batch).await;
        shared.counters.inserts_in_flight.take(1);
        if let Err(error) = inserted {
            shared.counters.errors.add(1);
            shared.stop.fail();
            return Err(error);
        }
        queued.batch.attempt.batch_acknowledged(queued.batch.rows, queued.batch.bytes, queued.batch.hash);
        drop(turn);
        shared.inserting.finished(queued.batch.bytes, queue.has_more());
    }
}

async fn insert_with_retries(shared: &Shared, batch: &Batch) -> Result<(), PipelineError> {
    let chunk = batch.attempt.chunk + 1;
    // Equal token, equal rows: a repeated batch is recognized by tables that deduplicate, and no other batch is taken for it.
    // The run's id is part of it, so that a later run is not swallowed after rows were removed.
    let mut settings = shared.insert_settings.clone();
    if !shared.options.dry_run {
        let token = format!("{}-{chunk}-{:032x}", shared.servers.target.queries().as_str(), batch.digest);
        settings = settings.with("insert_deduplication_token", &token);
    }
    let mut attempt = 1;
    loop {
        let Err(error) = shared.servers.target.insert("insert", &shared.insert_sql, &settings, &batch.pieces).await else {
            return Ok(());
        };
        // Sending the same bytes with the same token again is right whether or not they arrived.
        let class = error.class();
        match shared.options.retry.decide(class, attempt) {
            Decision::RetryAfter(pause) => {
                shared.counters.retries.add(1);
                shared.inserting.refused();
                let outcome =
                    if class == ErrorClass::Ambiguous { "it is not known whether the rows arrived" } else { "no row was inserted" };
                tracing::warn!(chunk, attempt, rows = batch.rows, pause_ms = milliseconds(pause), error = %error, outcome, "an insert failed, the same bytes are sent again");
                sleep(pause).await;
                attempt += 1;
            }
            Decision::GiveUp => {
                return Err(PipelineError::Insert {
                    table: shared.job.target.name.clone(),
                    chunk,
                    rows: batch.rows,
                    bytes: batch.bytes,
                    attempts: attempt,
                    source: error.into(),
                });
            }
        }
    }
}
