//! How many tasks work at once: a fixed number, or one that adapts to the server.
//!
//! The number adapts as the window of TCP does (additive increase, multiplicative decrease): one
//! more while that raises the throughput, half when the server refuses work. The throughput is
//! measured over periods of a few finished pieces of work.
//!
//! ```text
//!            more throughput than before                 refusal
//! level n ──────────────────────────────► level n + 1 ───────────► level / 2
//!    ▲                                          │
//!    └────── no more throughput, wait a while ──┘
//! ```

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::{Mutex, MutexGuard};

/// How many tasks work at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concurrency {
    /// Always this many.
    Fixed(usize),
    /// As many as raise the throughput.
    Auto {
        /// At the beginning.
        first: usize,
        /// At most.
        most: usize,
    },
}

impl Concurrency {
    /// The most tasks.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Fixed(level) => level.max(1),
            Self::Auto { most, .. } => most.max(1),
        }
    }

    /// The tasks at the start.
    pub(crate) fn first(self) -> usize {
        match self {
            Self::Fixed(level) => level.max(1),
            Self::Auto { first, .. } => first.clamp(1, self.most()),
        }
    }
}

/// An increase that does not raise the throughput by this factor is taken back.
const MIN_GAIN: f64 = 1.04;
/// The number of periods without a change after a decrease.
const REST_PERIODS: u32 = 12;
/// The shortest period, so that one slow piece of work does not decide.
const MIN_PERIOD: Duration = Duration::from_secs(3);

/// Issues permits to a changing number of tasks.
#[derive(Debug)]
pub(in crate::engine) struct ConcurrencyLimiter {
    permits: Arc<Semaphore>,
    controller: Mutex<AimdController>,
}

/// The right to work, returned when it is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Permit {
    permit: Option<OwnedSemaphorePermit>,
    limiter: Arc<ConcurrencyLimiter>,
}

impl ConcurrencyLimiter {
    pub(super) fn new(concurrency: Concurrency) -> Arc<Self> {
        let controller = AimdController::new(concurrency, Instant::now());
        let permits = Arc::new(Semaphore::new(controller.level));
        Arc::new(Self { permits, controller: Mutex::new(controller) })
    }

    /// Waits for a permit.
    pub(in crate::engine) async fn permit(self: &Arc<Self>) -> Permit {
        // The semaphore is never closed. If it were, the work would go on without a limit.
        let permit = self.permits.clone().acquire_owned().await.ok();
        Permit { permit, limiter: self.clone() }
    }

    /// The number of tasks that may work now.
    pub(super) fn level(&self) -> usize {
        self.controller().level
    }

    /// Notes that a piece of work of this many bytes is finished. `saturated`: there was more work
    /// than tasks.
    pub(in crate::engine) fn finished(&self, bytes: u64, saturated: bool) {
        let now = Instant::now();
        self.apply(|level| level.finished(now, bytes, saturated));
    }

    /// Notes that the server refused a piece of work. Where it had no memory for it, even a fixed
    /// number is halved, and grows back while there is memory.
    pub(in crate::engine) fn refused(&self, no_memory: bool) {
        let now = Instant::now();
        self.apply(|level| level.refused(now, no_memory));
    }

    /// Fixes the number of tasks, within the cap.
    pub(super) fn fix(&self, level: usize) {
        self.apply(|controller| controller.fix(level));
    }

    /// Lets the number adapt, from where it is, up to `most`.
    pub(super) fn adapt(&self, most: usize) {
        let now = Instant::now();
        self.apply(|controller| controller.adapt(now, most));
    }

    /// Whether the number adapts.
    pub(super) fn is_adaptive(&self) -> bool {
        self.controller().adapts
    }

    /// Caps the number whatever else is set; `usize::MAX` removes the cap.
    pub(super) fn cap(&self, most: usize) {
        self.apply(|controller| controller.cap(most));
    }

    fn apply(&self, change: impl FnOnce(&mut AimdController)) {
        let mut controller = self.controller();
        let before = controller.level;
        change(&mut controller);
        let after = controller.level;
        if after > before {
            // Permits that were to be withdrawn are kept.
            let kept = controller.to_withdraw.min(after - before);
            controller.to_withdraw -= kept;
            self.permits.add_permits(after - before - kept);
        } else {
            controller.to_withdraw += before - after;
            let withdrawn = self.permits.forget_permits(controller.to_withdraw);
            controller.to_withdraw -= withdrawn;
        }
        if after != before {
            tracing::debug!(before, after, "concurrency changes");
        }
    }

    fn controller(&self) -> MutexGuard<'_, AimdController> {
        self.controller.lock()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut controller = self.limiter.controller();
        if controller.to_withdraw > 0
            && let Some(permit) = self.permit.take()
        {
            controller.to_withdraw -= 1;
            permit.forget();
        }
    }
}

