//! What may be changed while a run is on, by name.

use std::fmt;
use std::time::Duration;

use super::rules::MaxParts;
use super::window::{Window, WindowError};
use crate::engine::stream::ConcurrencyOutOfRange;
use crate::units::parse_timeout;

/// The names, and what they take.
pub const SETTINGS: &[(&str, &str)] = &[
    ("inserters", "a number from 1, or auto"),
    ("readers", "a number from 1, or auto"),
    ("max-rows-per-second", "a number from 1, or none"),
    ("max-parts", "a number from 1, auto or none"),
    ("max-merges", "a number, or none"),
    ("max-server-memory-used", "a percentage from 1 to 100, or none"),
    ("max-replica-delay", "seconds or a time such as 5m, or none"),
    ("window", "two times as 22:00-06:00, or none"),
];

/// One setting with its new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Batches inserted at once.
    Inserters(Level),
    /// Chunks read at once.
    Readers(Level),
    /// Rows read a second.
    MaxRowsPerSecond(Option<u64>),
    /// Active parts of a partition.
    MaxParts(MaxParts),
    /// Merges under way.
    MaxMerges(Option<u64>),
    /// Memory of the server, in percent.
    MaxServerMemoryUsed(Option<u8>),
    /// How far the target's replica may be behind.
    MaxReplicaDelay(Option<Duration>),
    /// The time of the day.
    Window(Option<Window>),
}

/// How many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As many as the run finds worth it.
    Auto,
    /// Always so many.
    Fixed(usize),
}

/// A setting that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such setting.
    #[error("there is no setting {name:?}; there are {}", names())]
    Unknown {
        /// As it was given.
        name: String,
    },
    /// The value is not of its kind.
    #[error("{name} takes {takes}, and {value:?} was given")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it takes.
        takes: &'static str,
        /// What was given.
        value: String,
    },
    /// The run cannot do so many.
    #[error(transparent)]
    Level(#[from] ConcurrencyOutOfRange),
    /// The time is not known here.
    #[error(transparent)]
    Window(#[from] WindowError),
}

fn names() -> String {
    let names: Vec<_> = SETTINGS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Setting {
    /// Reads a setting.
    ///
    /// # Errors
    /// [`SettingError`], with what would be allowed.
    pub fn parse(name: &str, value: &str) -> Result<Self, SettingError> {
        let known = SETTINGS.iter().find(|(known, _)| *known == name);
        let (name, takes) =
            *known.ok_or_else(|| SettingError::Unknown { name: name.to_owned() })?;
        let setting = match name {
            "inserters" => level(value).map(Self::Inserters),
            "readers" => level(value).map(Self::Readers),
            "max-rows-per-second" => or_none(value, at_least_one).ok().map(Self::MaxRowsPerSecond),
            "max-parts" => parse_max_parts(value).ok().map(Self::MaxParts),
            "max-merges" => or_none(value, number).ok().map(Self::MaxMerges),
            "max-server-memory-used" => {
                or_none(value, |text| number(text).filter(|percent| (1..=100).contains(percent)))
                    .ok()
                    .map(Self::MaxServerMemoryUsed)
            }
            "max-replica-delay" => or_none(value, seconds_or_time).ok().map(Self::MaxReplicaDelay),
            _ => or_none(value, |text| text.parse().ok()).ok().map(Self::Window),
        };
        setting.ok_or_else(|| SettingError::Value { name, takes, value: value.to_owned() })
    }
}

/// As it is given: `max-parts=250`.
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

impl fmt::Display for Level {
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

/// `250`, `auto` or `none`.
///
/// # Errors
/// What it should be.
pub fn parse_max_parts(text: &str) -> Result<MaxParts, String> {
    match text {
        "auto" => Ok(MaxParts::Auto),
        "none" => Ok(MaxParts::None),
        text => at_least_one(text)
            .map(MaxParts::Limit)
            .ok_or_else(|| "give a number from 1, auto or none".to_owned()),
    }
}

fn level(text: &str) -> Option<Level> {
    if text == "auto" { Some(Level::Auto) } else { at_least_one(text).map(Level::Fixed) }
}

fn seconds_or_time(text: &str) -> Option<Duration> {
    let seconds = number::<u64>(text).map(|seconds| format!("{seconds}s"));
    parse_timeout(seconds.as_deref().unwrap_or(text)).ok()
}

fn or_none<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, ()> {
    if text == "none" { Ok(None) } else { parse(text).map(Some).ok_or(()) }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    // A sign would be taken by the parser.
    if text.starts_with(|c: char| c.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn at_least_one<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Option<T> {
    number(text).filter(|number| *number != T::default())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(Setting::parse("inserters", "4"), Ok(Setting::Inserters(Level::Fixed(4))));
        assert_eq!(Setting::parse("inserters", "auto"), Ok(Setting::Inserters(Level::Auto)));
        assert_eq!(Setting::parse("readers", "auto"), Ok(Setting::Readers(Level::Auto)));
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
}
