//! A dry run of a few seconds over a few chunks, to know how fast a run would be.
//!
//! It leaves nothing anywhere, as every dry run; what it found says how fast rows are read,
//! enriched, parsed and evaluated, not how fast they are written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Counters, Pipeline, PipelineError, PipelineOptions, Throttle, Work};
use crate::clickhouse::Servers;
use crate::job::BoundJob;
use crate::plan::Plan;
use crate::stop::Stop;

/// Smaller batches than a run's, so that a few seconds see many of them.
const BATCH_ROWS: u64 = 20_000;
/// Chunks for each reader; a trial is over long before they are.
const CHUNKS_A_READER: usize = 2;
/// Loading the attributes of these chunks may take so many times as long as the measurement.
const PATIENCE: u32 = 6;
/// How often the counters are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a trial found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Rows that were acknowledged while it was measured.
    pub rows: u64,
    /// How long it was measured.
    pub elapsed: Duration,
}

impl Trial {
    /// Rows a second.
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64().max(1e-3)
    }

    /// How long so many rows would take.
    pub fn time_of(&self, rows: f64) -> Duration {
        Duration::try_from_secs_f64(rows / self.rate().max(1e-3)).unwrap_or(Duration::MAX)
    }
}

/// Runs chunks from the middle of the plan for so long; `None` where nothing came back within a few
/// times as long.
///
/// # Errors
/// [`PipelineError`], as a dry run.
pub async fn trial(
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
    let chosen = middle(plan.chunks.len(), readers * CHUNKS_A_READER);
    let pending = (0..plan.chunks.len()).map(|chunk| chosen.contains(&chunk)).collect();
    let work = Work { pending, count: false, rows_before: 0, reports: None, counted: None };
    let mut seen = Seen::new();
    let watching = async {
        while !seen.look(counters.inserted_rows.get(), limit) {
            sleep(LOOK).await;
        }
        stop.request();
        // The run ends of itself now.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ran = pipeline.run(plan, &work) => ran.map(|_| ())?,
        () = watching => {}
    }
    Ok(seen.found(counters.inserted_rows.get()))
}

/// So many of the chunks, from their middle: the first and the last are often unlike the others.
fn middle(chunks: usize, wanted: usize) -> std::ops::Range<usize> {
    let wanted = wanted.clamp(1, chunks.max(1));
    let first = (chunks.max(1) - wanted) / 2;
    first..first + wanted
}

/// Acknowledged rows over time, from the first acknowledgement on: what comes before it is loading
/// and filling.
struct Seen {
    began: Instant,
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Seen {
    fn new() -> Self {
        Self { began: Instant::now(), first: None, last: None }
    }

    /// Notes how many rows there are; gives whether enough was seen.
    fn look(&mut self, rows: u64, limit: Duration) -> bool {
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
            None => now.duration_since(self.began) >= limit * PATIENCE,
        }
    }

    /// Between the first acknowledgement and the last; of a partition that is one batch, from the
    /// beginning.
    fn found(&self, rows: u64) -> Option<Trial> {
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