/// The number of tasks, without clocks or tasks.
#[derive(Debug)]
struct AimdController {
    level: usize,
    /// Whether the level adapts. If not, the bounds contain one level, or all below it since the server
    /// had no memory.
    adapts: bool,
    bounds: RangeInclusive<usize>,
    /// A limit from outside.
    cap: usize,
    /// Permits to withdraw when they are returned.
    to_withdraw: usize,
    period_began: Instant,
    period_bytes: u64,
    period_pieces: usize,
    saturated: bool,
    /// The throughput before the last increase, in bytes a second.
    before_increase: Option<f64>,
    rest: u32,
}

impl AimdController {
    fn new(concurrency: Concurrency, now: Instant) -> Self {
        let first = concurrency.first();
        let bounds = match concurrency {
            Concurrency::Fixed(_) => first..=first,
            Concurrency::Auto { .. } => 1..=concurrency.most(),
        };
        Self {
            level: first,
            adapts: matches!(concurrency, Concurrency::Auto { .. }),
            bounds,
            cap: usize::MAX,
            to_withdraw: 0,
            period_began: now,
            period_bytes: 0,
            period_pieces: 0,
            saturated: true,
            before_increase: None,
            rest: 0,
        }
    }

    fn finished(&mut self, now: Instant, bytes: u64, saturated: bool) {
        self.period_bytes += bytes;
        self.period_pieces += 1;
        self.saturated &= saturated;
        let elapsed = now.saturating_duration_since(self.period_began);
        if elapsed < MIN_PERIOD || self.period_pieces < 2 * self.level {
            return;
        }
        let throughput = self.period_bytes as f64 / elapsed.as_secs_f64();
        let saturated = self.saturated;
        self.begin_period(now);
        if !self.adapts {
            self.rest = self.rest.saturating_sub(1);
            if self.rest == 0 && self.level < self.most() {
                self.set(self.level + 1);
                self.rest = REST_PERIODS;
            }
            return;
        }
        if let Some(before) = self.before_increase.take()
            && throughput < before * MIN_GAIN
        {
            self.set(self.level.saturating_sub(1));
            self.rest = REST_PERIODS;
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if saturated && self.level < self.most() {
            self.before_increase = Some(throughput);
            self.set(self.level + 1);
        }
    }

    fn refused(&mut self, now: Instant, no_memory: bool) {
        if no_memory {
            self.bounds = 1..=*self.bounds.end();
        }
        self.before_increase = None;
        self.rest = REST_PERIODS;
        self.set(self.level / 2);
        self.begin_period(now);
    }

    fn fix(&mut self, level: usize) {
        let level = level.max(1);
        (self.adapts, self.bounds) = (false, level..=level);
        self.before_increase = None;
        self.set(level);
    }

    fn adapt(&mut self, now: Instant, most: usize) {
        let bounds = 1..=most.max(1);
        if self.adapts && self.bounds == bounds {
            return;
        }
        (self.adapts, self.bounds) = (true, bounds);
        (self.before_increase, self.rest) = (None, 0);
        self.begin_period(now);
        self.set(self.level);
    }

    fn cap(&mut self, most: usize) {
        let most = most.max(1);
        if most == self.cap {
            return;
        }
        self.cap = most;
        // The throughput was measured at another level.
        self.before_increase = None;
        self.set(self.level);
    }

    fn most(&self) -> usize {
        (*self.bounds.end()).min(self.cap)
    }

    fn set(&mut self, level: usize) {
        let most = self.most();
        self.level = level.clamp((*self.bounds.start()).min(most), most);
    }

    fn begin_period(&mut self, now: Instant) {
        (self.period_began, self.period_bytes, self.period_pieces, self.saturated) =
            (now, 0, 0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs periods against a server that does `rate(level)` bytes a second; gives the levels at
    /// the end of each.
    fn run(
        level: &mut AimdController,
        periods: usize,
        rate: impl Fn(usize) -> u64,
        saturated: bool,
    ) -> Vec<usize> {
        let mut now = level.period_began;
        let period = |level: &mut AimdController, now: &mut Instant| {
            let pieces = 2 * level.level;
            let bytes = rate(level.level) * 4 / pieces as u64;
            for piece in 0..pieces {
                if piece + 1 == pieces {
                    *now += Duration::from_secs(4);
                }
                level.finished(*now, bytes, saturated);
            }
            level.level
        };
        (0..periods).map(|_| period(level, &mut now)).collect()
    }

    #[test]
    fn the_level_grows_while_that_brings_something() {
        let mut level =
            AimdController::new(Concurrency::Auto { first: 1, most: 16 }, Instant::now());
        let levels = run(&mut level, 20, |level| 1_000_000 * level.min(4) as u64, true);
        assert_eq!(levels.iter().max(), Some(&5), "one more than useful is tried: {levels:?}");
        assert_eq!(levels.get(6..16), Some([4; 10].as_slice()), "and given up: {levels:?}");
    }

    #[test]
    fn without_more_to_do_the_level_stays() {
        let mut level =
            AimdController::new(Concurrency::Auto { first: 2, most: 16 }, Instant::now());
        assert_eq!(run(&mut level, 5, |_| 1_000_000, false), [2; 5]);
    }

    #[test]
    fn a_refusal_halves_and_a_fixed_number_stays() {
        let mut level =
            AimdController::new(Concurrency::Auto { first: 8, most: 16 }, Instant::now());
        level.refused(Instant::now(), false);
        assert_eq!(level.level, 4);
        for _ in 0..5 {
            level.refused(Instant::now(), false);
        }
        assert_eq!(level.level, 1);
        let mut fixed = AimdController::new(Concurrency::Fixed(3), Instant::now());
        fixed.refused(Instant::now(), false);
        assert_eq!(run(&mut fixed, 5, |level| level as u64 * 1_000_000, true), [3; 5]);
    }

    #[test]
    fn a_fixed_number_is_lowered_while_the_server_has_no_memory() {
        let now = Instant::now();
        let mut fixed = AimdController::new(Concurrency::Fixed(4), now);
        for level in [2, 1, 1] {
            fixed.refused(now, true);
            assert_eq!(fixed.level, level);
        }
        fixed.refused(now, false);
        assert_eq!(fixed.level, 1, "another refusal does not raise it");
        let rest = usize::try_from(REST_PERIODS).unwrap();
        let levels = run(&mut fixed, 4 * rest, |level| level as u64 * 1_000_000, false);
        assert_eq!(levels.get(rest - 2..=rest - 1), Some([1, 2].as_slice()), "{levels:?}");
        assert_eq!(levels.last(), Some(&4), "it comes back: {levels:?}");
        fixed.refused(now, true);
        fixed.fix(3);
        assert_eq!(fixed.level, 3, "whoever fixes it anew is obeyed");
    }

    #[test]
    fn a_bound_from_outside_stands_above_everything() {
        let now = Instant::now();
        let mut controller = AimdController::new(Concurrency::Fixed(6), now);
        controller.cap(2);
        assert_eq!(controller.level, 2);
        controller.fix(8);
        assert_eq!(controller.level, 2);
        controller.cap(5);
        assert_eq!(controller.level, 5, "a fixed number comes back");
        controller.cap(usize::MAX);
        assert_eq!(controller.level, 8);

        let mut controller = AimdController::new(Concurrency::Auto { first: 4, most: 16 }, now);
        controller.cap(2);
        assert_eq!(run(&mut controller, 5, |level| 1_000_000 * level as u64, true), [2; 5]);
        controller.cap(usize::MAX);
        assert_eq!(controller.level, 2, "one that is looked for grows by itself");
        let levels = run(&mut controller, 40, |level| 1_000_000 * level as u64, true);
        assert_eq!(levels.last(), Some(&16), "{levels:?}");
        controller.fix(3);
        controller.refused(now, false);
        assert_eq!(controller.level, 3);
    }

    #[test]
    fn a_fixed_number_is_left_for_a_level_that_is_found() {
        let now = Instant::now();
        let mut controller = AimdController::new(Concurrency::Fixed(2), now);
        controller.adapt(now, 6);
        assert_eq!(controller.level, 2, "it is looked for from where it is");
        let levels = run(&mut controller, 20, |level| 1_000_000 * level as u64, true);
        assert_eq!(
            (levels.first(), levels.last()),
            (Some(&3), Some(&6)),
            "one more at a time, up to the bound: {levels:?}"
        );
        controller.refused(controller.period_began, false);
        assert_eq!(controller.level, 3, "and half of it when the server refuses");
        controller.adapt(now, 6);
        assert_eq!(controller.rest, REST_PERIODS, "what was learned stays where nothing changes");

        controller.fix(9);
        assert_eq!((controller.level, controller.adapts), (9, false));
        controller.cap(4);
        controller.adapt(now, 6);
        assert_eq!((controller.level, controller.adapts), (4, true));
        controller.cap(usize::MAX);
        assert_eq!(
            run(&mut controller, 20, |level| 1_000_000 * level as u64, true).last(),
            Some(&6)
        );
    }

    #[tokio::test]
    async fn permits_follow_the_level() {
        let limiter = ConcurrencyLimiter::new(Concurrency::Auto { first: 2, most: 4 });
        let (one, two) = (limiter.permit().await, limiter.permit().await);
        assert_eq!(limiter.permits.available_permits(), 0);
        limiter.refused(false);
        drop(one);
        assert_eq!(limiter.permits.available_permits(), 0, "this permit was withdrawn");
        drop(two);
        assert_eq!(limiter.permits.available_permits(), 1);
        limiter.apply(|level| level.set(4));
        assert_eq!(limiter.permits.available_permits(), 4);
    }
}
