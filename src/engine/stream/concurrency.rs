//! How much is done at once: a fixed number, or one that finds its level.
//!
//! The level is looked for as TCP looks for its window: one more as long as that brings something,
//! half as soon as the server refuses. What it brings is measured over windows of a few finished
//! pieces of work.
//!
//! ```text
//!            more throughput than before                 refusal
//! level n ──────────────────────────────► level n + 1 ───────────► level / 2
//!    ▲                                          │
//!    └────── no more throughput, wait a while ──┘
//! ```

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// Always so many.
    Fixed(usize),
    /// As many as bring something, at most so many.
    Auto {
        /// To begin with.
        first: usize,
        /// Never more.
        most: usize,
    },
}

impl Concurrency {
    /// The most that may be at work at once.
    pub fn most(self) -> usize {
        match self {
            Self::Fixed(level) => level.max(1),
            Self::Auto { most, .. } => most.max(1),
        }
    }

    fn first(self) -> usize {
        match self {
            Self::Fixed(level) => level.max(1),
            Self::Auto { first, .. } => first.clamp(1, self.most()),
        }
    }
}

/// An increase must bring this much, or it is taken back.
const WORTH_IT: f64 = 1.04;
/// Windows without a change after an increase brought nothing.
const REST_WINDOWS: u32 = 12;
/// A window has at least this much time, so that one slow piece of work does not decide.
const WINDOW: Duration = Duration::from_secs(3);

/// Lets a changing number of tasks work.
#[derive(Debug)]
pub(super) struct Limiter {
    permits: Arc<Semaphore>,
    state: Mutex<Search>,
}

/// The right to work; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    limiter: Arc<Limiter>,
}

impl Limiter {
    pub fn new(concurrency: Concurrency) -> Arc<Self> {
        let level = Search::new(concurrency, Instant::now());
        Arc::new(Self { permits: Arc::new(Semaphore::new(level.level)), state: Mutex::new(level) })
    }

    /// Waits for a turn.
    pub async fn turn(self: &Arc<Self>) -> Turn {
        // The semaphore is never closed; were it, the work would go on without a bound.
        let permit = self.permits.clone().acquire_owned().await.ok();
        Turn { permit, limiter: self.clone() }
    }

    /// How many may work now.
    pub fn level(&self) -> usize {
        self.state().level
    }

    /// So many bytes were finished. `saturated`: there was more to do than hands.
    pub fn finished(&self, bytes: u64, saturated: bool) {
        let now = Instant::now();
        self.apply(|level| level.finished(now, bytes, saturated));
    }

    /// The server could not take what was asked of it.
    pub fn refused(&self) {
        let now = Instant::now();
        self.apply(|level| level.refused(now));
    }

    /// From now on always so many may work, as long as they are not held below that.
    pub fn fix(&self, level: usize) {
        self.apply(|search| search.fix(level));
    }

    /// From now on the level is looked for, from where it is, and is at most this.
    pub fn find(&self, most: usize) {
        let now = Instant::now();
        self.apply(|search| search.find(now, most));
    }

    /// Whether the level is looked for, and not fixed.
    pub fn is_found(&self) -> bool {
        self.state().looks
    }

    /// At most so many may work, whatever else is said; `usize::MAX` for no such bound.
    pub fn hold(&self, most: usize) {
        self.apply(|search| search.hold(most));
    }

