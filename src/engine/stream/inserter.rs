//! Inserters: each task inserts one batch after another.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::Instrument as _;

use super::batch::{Batch, QueueReceiver};
use super::error::PipelineError;
use super::shared::Shared;
use crate::clickhouse::{Disk, Error as ServerError, Settings, disks_of};
use crate::retry::{
    FailedAttempt, FailureKind, RetryCause, RetryError, RetryObserver, Retryable, milliseconds,
};
use crate::spans;
use crate::units::{bytes, duration};

/// The pause before a batch is sent in parts.
const DIVIDED_PAUSE: Duration = Duration::from_millis(500);

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
        // The rows of an attempt that was given up are read again.
        if batch.attempt.chunk_failed() || batch.attempt.is_given_up() {
            batch.attempt.batch_dropped();
            continue;
        }
        // The target would recognize it, but each attempt would take as long as the one before.
        if batch.attempt.is_acknowledged(batch.digest) {
            batch.attempt.batch_arrived(batch.rows, batch.bytes, batch.hash);
            continue;
        }
        match insert_unless_abandoned(&shared, batch).await {
            InsertEnd::Acknowledged => {
                batch.attempt.remember(batch.digest);
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
    let _flight = shared.counters.in_flight.begin();
    shared.counters.inserts_in_flight.add(1);
    let span = batch.attempt.insert_span(batch.rows, batch.bytes);
    let end = tokio::select! {
        end = insert_with_retries(shared, batch).instrument(span.clone()) => end,
        // The connection is closed. A block that the server has not received completely leaves
        // nothing.
        () = shared.stop.abandoning() => {
            shared.counters.uncertain_inserts.add(1);
            InsertEnd::Stopped
        }
    };
    shared.counters.inserts_in_flight.take(1);
    if let InsertEnd::Failed(error) = &end {
        spans::fail(&span, &error.reason());
    }
    end
}

async fn insert_with_retries(shared: &Shared, batch: &Batch) -> InsertEnd {
    let chunk = batch.attempt.chunk;
    match shared.at_target().run(&mut Insertion::new(shared, batch)).await {
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
///
/// Where the server has no memory for it, and rows that come twice collapse, the batch is sent in
/// parts. A part that was acknowledged is not sent again.
struct Insertion<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    /// Parts that were acknowledged.
    done: usize,
    /// Parts that are sent together.
    together: usize,
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

impl<'a> Insertion<'a> {
    fn new(shared: &'a Shared, batch: &'a Batch) -> Self {
        Self { shared, batch, done: 0, together: batch.body.parts(), has_named_disks: false }
    }

    /// Equal tokens mean equal rows: a table that deduplicates recognizes a repeated batch, and
    /// takes no other batch for it. The identity of the load is part of the token, so that a later
    /// load is not ignored after rows were removed.
    fn settings_of(&self, parts: &Range<usize>) -> Settings {
        let settings = self.shared.insert_settings.clone();
        let (options, batch) = (&self.shared.options, self.batch);
        if options.dry_run {
            return settings;
        }
        let chunk = batch.attempt.chunk;
        let mut token = format!("{}-{chunk}-{:032x}", options.token_prefix, batch.digest);
        if parts.len() < batch.body.parts() {
            token = format!("{token}-{}-{}", parts.start, parts.end);
        }
        settings.with("insert_deduplication_token", &token)
    }

    async fn send(&self, parts: Range<usize>) -> Result<(), ServerError> {
        let Shared { counters, batch_size, .. } = self.shared;
        let (settings, body) = (self.settings_of(&parts), &self.batch.body);
        let sent = Instant::now();
        self.shared.insert(&settings, body.of_parts(parts.clone())).await?;
        let took = sent.elapsed();
        counters.insert_latency.note(took);
        counters.recent_inserts.note(took);
        if parts.len() < body.parts() {
            // The batch counts when all of it is there, and some of its rows are.
            counters.uncertain_inserts.add(1);
        } else {
            batch_size.inserted(self.batch.rows, self.batch.is_full, took);
        }
        Ok(())
    }

    fn note_uncertain(&self, error: &ServerError) {
        if error.may_have_inserted() {
            self.shared.counters.uncertain_inserts.add(1);
        }
    }

    /// Sends fewer parts together. Returns whether that is possible.
    fn divide(&mut self) -> bool {
        let rows = self.batch.rows * self.together as u64 / self.batch.body.parts().max(1) as u64;
        self.shared.batch_size.refused(rows);
        let divisible = self.together > 1 && !self.shared.options.ordered;
        if divisible {
            self.together = self.together.div_ceil(2);
        }
        divisible
    }
}

impl Retryable for Insertion<'_> {
    type Output = ();
    type Error = ServerError;

    async fn attempt(&mut self) -> Result<(), ServerError> {
        let parts = self.batch.body.parts();
        while self.done < parts {
            let next = self.done..parts.min(self.done + self.together);
            let end = next.end;
            match self.send(next).await {
                Ok(()) => self.done = end,
                Err(error) if error.is_out_of_memory() && self.divide() => {
                    let (chunk, rows) = (self.batch.attempt.chunk, self.batch.rows);
                    let parts = parts.div_ceil(self.together);
                    self.shared.throttle.inserting.refused(true);
                    self.note_uncertain(&error);
                    self.shared.counters.retrying(
                        RetryCause::Refused,
                        error.to_string(),
                        DIVIDED_PAUSE,
                    );
                    tracing::warn!(%chunk, rows, parts, %error, "the server has no memory for a batch, which is sent in parts");
                    sleep(DIVIDED_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn diagnose(&mut self, error: &ServerError) -> FailureKind {
        if error.is_out_of_space() && !std::mem::replace(&mut self.has_named_disks, true) {
            name_full_disks(self.shared).await;
        }
        self.note_uncertain(error);
        error.into()
    }

    fn before_retry(&mut self, failed: FailedAttempt<'_, ServerError>) {
        let FailedAttempt { number, error, pause, .. } = failed;
        self.shared.throttle.inserting.refused(error.is_out_of_memory());
        let outcome = if error.is_view_error() {
            "the rows may be in the target, of which a view failed"
        } else if error.may_have_inserted() {
            "it is not known whether the rows arrived"
        } else {
            "no row was inserted"
        };
        let (chunk, rows) = (self.batch.attempt.chunk, self.batch.rows);
        tracing::warn!(%chunk, attempt = number, rows, pause_ms = milliseconds(pause), %error, outcome, "an insert failed, the same bytes are sent again");
    }
}
