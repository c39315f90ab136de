//! A daily window of local time in which a run may work.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// From one minute of the day to another, across midnight if the second is earlier. The first minute
/// is included, the last one is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DailyWindow {
    from: u16,
    to: u16,
}

const DAY: u16 = 24 * 60;

/// An invalid window, or an unknown time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WindowError {
    /// It has another form.
    #[error("{0:?} is not a window of the day; give two times as 22:00-06:00")]
    Form(String),
    /// It contains no minute.
    #[error("the window {0} is empty: it ends when it begins; 00:00-24:00 is the whole day")]
    Empty(String),
    /// The local time zone is unknown.
    #[error("it cannot be found out which time it is here: {0}")]
    Zone(String),
}

impl DailyWindow {
    /// Whether it contains this time of day.
    pub(crate) fn contains(self, time: Time) -> bool {
        let minute = minute_of(time);
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }

    /// Why a run waits at this moment; `None` inside of the window.
    pub(crate) fn reason(self, now: &Zoned) -> Option<String> {
        if self.contains(now.time()) {
            return None;
        }
        Some(format!("it is {} {}, window {self}", now.strftime("%H:%M"), zone(now)))
    }
}

/// The name of the time zone, such as `Europe/Berlin`.
fn zone(now: &Zoned) -> String {
    now.time_zone().iana_name().map_or_else(|| now.offset().to_string(), str::to_owned)
}

/// The name of the local time zone.
///
/// # Errors
/// [`WindowError::Zone`] where `TZ` names an unknown zone.
pub(crate) fn local_zone() -> Result<String, WindowError> {
    local_now().map(|now| zone(&now))
}

/// The time now in the zone of `TZ`, or else of the system, or else in UTC.
///
/// # Errors
/// [`WindowError::Zone`] where `TZ` names an unknown zone.
pub(super) fn local_now() -> Result<Zoned, WindowError> {
    let zone = match TimeZone::try_system() {
        Ok(zone) => zone,
        Err(error) if std::env::var_os("TZ").is_some_and(|zone| !zone.is_empty()) => {
            return Err(WindowError::Zone(error.to_string()));
        }
        Err(_) => TimeZone::UTC,
    };
    Ok(Timestamp::now().to_zoned(zone))
}

fn minute_of(time: Time) -> u16 {
    let part = |number: i8| u16::try_from(number).unwrap_or_default();
    part(time.hour()) * 60 + part(time.minute())
}

impl FromStr for DailyWindow {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let ends =
            text.trim().split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        let (from, to) = ends
            .filter(|&(from, _)| from < DAY)
            .ok_or_else(|| WindowError::Form(text.to_owned()))?;
        if from == to {
            return Err(WindowError::Empty(text.to_owned()));
        }
        Ok(Self { from, to })
    }
}

/// Parses `22:00` to minutes since midnight, at most 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| {
        if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse::<u16>().ok()
        } else {
            None
        }
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    Some(hour * 60 + minute).filter(|&all| minute < 60 && all <= DAY)
}

impl fmt::Display for DailyWindow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = *self;
        write!(formatter, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> DailyWindow {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        for (text, inside, outside) in [
            (
                "22:00-06:00",
                ["22:00", "23:59", "00:00", "05:59"],
                ["06:00", "12:00", "21:59", "18:30"],
            ),
            (
                "09:30-17:00",
                ["09:30", "09:31", "12:00", "16:59"],
                ["09:29", "17:00", "00:00", "23:59"],
            ),
            (
                "12:00-24:00",
                ["12:00", "18:00", "23:00", "23:59"],
                ["00:00", "06:00", "11:00", "11:59"],
            ),
        ] {
            let contains =
                |time: &str| window(text).contains(format!("{time}:00").parse().unwrap());
            assert!(inside.iter().all(|time| contains(time)), "{text}");
            assert!(!outside.iter().any(|time| contains(time)), "{text}");
            assert_eq!(window(text).to_string(), text);
        }
        assert!(
            ["00:00", "11:11", "23:59"]
                .iter()
                .all(|time| window("00:00-24:00").contains(format!("{time}:00").parse().unwrap()))
        );
    }

    #[test]
    fn the_reason_says_which_time_it_is_where() {
        let at = |text: &str| text.parse::<Zoned>().unwrap();
        let noon = at("2026-03-01T12:05:00+01:00[Europe/Berlin]");
        assert_eq!(
            window("22:00-06:00").reason(&noon).unwrap(),
            "it is 12:05 Europe/Berlin, window 22:00-06:00"
        );
        // The same moment elsewhere.
        let elsewhere = at("2026-03-01T23:05:00+12:00[+12:00]");
        assert_eq!(window("22:00-06:00").reason(&elsewhere), None);
        assert_eq!(
            window("08:00-09:00").reason(&elsewhere).unwrap(),
            "it is 23:05 +12, window 08:00-09:00"
        );
    }

    #[test]
    fn what_is_no_window_is_said() {
        for text in [
            "",
            "22:00",
            "22-06",
            "24:00-06:00",
            "22:60-23:00",
            "22:00-24:01",
            "2:00-3:00",
            "22:00–06:00",
            "a:b-c:d",
            "-1:00-02:00",
        ] {
            assert!(matches!(text.parse::<DailyWindow>(), Err(WindowError::Form(_))), "{text}");
        }
        assert!(matches!("06:00-06:00".parse::<DailyWindow>(), Err(WindowError::Empty(_))));
    }
}
