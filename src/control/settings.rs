//! The settings of a run that may be changed while it is on, and the values that a person has set.

use std::fmt;
use std::time::Duration;

use super::rules::{MaxParts, Rules};
use super::window::{DailyWindow, WindowError, local_now};
use crate::engine::stream::{ConcurrencyOutOfRange, Throttle};
use crate::sync::{Mutex, MutexGuard};
use crate::units::{parse_count, parse_percent, parse_timeout};

/// The names of all settings, and the values that each takes.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("inserters", "a number from 1, or auto"),
    ("readers", "a number from 1, or auto"),
    ("max-rows-per-second", "a number from 1, or none"),
    ("max-parts", "a number from 1, auto or none"),
    ("max-merges", "a number, or none"),
    ("max-server-memory-used", "a percentage from 1 to 100, or none"),
    ("max-replica-delay", "seconds or a time such as 5m, or none"),
    ("window", "two times as 22:00-06:00, or none"),
];

/// A setting with its new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// The number of inserters.
    Inserters(LevelSetting),
    /// The number of readers.
    Readers(LevelSetting),
    /// The most rows read per second.
    MaxRowsPerSecond(Option<u64>),
    /// The most active parts of a partition.
    MaxParts(MaxParts),
    /// The most merges in progress.
    MaxMerges(Option<u64>),
    /// The most memory of the server, in percent.
    MaxServerMemoryUsed(Option<u8>),
    /// The longest delay of the target's replica.
    MaxReplicaDelay(Option<Duration>),
    /// The time of day.
    Window(Option<DailyWindow>),
}

/// A number of readers or inserters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LevelSetting {
    /// The run finds the best number.
    Auto,
    /// Always this many.
    Fixed(usize),
}

/// A setting that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    /// No setting has this name.
    #[error("there is no setting {name:?}; there are {}", names())]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// The value is invalid.
    #[error("{name} takes {takes}, and {value:?} was given")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it takes.
        takes: &'static str,
        /// The value that was given.
        value: String,
    },
    /// The number is outside of the run's bounds.
    #[error(transparent)]
    Level(#[from] ConcurrencyOutOfRange),
    /// The local time is unknown.
    #[error(transparent)]
    Window(#[from] WindowError),
}

fn names() -> String {
    let names: Vec<_> = SETTINGS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Setting {
    /// Parses a setting.
    ///
    /// # Errors
    /// [`SettingError`], with the values that are allowed.
    pub(crate) fn parse(name: &str, value: &str) -> Result<Self, SettingError> {
        let known = SETTINGS.iter().find(|(known, _)| *known == name);
        let (name, takes) =
            *known.ok_or_else(|| SettingError::Unknown { name: name.to_owned() })?;
        let setting = match name {
            "inserters" => level(value).map(Self::Inserters),
            "readers" => level(value).map(Self::Readers),
            "max-rows-per-second" => {
                or_none(value, count_at_least_one).ok().map(Self::MaxRowsPerSecond)
            }
            "max-parts" => parse_max_parts(value).ok().map(Self::MaxParts),
            "max-merges" => or_none(value, number).ok().map(Self::MaxMerges),
            "max-server-memory-used" => {
                or_none(value, parse_percent).ok().map(Self::MaxServerMemoryUsed)
            }
            "max-replica-delay" => or_none(value, seconds_or_time).ok().map(Self::MaxReplicaDelay),
            _ => or_none(value, |text| text.parse().ok()).ok().map(Self::Window),
        };
        setting.ok_or_else(|| SettingError::Value { name, takes, value: value.to_owned() })
    }
}

/// `max-parts=250`
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Inserters(level) => write!(f, "inserters={level}"),
            Self::Readers(level) => write!(f, "readers={level}"),
            Self::MaxRowsPerSecond(rows) => write!(f, "max-rows-per-second={}", text_or_none(rows)),
            Self::MaxParts(MaxParts::Auto) => f.write_str("max-parts=auto"),
            Self::MaxParts(MaxParts::Limit(parts)) => write!(f, "max-parts={parts}"),
            Self::MaxParts(MaxParts::None) => f.write_str("max-parts=none"),
            Self::MaxMerges(merges) => write!(f, "max-merges={}", text_or_none(merges)),
            Self::MaxServerMemoryUsed(percent) => {
                write!(f, "max-server-memory-used={}", text_or_none(percent))
            }
            Self::MaxReplicaDelay(delay) => write!(
                f,
                "max-replica-delay={}",
                text_or_none(delay.map(|delay| delay.as_secs_f64()))
            ),
            Self::Window(window) => write!(f, "window={}", text_or_none(window)),
        }
    }
}

impl fmt::Display for LevelSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(number) => number.fmt(f),
        }
    }
}

