//! The figures of a run at one moment, and how they are sampled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bottleneck::{Idle, Stage, StageSampler, Tasks, waiting_reasons};
use crate::control::monitor::ServerStats;
use crate::engine::stream::{Counters, Phase, Snapshot, Throttle};
use crate::stop::Stop;

/// How far back the rate of a stage looks.
const RATE_WINDOW: Duration = Duration::from_secs(15);
/// How far back the rate for the remaining time looks: batches are large and come in bursts.
const REMAINING_WINDOW: Duration = Duration::from_secs(60);
/// The remaining time is unknown until samples cover this time.
const REMAINING_AFTER: Duration = Duration::from_secs(5);
/// A rate is unknown until samples cover this time.
const RATE_AFTER: Duration = Duration::from_millis(500);

/// A run whose progress is shown.
pub(crate) struct Shown {
    /// Its name, such as `langfuse-events 202511`.
    pub name: String,
    /// Whether this is a dry run.
    pub dry_run: bool,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Whether it was asked to stop.
    pub stop: Stop,
    /// How long inserts in flight are waited for then.
    pub drain_timeout: Duration,
    /// The memory limit of the process, in bytes.
    pub memory_limit: u64,
    /// What may hold the run back.
    pub throttle: Option<Arc<Throttle>>,
    /// The state of the target's server, if it is monitored.
    pub samples: Option<watch::Receiver<ServerStats>>,
}

/// The figures of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub name: String,
    pub dry_run: bool,
    /// While it stops: how long inserts in flight are still waited for.
    pub stopping: Option<Duration>,
    pub phase: Phase,
    pub elapsed: Duration,
    pub numbers: Snapshot,
    pub tasks: Tasks,
    /// The age of the oldest insert in flight.
    pub oldest_insert: Option<Duration>,
    pub rates: Rates,
    /// The estimated remaining time.
    pub left: Option<Duration>,
    pub bottleneck: Option<Stage>,
    /// Memory of this process, in bytes.
    pub memory: Option<u64>,
    pub memory_limit: u64,
    /// How long ago the last retried statement failed, and why.
    pub last_retry: Option<(Duration, String)>,
    /// Why no rows move, or fewer than possible.
    pub waiting: Vec<String>,
    /// The limit of rows read per second.
    pub max_rows_per_second: Option<u64>,
    /// The target's server; unknown where it is not monitored.
    pub server: ServerStats,
}

/// Per second, over the recent past.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub lookup_rows: Option<f64>,
    pub read_rows: Option<f64>,
    pub read_bytes: Option<f64>,
    pub enriched_rows: Option<f64>,
    pub inserted_rows: Option<f64>,
    pub inserted_bytes: Option<f64>,
}

impl Figures {
    /// Whether it is held back before the first attribute: no stage is the bottleneck then.
    pub(super) fn is_held_back(&self) -> bool {
        self.phase == Phase::Lookup && self.bottleneck.is_none() && !self.waiting.is_empty()
    }

    /// Rows of unfinished chunks whose inserts are acknowledged.
    pub(super) fn rows_in_unfinished_chunks(&self) -> u64 {
        self.numbers.inserted_rows.saturating_sub(self.numbers.rows_done)
    }

    /// The share of rows that are inserted, in percent; below 100 until the run has ended.
    pub(crate) fn percent(&self) -> Option<f64> {
        let expected = self.numbers.rows_expected()?;
        let percent = 100.0 * self.numbers.inserted_rows as f64 / expected as f64;
        Some(if self.phase == Phase::Done { percent.min(100.0) } else { percent.min(99.9) })
    }

    /// [`Self::percent`] without the fraction.
    pub(super) fn whole_percent(&self) -> Option<u8> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 100"
        )]
        self.percent().map(|percent| percent as u8)
    }
}

/// Samples the figures of a run.
pub(crate) struct FigureSampler {
    shown: Shown,
    began: Instant,
    rates: RateSampler,
    stages: StageSampler,
    idle: Idle,
    phase: Phase,
    /// When the stop was seen first.
    stopped_at: Option<Instant>,
}

