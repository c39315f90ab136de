//! What is shown of a run at one moment, whatever it is shown as.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bottleneck::{Lookout, Stage, Tasks};
use super::memory::memory_bytes;
use super::rate::{LONGER, RECENT, Rate};
use super::waiting::{Idle, reasons};
use crate::control::monitor::Sample;
use crate::engine::stream::{Counters, Phase, Snapshot, Stop, Throttle};

/// A run that is shown.
pub struct Shown {
    /// What it is called, such as `langfuse-events 202511`.
    pub name: String,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Its numbers.
    pub counters: Arc<Counters>,
    /// Whether it is asked to stop.
    pub stop: Stop,
    /// The most memory that the process may take, in bytes.
    pub memory_limit: u64,
    /// What holds it back, if anything may.
    pub throttle: Option<Arc<Throttle>>,
    /// How the target's server is, if it is watched.
    pub samples: Option<watch::Receiver<Sample>>,
}

/// The figures of one moment.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub name: String,
    pub dry_run: bool,
    pub stopping: bool,
    pub phase: Phase,
    pub elapsed: Duration,
    pub numbers: Snapshot,
    pub tasks: Tasks,
    pub rates: Rates,
    /// The time that is left, as far as that can be said.
    pub left: Option<Duration>,
    pub bottleneck: Option<Stage>,
    /// Of this process, in bytes.
    pub memory: Option<u64>,
    pub memory_limit: u64,
    /// How long ago a statement failed that was tried again, and why.
    pub last_retry: Option<(Duration, String)>,
    /// Why nothing moves, or less than could.
    pub waiting: Vec<String>,
    /// Rows that may be read a second.
    pub max_rows_per_second: Option<u64>,
    /// The target's server; nothing of it is known where it is not watched.
    pub server: Sample,
}

/// Each a second, over the recent past.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub lookup_rows: Option<f64>,
    pub read_rows: Option<f64>,
    pub read_bytes: Option<f64>,
    pub enriched_rows: Option<f64>,
    pub inserted_rows: Option<f64>,
    pub inserted_bytes: Option<f64>,
}

impl Figures {
    /// The share of the rows that is done, in percent; never all of it before the end.
    pub fn percent(&self) -> Option<f64> {
        let expected = self.numbers.rows_expected()?;
        let percent = 100.0 * self.numbers.inserted_rows as f64 / expected as f64;
        Some(if self.phase == Phase::Done { percent.min(100.0) } else { percent.min(99.9) })
    }

    /// The same without its fraction.
    pub fn whole_percent(&self) -> Option<u8> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 100"
        )]
        self.percent().map(|percent| percent as u8)
    }
}

/// Looks at a run again and again.
pub(super) struct Watch {
    shown: Shown,
    began: Instant,
    lookup_rows: Rate,
    read_rows: Rate,
    read_bytes: Rate,
    enriched_rows: Rate,
    inserted_rows: Rate,
    inserted_bytes: Rate,
    progress: Rate,
    lookout: Lookout,
    idle: Idle,
    phase: Phase,
}

impl Watch {
    pub fn new(shown: Shown) -> Self {
        let (now, recent) = (Instant::now(), || Rate::over(RECENT));
        Self {
            shown,
            began: now,
            lookup_rows: recent(),
            read_rows: recent(),
            read_bytes: recent(),
            enriched_rows: recent(),
            inserted_rows: recent(),
            inserted_bytes: recent(),
            progress: Rate::over(LONGER),
            lookout: Lookout::default(),
            idle: Idle::since(now),
            phase: Phase::Plan,
        }
    }

    /// Looks at the numbers now. Rates follow from how often this is called, so it should be a few
    /// times a second.
    pub fn look(&mut self) -> Figures {
        let (now, counters) = (Instant::now(), &self.shown.counters);
        let (numbers, phase, tasks) =
            (counters.snapshot(), counters.phase(), Tasks::from(&counters.activities));
        if phase != self.phase {
            (self.phase, self.lookout) = (phase, Lookout::default());
        }
        self.lookout.note(now, tasks);
        self.idle.note(now, &numbers);
        let enriched = numbers.matched_rows + numbers.matched_late_rows + numbers.unmatched_rows;
        for (rate, value) in [
            (&mut self.lookup_rows, numbers.lookup_rows),
            (&mut self.read_rows, numbers.source_rows),
            (&mut self.read_bytes, numbers.source_bytes),
            (&mut self.enriched_rows, enriched),
            (&mut self.inserted_rows, numbers.inserted_rows),
            (&mut self.inserted_bytes, numbers.inserted_bytes),
            (&mut self.progress, numbers.inserted_rows),
        ] {
            rate.note(now, value);
        }
        let rates = Rates {
            lookup_rows: self.lookup_rows.per_second(),
            read_rows: self.read_rows.per_second(),
            read_bytes: self.read_bytes.per_second(),
            enriched_rows: self.enriched_rows.per_second(),
            inserted_rows: self.inserted_rows.per_second(),
            inserted_bytes: self.inserted_bytes.per_second(),
        };
        let last_retry = counters.trouble.last_retry();
        let throttle = self.shown.throttle.as_ref();
        let held_back = throttle.map(|throttle| throttle.reasons()).unwrap_or_default();
        Figures {
            name: self.shown.name.clone(),
            dry_run: self.shown.dry_run,
            stopping: self.shown.stop.is_requested(),
            phase,
            elapsed: now.duration_since(self.began),
            left: numbers.rows_expected().and_then(|rows| self.progress.remaining(rows)),
            bottleneck: self.lookout.bottleneck(phase),
            memory: memory_bytes(),
            memory_limit: self.shown.memory_limit,
            waiting: reasons(now, phase, tasks, &self.idle, held_back, &counters.trouble),
            max_rows_per_second: throttle
                .and_then(|throttle| throttle.limits().max_rows_per_second),
            server: self
                .shown
                .samples
                .as_ref()
                .map_or_else(Sample::unknown, |samples| samples.borrow().clone()),
            last_retry: last_retry
                .map(|retry| (now.saturating_duration_since(retry.at), retry.reason)),
            numbers,
            tasks,
            rates,
        }
    }
}
