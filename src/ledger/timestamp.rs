//! Moments, as ledgers keep them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The beginning of year 0. RFC 3339 has no earlier years.
const YEAR_ZERO: Timestamp = Timestamp(-62_167_219_200_000_000);

/// Microseconds since 1970, UTC. Shown, and written into files, as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// By this machine's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// How long ago `self` was at `now`; nothing where it lies in the future.
    pub fn age_at(self, now: Self) -> Duration {
        Duration::from_micros(u64::try_from(now.0.saturating_sub(self.0)).unwrap_or_default())
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) if *self >= YEAR_ZERO => write!(formatter, "{time}"),
            _ => write!(formatter, "{} µs", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        let time = Self(time.as_microsecond());
        if time < YEAR_ZERO {
            return Err(serde::de::Error::custom(format!("{text} is before the year 0")));
        }
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let moment = Timestamp(1_763_650_000_123_456);
        assert_eq!(moment.to_string(), "2025-11-20T14:46:40.123456Z");
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
        assert_eq!(moment.age_at(Timestamp(moment.0 + 2_000_000)), Duration::from_secs(2));
        assert_eq!(moment.age_at(Timestamp(0)), Duration::ZERO);
    }

    #[test]
    fn the_years_of_rfc_3339() {
        assert_eq!(YEAR_ZERO.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp(YEAR_ZERO.0 - 1).to_string(), "-62167219200000001 µs");
        assert_eq!(Timestamp(i64::MAX).to_string(), "9223372036854775807 µs");
        let parse = |text: &str| serde_json::from_value::<Timestamp>(text.into()).ok();
        assert_eq!(parse("0000-01-01T00:00:00Z"), Some(YEAR_ZERO));
        assert_eq!(parse("1970-01-01T02:00:00.5+02:00"), Some(Timestamp(500_000)));
        for text in ["-000001-12-31T23:59:59Z", "0000-01-01T00:00:00+01:00", "2025-11-20", "now"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
