//! What a person has asked for, which holds for all runs of a command that fills several partitions
//! one after another.

use super::rules::Rules;
use super::setting::{Level, Setting, SettingError};
use crate::engine::stream::{ConcurrencyOutOfRange, Throttle};
use crate::sync::{Mutex, MutexGuard};

/// What was asked for with flags, and since then with `ctl`.
#[derive(Debug, Default)]
pub struct Wishes(Mutex<Wished>);

#[derive(Debug, Default)]
struct Wished {
    rules: Rules,
    paused: bool,
    max_rows_per_second: Option<u64>,
    /// `None` as long as nobody has said so with `ctl`.
    readers: Option<Level>,
    inserters: Option<Level>,
}

impl Wishes {
    /// As the flags say.
    pub fn new(rules: Rules, max_rows_per_second: Option<u64>) -> Self {
        Self(Mutex::new(Wished { rules, max_rows_per_second, ..Wished::default() }))
    }

    pub(super) fn rules(&self) -> Rules {
        self.lock().rules.clone()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    pub(super) fn pause(&self, paused: bool) {
        self.lock().paused = paused;
    }

    /// Lets a run that begins be as was asked for so far. What it cannot do, since it was made for
    /// less, is left.
    pub(super) fn apply(&self, throttle: &Throttle) {
        let Wished { max_rows_per_second, readers, inserters, .. } = *self.lock();
        throttle.set_max_rows_per_second(max_rows_per_second);
        let done = [
            readers.map(|level| set_readers(throttle, level)),
            inserters.map(|level| set_inserters(throttle, level)),
        ];
        for error in done.into_iter().flatten().filter_map(Result::err) {
            tracing::warn!("{error} with ctl before; this run does as many as it finds useful");
        }
    }

    /// Changes a setting, of the run under way and of those after it.
    pub(super) fn change(&self, setting: Setting, throttle: &Throttle) -> Result<(), SettingError> {
        let mut wished = self.lock();
        match setting {
            Setting::Inserters(inserters) => {
                set_inserters(throttle, inserters)?;
                wished.inserters = Some(inserters);
            }
            Setting::Readers(readers) => {
                set_readers(throttle, readers)?;
                wished.readers = Some(readers);
            }
            Setting::MaxRowsPerSecond(rows) => {
                throttle.set_max_rows_per_second(rows);
                wished.max_rows_per_second = rows;
            }
            Setting::MaxParts(parts) => wished.rules.max_parts = parts,
            Setting::MaxMerges(merges) => wished.rules.max_merges = merges,
            Setting::MaxServerMemoryUsed(percent) => {
                wished.rules.max_server_memory_percent = percent;
            }
            Setting::MaxReplicaDelay(delay) => wished.rules.max_replica_delay = delay,
            Setting::Window(window) => {
                if window.is_some() {
                    super::window::now()?;
                }
                wished.rules.window = window;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Wished> {
        self.0.lock()
    }
}

fn set_readers(throttle: &Throttle, level: Level) -> Result<(), ConcurrencyOutOfRange> {
    match level {
        Level::Fixed(readers) => throttle.set_readers(readers)?,
        Level::Auto => throttle.find_readers(),
    }
    Ok(())
}

fn set_inserters(throttle: &Throttle, level: Level) -> Result<(), ConcurrencyOutOfRange> {
    match level {
        Level::Fixed(inserters) => throttle.set_inserters(inserters)?,
        Level::Auto => throttle.find_inserters(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::stream::{Concurrency, ConcurrencyBounds};

    #[test]
    fn a_run_does_no_more_than_it_was_made_for() {
        let throttle =
            Throttle::new(Concurrency::Auto { first: 2, most: 3 }, Concurrency::Fixed(2));
        let wishes = Wishes::default();
        wishes.change(Setting::Readers(Level::Fixed(3)), &throttle).unwrap();
        let error = wishes.change(Setting::Readers(Level::Fixed(4)), &throttle).unwrap_err();
        assert_eq!(error.to_string(), "readers must be 1 to 3, and 4 was asked for");
        wishes.change(Setting::Inserters(Level::Fixed(5)), &throttle).unwrap();
        wishes.change(Setting::MaxRowsPerSecond(Some(7)), &throttle).unwrap();
        let limits = throttle.limits();
        assert_eq!((limits.inserters, limits.max_rows_per_second), (5, Some(7)));
        assert_eq!((limits.readers, limits.readers_most), (1, 3), "a low rate is for one reader");
        wishes.change(Setting::MaxRowsPerSecond(None), &throttle).unwrap();
        assert_eq!(throttle.limits().readers, 3);
    }

    #[test]
    fn the_next_run_is_as_was_asked_for() {
        let throttle = || Throttle::new(Concurrency::Fixed(2), Concurrency::Fixed(2));
        let wishes = Wishes::new(Rules::default(), Some(1_000_000));
        let first = throttle();
        wishes.apply(&first);
        wishes.change(Setting::Inserters(Level::Fixed(4)), &first).unwrap();
        wishes.change(Setting::MaxMerges(Some(9)), &first).unwrap();
        wishes.pause(true);
        let second = throttle();
        wishes.apply(&second);
        let limits = second.limits();
        assert_eq!((limits.inserters, limits.max_rows_per_second), (4, Some(1_000_000)));
        assert!(wishes.is_paused() && wishes.rules().max_merges == Some(9));
    }

    #[test]
    fn a_level_is_found_again_in_this_run_and_in_the_next() {
        let levels = ConcurrencyBounds {
            readers_most: 4,
            inserters_most: 64,
            readers_found: 8,
            inserters_found: 6,
        };
        let throttle = || Throttle::within(Concurrency::Fixed(4), Concurrency::Fixed(2), levels);
        let wishes = Wishes::default();
        let first = throttle();
        assert!(!first.limits().inserters_auto && !first.limits().readers_auto);
        wishes.change(Setting::Inserters(Level::Auto), &first).unwrap();
        wishes.change(Setting::Readers(Level::Auto), &first).unwrap();
        let second = throttle();
        wishes.apply(&second);
        for throttle in [first, second] {
            let limits = throttle.limits();
            assert!(limits.inserters_auto && limits.readers_auto, "{limits:?}");
            assert_eq!((limits.inserters, limits.readers, limits.readers_most), (2, 4, 4));
        }
    }
}