impl FigureSampler {
    pub(crate) fn new(shown: Shown) -> Self {
        let now = Instant::now();
        Self {
            shown,
            began: now,
            rates: RateSampler::new(),
            stages: StageSampler::default(),
            idle: Idle::since(now),
            phase: Phase::Plan,
            stopped_at: None,
        }
    }

    /// Samples the figures now. Call it a few times per second: rates are made of these samples.
    pub(crate) fn sample(&mut self) -> Figures {
        let (now, counters) = (Instant::now(), &self.shown.counters);
        let (numbers, phase, tasks) =
            (counters.snapshot(), counters.phase(), Tasks::from(&counters.activities));
        if phase != self.phase {
            (self.phase, self.stages) = (phase, StageSampler::default());
        }
        if self.shown.stop.is_requested() {
            self.stopped_at.get_or_insert(now);
        }
        self.stages.note(now, tasks);
        self.idle.note(now, &numbers);
        let rates = self.rates.sample(now, &numbers);
        let last_retry = counters.retry_status.last_retry();
        let throttle = self.shown.throttle.as_ref();
        let held_back = throttle.map(|throttle| throttle.reasons()).unwrap_or_default();
        let is_held_back =
            phase == Phase::Lookup && !held_back.is_empty() && numbers.lookup_rows == 0;
        let waiting =
            waiting_reasons(now, phase, tasks, &self.idle, held_back, &counters.retry_status);
        Figures {
            name: self.shown.name.clone(),
            dry_run: self.shown.dry_run,
            stopping: self.stopped_at.map(|since| {
                self.shown.drain_timeout.saturating_sub(now.saturating_duration_since(since))
            }),
            phase,
            elapsed: now.duration_since(self.began),
            left: numbers.rows_expected().and_then(|rows| self.rates.progress.remaining(rows)),
            bottleneck: self.stages.bottleneck(phase).filter(|_| !is_held_back),
            memory: memory_bytes(),
            memory_limit: self.shown.memory_limit,
            waiting,
            max_rows_per_second: throttle
                .and_then(|throttle| throttle.limits().max_rows_per_second),
            server: self
                .shown
                .samples
                .as_ref()
                .map_or_else(ServerStats::unknown, |samples| samples.borrow().clone()),
            last_retry: last_retry
                .map(|retry| (now.saturating_duration_since(retry.failed_at), retry.reason)),
            oldest_insert: counters
                .in_flight
                .oldest()
                .map(|began| now.saturating_duration_since(began)),
            numbers,
            tasks,
            rates,
        }
    }
}

/// Samples the rates of the stages.
struct RateSampler {
    lookup_rows: Rate,
    read_rows: Rate,
    read_bytes: Rate,
    enriched_rows: Rate,
    inserted_rows: Rate,
    inserted_bytes: Rate,
    /// For the remaining time.
    progress: Rate,
}

impl RateSampler {
    fn new() -> Self {
        let rate = || Rate::over(RATE_WINDOW);
        Self {
            lookup_rows: rate(),
            read_rows: rate(),
            read_bytes: rate(),
            enriched_rows: rate(),
            inserted_rows: rate(),
            inserted_bytes: rate(),
            progress: Rate::over(REMAINING_WINDOW),
        }
    }

    fn sample(&mut self, now: Instant, numbers: &Snapshot) -> Rates {
        let enriched = numbers.matched_rows + numbers.matched_late_rows + numbers.unmatched_rows;
        self.progress.note(now, numbers.inserted_rows);
        let per_second = |rate: &mut Rate, value| {
            rate.note(now, value);
            rate.per_second()
        };
        Rates {
            lookup_rows: per_second(&mut self.lookup_rows, numbers.lookup_rows),
            read_rows: per_second(&mut self.read_rows, numbers.source_rows),
            read_bytes: per_second(&mut self.read_bytes, numbers.source_bytes),
            enriched_rows: per_second(&mut self.enriched_rows, enriched),
            inserted_rows: per_second(&mut self.inserted_rows, numbers.inserted_rows),
            inserted_bytes: per_second(&mut self.inserted_bytes, numbers.inserted_bytes),
        }
    }
}