    fn apply(&self, change: impl FnOnce(&mut Search)) {
        let mut state = self.state();
        let before = state.level;
        change(&mut state);
        let after = state.level;
        if after > before {
            // Turns that were to be withdrawn are simply kept.
            let kept = state.to_withdraw.min(after - before);
            state.to_withdraw -= kept;
            self.permits.add_permits(after - before - kept);
        } else {
            state.to_withdraw += before - after;
            let withdrawn = self.permits.forget_permits(state.to_withdraw);
            state.to_withdraw -= withdrawn;
        }
        if after != before {
            tracing::debug!(before, after, "concurrency changes");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Search> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if state.to_withdraw > 0
            && let Some(permit) = self.permit.take()
        {
            state.to_withdraw -= 1;
            permit.forget();
        }
    }
}

/// The search for the level, without clocks or tasks.
#[derive(Debug)]
struct Search {
    level: usize,
    /// Whether the level is looked for within the bounds, which else have room for one alone.
    looks: bool,
    bounds: RangeInclusive<usize>,
    /// A bound from outside, above which the level never is.
    held: usize,
    /// Turns that are to end although they were given out already.
    to_withdraw: usize,
    window_began: Instant,
    window_bytes: u64,
    window_pieces: usize,
    saturated: bool,
    /// The throughput before the last increase, in bytes a second.
    before_increase: Option<f64>,
    rest: u32,
}

impl Search {
    fn new(concurrency: Concurrency, now: Instant) -> Self {
        let first = concurrency.first();
        let bounds = match concurrency {
            Concurrency::Fixed(_) => first..=first,
            Concurrency::Auto { .. } => 1..=concurrency.most(),
        };
        Self {
            level: first,
            looks: matches!(concurrency, Concurrency::Auto { .. }),
            bounds,
            held: usize::MAX,
            to_withdraw: 0,
            window_began: now,
            window_bytes: 0,
            window_pieces: 0,
            saturated: true,
            before_increase: None,
            rest: 0,
        }
    }

