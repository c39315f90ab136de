//! The trial: a dry run of a few seconds over a few chunks, to estimate the speed of a run.
//!
//! Like any dry run, it writes nothing. It measures how fast rows are read, enriched, parsed and
//! evaluated, not how fast they are written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::counters::Counters;
use super::error::PipelineError;
use super::pipeline::Pipeline;
use super::shared::{PipelineOptions, Work};
use super::throttle::Throttle;
use crate::clickhouse::Servers;
use crate::job::BoundJob;
use crate::plan::Plan;
use crate::stop::Stop;

/// The most rows of a batch: a few seconds must see many batches.
const BATCH_ROWS: u64 = 20_000;
/// Chunks per reader. A trial ends long before they do.
const CHUNKS_PER_READER: usize = 2;
/// The time until the first row is acknowledged, as a multiple of the measurement's.
const MAX_STARTUP: u32 = 6;
/// The interval at which the counters are read.
const INTERVAL: Duration = Duration::from_millis(10);

/// The result of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trial {
    /// Rows that were acknowledged during the measurement.
    pub rows: u64,
    /// The duration of the measurement.
    pub elapsed: Duration,
}

impl Trial {
    /// Rows per second.
    pub(crate) fn rate(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }

    /// The time that this many rows would take.
    pub(crate) fn time_of(&self, rows: f64) -> Duration {
        Duration::try_from_secs_f64(rows / self.rate().max(1e-3)).unwrap_or(Duration::MAX)
    }
}

/// Streams chunks from the middle of the plan for this time; `None` where no row was acknowledged
/// within a few times as long.
///
/// # Errors
/// [`PipelineError`] of the dry run.
pub(crate) async fn trial(
    servers: &Servers,
    job: &Arc<BoundJob>,
    options: PipelineOptions,
    plan: &Plan,
    limit: Duration,
) -> Result<Option<Trial>, PipelineError> {
    let batch_rows = options.batch_rows.min(BATCH_ROWS);
    let readers = options.readers.most();
    let options = PipelineOptions { dry_run: true, batch_rows, ..options };
    let (counters, stop) = (Arc::new(Counters::default()), Stop::new());
    let throttle = Throttle::new(options.readers, options.inserters);
    let pipeline = Pipeline::new(
        servers.clone(),
        job.clone(),
        options,
        counters.clone(),
        stop.clone(),
        None,
        throttle,
    );
    let chosen = middle(plan.chunks.len(), readers * CHUNKS_PER_READER);
    let pending = (0..plan.chunks.len()).map(|chunk| chosen.contains(&chunk)).collect();
    let work = Work::only(pending);
    let mut seen = TrialProgress::new();
    let watching = async {
        while !seen.note(counters.inserted_rows.get(), limit) {
            sleep(INTERVAL).await;
        }
        stop.request();
        // The run ends now.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ran = pipeline.run(plan, &work) => ran.map(|_| ())?,
        () = watching => {}
    }
    Ok(seen.result(counters.inserted_rows.get()))
}

/// A range in the middle of the chunks: the first and the last ones often differ from the others.
fn middle(chunks: usize, wanted: usize) -> std::ops::Range<usize> {
    let wanted = wanted.clamp(1, chunks.max(1));
    let first = (chunks.max(1) - wanted) / 2;
    first..first + wanted
}

/// Acknowledged rows over time, from the first acknowledgement on. Before it, attributes are loaded
/// and batches are filled.
struct TrialProgress {
    began: Instant,
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl TrialProgress {
    fn new() -> Self {
        Self { began: Instant::now(), first: None, last: None }
    }

    /// Notes the number of rows. Returns whether the measurement is complete.
    fn note(&mut self, rows: u64, limit: Duration) -> bool {
        let now = Instant::now();
        match (self.first, self.last) {
            (None, _) if rows > 0 => self.first = Some((now, rows)),
            (Some((_, before)), last) if rows > last.map_or(before, |(_, rows)| rows) => {
                self.last = Some((now, rows));
            }
            _ => {}
        }
        match self.first {
            Some((first, _)) => now.duration_since(first) >= limit,
            None => now.duration_since(self.began) >= limit * MAX_STARTUP,
        }
    }

    /// The rows between the first acknowledgement and the last; if there was only one, those from
    /// the beginning.
    fn result(&self, rows: u64) -> Option<Trial> {
        match (self.first, self.last) {
            (Some((first, before)), Some((last, after))) => {
                Some(Trial { rows: after - before, elapsed: last.duration_since(first) })
            }
            _ if rows > 0 => Some(Trial { rows, elapsed: self.began.elapsed() }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_from_the_middle() {
        assert_eq!(middle(10, 4), 3..7);
        assert_eq!(middle(3, 4), 0..3);
        assert_eq!(middle(1, 8), 0..1);
        assert_eq!(middle(0, 8), 0..1);
    }

    #[test]
    fn times_follow_from_the_rate() {
        let trial = Trial { rows: 50_000, elapsed: Duration::from_millis(500) };
        assert_eq!(trial.time_of(1e6), Duration::from_secs(10));
        let nothing = Trial { rows: 0, elapsed: Duration::ZERO };
        assert!(nothing.time_of(1e30) > Duration::from_secs(1 << 40), "no overflow");
    }
}