/// How fast a counter has grown recently.
#[derive(Debug)]
pub(super) struct Rate {
    span: Duration,
    /// The counter's last value.
    value: u64,
    /// What the counter has lost to attempts that were given up: that was work too.
    taken_back: u64,
    /// When a value was noted, and all that was counted up to then.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    pub(super) fn over(span: Duration) -> Self {
        Self { span, value: 0, taken_back: 0, samples: VecDeque::new() }
    }

    /// Adds a sample.
    pub(super) fn note(&mut self, now: Instant, value: u64) {
        self.taken_back += self.value.saturating_sub(value);
        self.value = value;
        self.samples.push_back((now, value + self.taken_back));
        while self.samples.len() > 2
            && self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= self.span)
        {
            self.samples.pop_front();
        }
    }

    /// Growth per second; `None` while it is unknown.
    pub(super) fn per_second(&self) -> Option<f64> {
        self.after(RATE_AFTER)
    }

    /// The time until the counter reaches `goal` at this rate; `None` while it is unknown.
    pub(super) fn remaining(&self, goal: u64) -> Option<Duration> {
        let rate = self.after(REMAINING_AFTER).filter(|rate| *rate > 0.0)?;
        let left = goal.checked_sub(self.value)?;
        Duration::try_from_secs_f64(left as f64 / rate).ok()
    }

    fn after(&self, enough: Duration) -> Option<f64> {
        let ((began, first), (ended, last)) = (self.samples.front()?, self.samples.back()?);
        let time = ended.duration_since(*began);
        (time >= enough).then(|| (last - first) as f64 / time.as_secs_f64())
    }
}

/// The peak memory of the process in bytes: `VmHWM` of
/// [`/proc/self/status`](https://man7.org/linux/man-pages/man5/proc_pid_status.5.html); `None` where
/// that file does not exist.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    field("VmHWM:")
}

/// The current memory of the process, in bytes.
pub(crate) fn memory_bytes() -> Option<u64> {
    field("VmRSS:")
}

/// The memory that this process may still allocate, in bytes: the machine's available memory, or
/// what is left of the control group's limit if that is less.
pub(crate) fn available_memory_bytes() -> Option<u64> {
    let machine = fields("/proc/meminfo", "MemAvailable:")?;
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // cgroup v2, as containers and systemd set it; "max" is not a number and means no limit.
    let group = number("/sys/fs/cgroup/memory.max").map(|limit| {
        limit.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or_default())
    });
    Some(group.map_or(machine, |group| group.min(machine)))
}

fn field(name: &str) -> Option<u64> {
    fields("/proc/self/status", name)
}

fn fields(path: &str, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_look_at_the_recent_past() {
        let mut rate = Rate::over(RATE_WINDOW);
        let begin = Instant::now();
        assert_eq!(rate.per_second(), None);
        for second in 0..=60 {
            rate.note(
                begin + Duration::from_secs(second),
                if second < 30 { 0 } else { (second - 30) * 100 },
            );
            assert!(second >= 5 || rate.remaining(4000).is_none(), "after {second} s");
        }
        assert!((rate.per_second().unwrap() - 100.0).abs() < 1.0);
        assert_eq!(rate.remaining(4000).map(|left| left.as_secs()), Some(10));
        // Work that is taken back has to be repeated, at the same rate.
        rate.note(begin + Duration::from_secs(61), 1000);
        assert!((rate.per_second().unwrap() - 93.3).abs() < 1.0);
        assert_eq!(rate.remaining(4000).map(|left| left.as_secs()), Some(32));
        for second in 62..=80 {
            rate.note(begin + Duration::from_secs(second), 1000);
        }
        assert_eq!((rate.per_second(), rate.remaining(4000)), (Some(0.0), None), "nothing moves");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_has_memory() {
        let (peak, now) = (peak_memory_bytes().unwrap(), memory_bytes().unwrap());
        assert!(available_memory_bytes().unwrap() > 0);
        assert!(peak >= 1 << 20 && now >= 1 << 20, "{peak} {now}");
    }
}