    fn finished(&mut self, now: Instant, bytes: u64, saturated: bool) {
        self.window_bytes += bytes;
        self.window_pieces += 1;
        self.saturated &= saturated;
        let elapsed = now.saturating_duration_since(self.window_began);
        if elapsed < WINDOW || self.window_pieces < 2 * self.level {
            return;
        }
        let throughput = self.window_bytes as f64 / elapsed.as_secs_f64();
        let saturated = self.saturated;
        self.begin_window(now);
        if let Some(before) = self.before_increase.take()
            && throughput < before * WORTH_IT
        {
            self.set(self.level.saturating_sub(1));
            self.rest = REST_WINDOWS;
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if saturated && self.level < self.most() {
            self.before_increase = Some(throughput);
            self.set(self.level + 1);
        }
    }

    fn refused(&mut self, now: Instant) {
        self.before_increase = None;
        self.rest = REST_WINDOWS;
        self.set(self.level / 2);
        self.begin_window(now);
    }

    fn fix(&mut self, level: usize) {
        let level = level.max(1);
        (self.looks, self.bounds) = (false, level..=level);
        self.before_increase = None;
        self.set(level);
    }

    fn find(&mut self, now: Instant, most: usize) {
        let bounds = 1..=most.max(1);
        if self.looks && self.bounds == bounds {
            return;
        }
        (self.looks, self.bounds) = (true, bounds);
        (self.before_increase, self.rest) = (None, 0);
        self.begin_window(now);
        self.set(self.level);
    }

    fn hold(&mut self, most: usize) {
        let most = most.max(1);
        if most == self.held {
            return;
        }
        self.held = most;
        // What was measured at another level says nothing.
        self.before_increase = None;
        self.set(self.level);
    }

    fn most(&self) -> usize {
        (*self.bounds.end()).min(self.held)
    }

    fn set(&mut self, level: usize) {
        let most = self.most();
        self.level = level.clamp((*self.bounds.start()).min(most), most);
    }

    fn begin_window(&mut self, now: Instant) {
        (self.window_began, self.window_bytes, self.window_pieces, self.saturated) =
            (now, 0, 0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs windows against a server that does `rate(level)` bytes a second; gives the levels at
    /// the end of each.
    fn run(
        level: &mut Search,
        windows: usize,
        rate: impl Fn(usize) -> u64,
        saturated: bool,
    ) -> Vec<usize> {
        let mut now = level.window_began;
        let window = |level: &mut Search, now: &mut Instant| {
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
        (0..windows).map(|_| window(level, &mut now)).collect()
    }

    #[test]
    fn the_level_grows_while_that_brings_something() {
        let mut level = Search::new(Concurrency::Auto { first: 1, most: 16 }, Instant::now());
        let levels = run(&mut level, 20, |level| 1_000_000 * level.min(4) as u64, true);
        assert_eq!(levels.iter().max(), Some(&5), "one more than useful is tried: {levels:?}");
        assert_eq!(levels.get(6..16), Some([4; 10].as_slice()), "and given up: {levels:?}");
    }

    #[test]
    fn without_more_to_do_the_level_stays() {
        let mut level = Search::new(Concurrency::Auto { first: 2, most: 16 }, Instant::now());
        assert_eq!(run(&mut level, 5, |_| 1_000_000, false), [2; 5]);
    }

    #[test]
    fn a_refusal_halves_and_a_fixed_number_stays() {
        let mut level = Search::new(Concurrency::Auto { first: 8, most: 16 }, Instant::now());
        level.refused(Instant::now());
        assert_eq!(level.level, 4);
        for _ in 0..5 {
            level.refused(Instant::now());
        }
        assert_eq!(level.level, 1);
        let mut fixed = Search::new(Concurrency::Fixed(3), Instant::now());
        fixed.refused(Instant::now());
        assert_eq!(run(&mut fixed, 5, |level| level as u64 * 1_000_000, true), [3; 5]);
    }

    #[test]
    fn a_bound_from_outside_stands_above_everything() {
        let now = Instant::now();
        let mut search = Search::new(Concurrency::Fixed(6), now);
        search.hold(2);
        assert_eq!(search.level, 2);
        search.fix(8);
        assert_eq!(search.level, 2);
        search.hold(5);
        assert_eq!(search.level, 5, "a fixed number comes back");
        search.hold(usize::MAX);
        assert_eq!(search.level, 8);

        let mut search = Search::new(Concurrency::Auto { first: 4, most: 16 }, now);
        search.hold(2);
        assert_eq!(run(&mut search, 5, |level| 1_000_000 * level as u64, true), [2; 5]);
        search.hold(usize::MAX);
        assert_eq!(search.level, 2, "one that is looked for grows by itself");
        let levels = run(&mut search, 40, |level| 1_000_000 * level as u64, true);
        assert_eq!(levels.last(), Some(&16), "{levels:?}");
        search.fix(3);
        search.refused(now);
        assert_eq!(search.level, 3);
    }

    #[test]
    fn a_fixed_number_is_left_for_a_level_that_is_found() {
        let now = Instant::now();
        let mut search = Search::new(Concurrency::Fixed(2), now);
        search.find(now, 6);
        assert_eq!(search.level, 2, "it is looked for from where it is");
        let levels = run(&mut search, 20, |level| 1_000_000 * level as u64, true);
        assert_eq!(
            (levels.first(), levels.last()),
            (Some(&3), Some(&6)),
            "one more at a time, up to the bound: {levels:?}"
        );
        search.refused(search.window_began);
        assert_eq!(search.level, 3, "and half of it when the server refuses");
        search.find(now, 6);
        assert_eq!(search.rest, REST_WINDOWS, "what was learned stays where nothing changes");

        search.fix(9);
        assert_eq!((search.level, search.looks), (9, false));
        search.hold(4);
        search.find(now, 6);
        assert_eq!((search.level, search.looks), (4, true));
        search.hold(usize::MAX);
        assert_eq!(run(&mut search, 20, |level| 1_000_000 * level as u64, true).last(), Some(&6));
    }

    #[tokio::test]
    async fn turns_follow_the_level() {
        let limiter = Limiter::new(Concurrency::Auto { first: 2, most: 4 });
        let (one, two) = (limiter.turn().await, limiter.turn().await);
        assert_eq!(limiter.permits.available_permits(), 0);
        limiter.refused();
        drop(one);
        assert_eq!(limiter.permits.available_permits(), 0, "this turn was withdrawn");
        drop(two);
        assert_eq!(limiter.permits.available_permits(), 1);
        limiter.apply(|level| level.set(4));
        assert_eq!(limiter.permits.available_permits(), 4);
    }
}
