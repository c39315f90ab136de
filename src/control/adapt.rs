//! How many batches are inserted at once while the server is near a limit: half, then one more at a
//! time.

use std::time::Duration;

use tokio::time::Instant;

/// After a change, so long nothing more is changed, since its effect takes time to show.
const REST: Duration = Duration::from_secs(10);
/// Near a limit begins at this share of it.
const NEAR: f64 = 0.9;

/// A bound on the inserters, found by additive increase and multiplicative decrease.
#[derive(Debug, Default)]
pub(super) struct Adapt {
    bound: Option<Bound>,
    looked: Option<Instant>,
    pressure: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    now: usize,
    /// How many inserters there were before there was a bound.
    before: usize,
}

impl Adapt {
    /// The bound from now on, `usize::MAX` for none. `pressure` is which share of a limit is
    /// reached, and `level` how many inserters are at work.
    pub fn next(&mut self, now: Instant, pressure: f64, level: usize) -> usize {
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= REST) {
            // What stays as it is near a limit, such as the memory of a server with large caches,
            // is not this run's doing.
            let too_much = pressure >= 1.0 || (pressure >= NEAR && pressure > self.pressure);
            let bound = match self.bound {
                _ if too_much => Some(self.half(level)),
                Some(bound) if pressure < NEAR => Some(Bound { now: bound.now + 1, ..bound })
                    .filter(|bound| bound.now < bound.before),
                unchanged => unchanged,
            };
            if bound != self.bound {
                tracing::debug!(pressure, before = ?self.bound, after = ?bound, "the bound on inserters changes");
            }
            (self.bound, self.looked, self.pressure) = (bound, Some(now), pressure);
        }
        self.bound.map_or(usize::MAX, |bound| bound.now)
    }

    fn half(&self, level: usize) -> Bound {
        let Bound { now, before } = self.bound.unwrap_or(Bound { now: level, before: level });
        Bound { now: (now.min(level) / 2).max(1), before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: usize = usize::MAX;

    /// The bounds that follow from these pressures, one for each time of rest, with so many
    /// inserters where there is none.
    fn bounds(pressures: &[f64], inserters: usize) -> Vec<usize> {
        let (mut adapt, mut now, mut bound) = (Adapt::default(), Instant::now(), NONE);
        let next = |&pressure: &f64| {
            now += REST;
            bound = adapt.next(now, pressure, inserters.min(bound));
            bound
        };
        pressures.iter().map(next).collect()
    }

    #[test]
    fn half_near_a_limit_and_one_more_at_a_time_after_it() {
        let found = bounds(&[0.5, 0.95, 1.2, 1.0, 1.0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], 8);
        assert_eq!(found, [NONE, 4, 2, 1, 1, 2, 3, 4, 5, 6, 7, NONE, NONE]);
    }

    #[test]
    fn what_does_not_grow_near_a_limit_changes_nothing() {
        assert_eq!(bounds(&[0.92, 0.92, 0.92, 0.91, 0.93, 0.93], 8), [4, 4, 4, 4, 2, 2]);
    }

    #[test]
    fn an_effect_is_waited_for() {
        let (mut adapt, now) = (Adapt::default(), Instant::now());
        assert_eq!(adapt.next(now, 1.1, 8), 4);
        assert_eq!(adapt.next(now + REST / 2, 1.2, 4), 4);
        assert_eq!(adapt.next(now + REST / 2, 0.1, 4), 4);
        assert_eq!(adapt.next(now + REST, 1.2, 4), 2);
    }
}
