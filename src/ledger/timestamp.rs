//! Moments, as ledgers keep them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

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
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok());
        match text {
            Some(text) => formatter.write_str(&text),
            None => write!(formatter, "{} µs", self.0),
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
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
        // A time zone can lead out of the years that can be written.
        let utc =
            time.checked_to_offset(UtcOffset::UTC).filter(|time| (0..=9999).contains(&time.year()));
        let time = utc.ok_or_else(|| {
            serde::de::Error::custom(format!("{text} is not in the years 0 to 9999 in UTC"))
        })?;
        i64::try_from(time.unix_timestamp_nanos() / 1000)
            .map(Self)
            .map_err(serde::de::Error::custom)
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
}