fn text_or_none(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// Parses `250`, `auto` or `none`.
///
/// # Errors
/// The values that are allowed.
pub(crate) fn parse_max_parts(text: &str) -> Result<MaxParts, String> {
    match text {
        "auto" => Ok(MaxParts::Auto),
        "none" => Ok(MaxParts::None),
        text => count_at_least_one(text)
            .map(MaxParts::Limit)
            .ok_or_else(|| "give a number from 1, auto or none".to_owned()),
    }
}

fn level(text: &str) -> Option<LevelSetting> {
    if text == "auto" {
        Some(LevelSetting::Auto)
    } else {
        at_least_one(text).map(LevelSetting::Fixed)
    }
}

fn seconds_or_time(text: &str) -> Option<Duration> {
    let seconds = number::<u64>(text).map(|seconds| format!("{seconds}s"));
    parse_timeout(seconds.as_deref().unwrap_or(text)).ok()
}

fn or_none<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, ()> {
    if text == "none" { Ok(None) } else { parse(text).map(Some).ok_or(()) }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    // The parser would accept a sign.
    if text.starts_with(|c: char| c.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn count_at_least_one(text: &str) -> Option<u64> {
    parse_count(text).filter(|number| *number > 0)
}

fn at_least_one<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Option<T> {
    number(text).filter(|number| *number != T::default())
}

/// What a person has set, with flags and since then with `ctl`. It holds for all runs of a command
/// that fills several partitions one after another.
#[derive(Debug, Default)]
pub(crate) struct RuntimeOverrides(Mutex<Overrides>);

#[derive(Debug, Default)]
struct Overrides {
    rules: Rules,
    paused: bool,
    max_rows_per_second: Option<u64>,
    /// `None` until set with `ctl`.
    readers: Option<LevelSetting>,
    /// `None` until set with `ctl`.
    inserters: Option<LevelSetting>,
}

impl RuntimeOverrides {
    /// The values of the flags.
    pub(crate) fn new(rules: Rules, max_rows_per_second: Option<u64>) -> Self {
        Self(Mutex::new(Overrides { rules, max_rows_per_second, ..Overrides::default() }))
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

    /// Applies the values to a run that begins, as far as its bounds allow.
    pub(super) fn apply(&self, throttle: &Throttle) {
        let Overrides { max_rows_per_second, readers, inserters, .. } = *self.lock();
        throttle.set_max_rows_per_second(max_rows_per_second);
        let done = [
            readers.map(|level| set_readers(throttle, level)),
            inserters.map(|level| set_inserters(throttle, level)),
        ];
        for error in done.into_iter().flatten().filter_map(Result::err) {
            tracing::warn!("{error} with ctl before; this run does as many as it finds useful");
        }
    }

    /// Changes a setting of the current run and of those after it.
    pub(super) fn change(&self, setting: Setting, throttle: &Throttle) -> Result<(), SettingError> {
        let mut overrides = self.lock();
        match setting {
            Setting::Inserters(inserters) => {
                set_inserters(throttle, inserters)?;
                overrides.inserters = Some(inserters);
            }
            Setting::Readers(readers) => {
                set_readers(throttle, readers)?;
                overrides.readers = Some(readers);
            }
            Setting::MaxRowsPerSecond(rows) => {
                throttle.set_max_rows_per_second(rows);
                overrides.max_rows_per_second = rows;
            }
            Setting::MaxParts(parts) => overrides.rules.max_parts = parts,
            Setting::MaxMerges(merges) => overrides.rules.max_merges = merges,
            Setting::MaxServerMemoryUsed(percent) => {
                overrides.rules.max_server_memory_percent = percent;
            }
            Setting::MaxReplicaDelay(delay) => overrides.rules.max_replica_delay = delay,
            Setting::Window(window) => {
                if window.is_some() {
                    local_now()?;
                }
                overrides.rules.window = window;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Overrides> {
        self.0.lock()
    }
}

fn set_readers(throttle: &Throttle, level: LevelSetting) -> Result<(), ConcurrencyOutOfRange> {
    match level {
        LevelSetting::Fixed(readers) => throttle.set_readers(readers)?,
        LevelSetting::Auto => throttle.find_readers(),
    }
    Ok(())
}

fn set_inserters(throttle: &Throttle, level: LevelSetting) -> Result<(), ConcurrencyOutOfRange> {
    match level {
        LevelSetting::Fixed(inserters) => throttle.set_inserters(inserters)?,
        LevelSetting::Auto => throttle.find_inserters(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::stream::{Concurrency, ConcurrencyBounds};

    #[test]
    fn settings_are_written_as_they_are_given() {
        for (name, value) in [
            ("inserters", "4"),
            ("inserters", "auto"),
            ("readers", "2"),
            ("readers", "auto"),
            ("max-rows-per-second", "50000"),
            ("max-rows-per-second", "none"),
            ("max-parts", "250"),
            ("max-parts", "auto"),
            ("max-parts", "none"),
            ("max-merges", "0"),
            ("max-server-memory-used", "80"),
            ("max-replica-delay", "90"),
            ("max-replica-delay", "none"),
            ("window", "22:00-06:00"),
            ("window", "none"),
        ] {
            let setting = Setting::parse(name, value).unwrap();
            assert_eq!(setting.to_string(), format!("{name}={value}"));
        }
    }

    #[test]
    fn values_are_taken_or_what_is_allowed_is_said() {
        assert_eq!(
            Setting::parse("inserters", "4"),
            Ok(Setting::Inserters(LevelSetting::Fixed(4)))
        );
        assert_eq!(Setting::parse("inserters", "auto"), Ok(Setting::Inserters(LevelSetting::Auto)));
        assert_eq!(Setting::parse("readers", "auto"), Ok(Setting::Readers(LevelSetting::Auto)));
        assert_eq!(
            Setting::parse("max-rows-per-second", "50000"),
            Ok(Setting::MaxRowsPerSecond(Some(50_000)))
        );
        assert_eq!(
            Setting::parse("max-rows-per-second", "none"),
            Ok(Setting::MaxRowsPerSecond(None))
        );
        assert_eq!(Setting::parse("max-parts", "auto"), Ok(Setting::MaxParts(MaxParts::Auto)));
        assert_eq!(Setting::parse("max-merges", "0"), Ok(Setting::MaxMerges(Some(0))));
        assert_eq!(
            Setting::parse("max-server-memory-used", "80"),
            Ok(Setting::MaxServerMemoryUsed(Some(80)))
        );
        let minute = Ok(Setting::MaxReplicaDelay(Some(Duration::from_secs(60))));
        assert_eq!(
            [Setting::parse("max-replica-delay", "60"), Setting::parse("max-replica-delay", "1m")],
            [minute.clone(), minute]
        );
        assert_eq!(Setting::parse("max-replica-delay", "none"), Ok(Setting::MaxReplicaDelay(None)));
        assert!(matches!(Setting::parse("window", "22:00-06:00"), Ok(Setting::Window(Some(_)))));
        for (name, value) in [
            ("inserters", "0"),
            ("inserters", "-1"),
            ("inserters", "+1"),
            ("inserters", "none"),
            ("inserters", "Auto"),
            ("readers", ""),
            ("readers", "99999999999999999999999"),
            ("max-rows-per-second", "0"),
            ("max-rows-per-second", "5e4"),
            ("max-parts", "0"),
            ("max-server-memory-used", "101"),
            ("max-replica-delay", "0"),
            ("max-replica-delay", "-5"),
            ("max-replica-delay", "auto"),
            ("window", "always"),
        ] {
            let error = Setting::parse(name, value).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{name} takes "))
                    && error.ends_with(&format!("{value:?} was given")),
                "{error}"
            );
        }
        let error = Setting::parse("speed", "11").unwrap_err().to_string();
        assert!(
            error.starts_with("there is no setting \"speed\"; there are inserters, readers, "),
            "{error}"
        );
    }
    #[test]
    fn a_run_does_no_more_than_it_was_made_for() {
        let throttle =
            Throttle::new(Concurrency::Auto { first: 2, most: 3 }, Concurrency::Fixed(2));
        let overrides = RuntimeOverrides::default();
        overrides.change(Setting::Readers(LevelSetting::Fixed(3)), &throttle).unwrap();
        let error =
            overrides.change(Setting::Readers(LevelSetting::Fixed(4)), &throttle).unwrap_err();
        assert_eq!(error.to_string(), "readers must be 1 to 3, and 4 was asked for");
        overrides.change(Setting::Inserters(LevelSetting::Fixed(5)), &throttle).unwrap();
        overrides.change(Setting::MaxRowsPerSecond(Some(7)), &throttle).unwrap();
        let limits = throttle.limits();
        assert_eq!((limits.inserters, limits.max_rows_per_second), (5, Some(7)));
        assert_eq!((limits.readers, limits.readers_most), (1, 3), "a low rate is for one reader");
        overrides.change(Setting::MaxRowsPerSecond(None), &throttle).unwrap();
        assert_eq!(throttle.limits().readers, 3);
    }

    #[test]
    fn the_next_run_is_as_was_asked_for() {
        let throttle = || Throttle::new(Concurrency::Fixed(2), Concurrency::Fixed(2));
        let overrides = RuntimeOverrides::new(Rules::default(), Some(1_000_000));
        let first = throttle();
        overrides.apply(&first);
        overrides.change(Setting::Inserters(LevelSetting::Fixed(4)), &first).unwrap();
        overrides.change(Setting::MaxMerges(Some(9)), &first).unwrap();
        overrides.pause(true);
        let second = throttle();
        overrides.apply(&second);
        let limits = second.limits();
        assert_eq!((limits.inserters, limits.max_rows_per_second), (4, Some(1_000_000)));
        assert!(overrides.is_paused() && overrides.rules().max_merges == Some(9));
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
        let overrides = RuntimeOverrides::default();
        let first = throttle();
        assert!(!first.limits().inserters_auto && !first.limits().readers_auto);
        overrides.change(Setting::Inserters(LevelSetting::Auto), &first).unwrap();
        overrides.change(Setting::Readers(LevelSetting::Auto), &first).unwrap();
        let second = throttle();
        overrides.apply(&second);
        for throttle in [first, second] {
            let limits = throttle.limits();
            assert!(limits.inserters_auto && limits.readers_auto, "{limits:?}");
            assert_eq!((limits.inserters, limits.readers, limits.readers_most), (2, 4, 4));
        }
    }
}
