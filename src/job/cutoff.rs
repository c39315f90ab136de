//! `--before`: only rows whose time in one column of the source lies before a moment.

use serde::Deserialize;

use super::error::{JobError, asking};
use crate::clickhouse::{
    Column, Connection, Settings, TableSchema, quote_identifier, quote_literal,
};
use crate::formats::rowbinary::DataType;

/// A moment as the user gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// With an offset from UTC: microseconds since 1970.
    Instant(i64),
    /// Without one: in the zone of the column.
    Civil(jiff::civil::DateTime),
}

/// The rows before a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cutoff {
    /// The column.
    pub column: String,
    /// The moment: RFC 3339 in UTC, or a day where the column has no time.
    pub moment: String,
    /// SQL over a source row that is true for these rows.
    pub predicate: String,
}

impl Moment {
    /// Reads ISO 8601: a date, a date and time, or either with an offset from UTC.
    ///
    /// # Errors
    /// Another form.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::Instant(instant.as_microsecond()));
        }
        text.parse().map(Self::Civil).map_err(|_| {
            "it must be a moment as in ISO 8601, such as 2026-07-01, 2026-07-01T12:00:00 or 2026-07-01T12:00:00Z"
                .to_owned()
        })
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instant(micros) => match jiff::Timestamp::from_microsecond(*micros) {
                Ok(instant) => write!(formatter, "{instant}"),
                Err(_) => write!(formatter, "{micros}"),
            },
            Self::Civil(time) => write!(formatter, "{time}"),
        }
    }
}

impl Cutoff {
    /// Resolves a moment for this column of the source.
    ///
    /// # Errors
    /// A column of another type, a time for a column of days, and a failed query.
    pub(super) async fn resolve(
        connection: &Connection,
        source: &TableSchema,
        column: &Column,
        moment: Moment,
    ) -> Result<Self, JobError> {
        let unfit = |message: String| JobError::Unfit {
            role: "source",
            table: source.name.clone(),
            message: format!("[source] before names {}, {message}", column.name),
        };
        let name = column.name.clone();
        let quoted = quote_identifier(&name);
        let parsed = DataType::parse(&column.type_name).ok();
        match parsed.as_ref().map(DataType::strip_nullable) {
            Some(DataType::DateTime(_) | DataType::DateTime64 { .. }) => {
                let micros = match moment {
                    Moment::Instant(micros) => micros,
                    Moment::Civil(time) => in_zone_of(connection, column, time).await?,
                };
                Ok(Self {
                    moment: Moment::Instant(micros).to_string(),
                    predicate: format!(
                        "source.{quoted} < fromUnixTimestamp64Micro(toInt64({micros}), 'UTC')"
                    ),
                    column: name,
                })
            }
            Some(DataType::Date | DataType::Date32) => match moment {
                Moment::Civil(time) if time.time() == jiff::civil::Time::midnight() => {
                    let day = time.date().to_string();
                    let predicate = format!("source.{quoted} < toDate32({})", quote_literal(&day));
                    Ok(Self { column: name, moment: day, predicate })
                }
                _ => Err(unfit(format!(
                    "a column of days ({}): --before must be a date, such as 2026-07-01",
                    column.type_name
                ))),
            },
            _ => Err(unfit(format!("which is {}; it must be a date or a time", column.type_name))),
        }
    }
}

/// The moment at which clocks in the zone of this column show this time, in microseconds since 1970.
async fn in_zone_of(
    connection: &Connection,
    column: &Column,
    time: jiff::civil::DateTime,
) -> Result<i64, JobError> {
    #[derive(Deserialize)]
    struct Micros {
        micros: i64,
    }
    let text = time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let zone = format!(
        "timezoneOf(assumeNotNull(defaultValueOfTypeName({})))",
        quote_literal(&column.type_name)
    );
    let sql = format!(
        "SELECT toUnixTimestamp64Micro(toDateTime64({}, 6, {zone})) AS micros",
        quote_literal(&text)
    );
    let found = connection.row_with::<Micros>("before", &sql, &Settings::common()).await;
    found.map(|found| found.micros).map_err(asking("asking for the time zone of --before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_an_offset_or_are_of_the_columns_zone() {
        let shown = |text: &str| Moment::parse(text).map(|moment| moment.to_string());
        assert_eq!(shown("2026-07-01T02:00:00+02:00").unwrap(), "2026-07-01T00:00:00Z");
        assert_eq!(shown("2026-07-01T00:00:00.25Z").unwrap(), "2026-07-01T00:00:00.25Z");
        for civil in ["2026-07-01", "2026-07-01T12:30", "2026-07-01 12:30:00.000001"] {
            assert!(matches!(Moment::parse(civil), Ok(Moment::Civil(_))), "{civil}");
        }
        for wrong in ["", "yesterday", "2026-13-01", "2026-07-01T25:00", "1782864000", "01.07.2026"]
        {
            assert!(Moment::parse(wrong).is_err(), "{wrong}");
        }
    }
}
