//! Partitions as users name them, and as tables store them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clickhouse::{Connection, Error as ServerError, TableName, quote_literal};

/// A partition of the source table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// A month, for tables partitioned by `toYYYYMM(…)`, whose partition ids are the months'
    /// numbers.
    Month(String),
    /// The id of a partition of a table that is partitioned otherwise, as `system.parts` shows it.
    Id(String),
    /// A period of objects, such as `2025-10`.
    Period(String),
}

/// Text that does not name a partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// Nothing was given.
    #[error("the partition is empty; give a month as YYYYMM, for example 202511")]
    Empty,
    /// Not six digits.
    #[error("{0:?} is not a partition; give a month as YYYYMM, for example 202511")]
    NotAMonth(String),
    /// Six digits that are not a month.
    #[error("{0:?} is not a month: its last two digits must be 01 to 12")]
    NoSuchMonth(String),
}

impl Partition {
    /// The partition's id, as `_partition_id` and `system.parts` have it.
    pub fn id(&self) -> &str {
        match self {
            Self::Month(id) | Self::Id(id) | Self::Period(id) => id,
        }
    }
}

impl FromStr for Partition {
    type Err = PartitionError;

    fn from_str(text: &str) -> Result<Self, PartitionError> {
        if text.trim().is_empty() {
            return Err(PartitionError::Empty);
        }
        if let Some(id) = text.strip_prefix("id:") {
            return if id.is_empty() {
                Err(PartitionError::Empty)
            } else {
                Ok(Self::Id(id.to_owned()))
            };
        }
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PartitionError::NotAMonth(text.to_owned()));
        }
        let month = text.get(4..).and_then(|month| month.parse::<u8>().ok());
        if !month.is_some_and(|month| (1..=12).contains(&month)) {
            return Err(PartitionError::NoSuchMonth(text.to_owned()));
        }
        Ok(Self::Month(text.to_owned()))
    }
}

/// The partition that a text names, which may also be a period of objects, such as `2025-10` or
/// `2025-10-31`.
///
/// # Errors
/// It names none.
pub(crate) fn named(text: &str) -> Result<Partition, PartitionError> {
    let is_number =
        |part: &str, digits| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = text.split('-').collect();
    let is_period = match parts.as_slice() {
        [year, month] => is_number(year, 4) && is_number(month, 2),
        [year, month, day] => is_number(year, 4) && is_number(month, 2) && is_number(day, 2),
        _ => false,
    };
    if is_period { Ok(Partition::Period(text.to_owned())) } else { text.parse() }
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month(id) | Self::Period(id) => formatter.write_str(id),
            Self::Id(id) => write!(formatter, "id:{id}"),
        }
    }
}

/// A range of months, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Months {
    first: String,
    last: String,
}

/// Text that does not name a range of months.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MonthsError {
    /// Not `FIRST..LAST`.
    #[error(
        "{0:?} is not a range of months; give the first and the last, for example 202401..202512"
    )]
    NotARange(String),
    /// One end is not a month.
    #[error(transparent)]
    Month(#[from] PartitionError),
    /// The first comes after the last.
    #[error("{first} comes after {last}; give the older month first")]
    Backwards {
        /// The first.
        first: String,
        /// The last.
        last: String,
    },
}

impl Months {
    /// Whether the partition of this id is in the range.
    pub(crate) fn contains(&self, partition_id: &str) -> bool {
        is_month(partition_id) && (self.first.as_str()..=self.last.as_str()).contains(&partition_id)
    }

    /// All months in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let number = |id: &str| id.parse::<u32>().unwrap_or_default();
        let all = number(&self.first)..=number(&self.last);
        all.map(|id| format!("{id:06}")).filter(|id| is_month(id)).collect()
    }
}

fn is_month(id: &str) -> bool {
    matches!(id.parse::<Partition>(), Ok(Partition::Month(_)))
}

impl FromStr for Months {
    type Err = MonthsError;

    fn from_str(text: &str) -> Result<Self, MonthsError> {
        let wrong = || MonthsError::NotARange(text.to_owned());
        let (first, last) = text.split_once("..").ok_or_else(wrong)?;
        let month = |text: &str| match text.trim().parse::<Partition>() {
            Ok(Partition::Month(id)) => Ok(id),
            Ok(Partition::Id(_) | Partition::Period(_)) | Err(PartitionError::Empty) => {
                Err(wrong())
            }
            Err(error) => Err(error.into()),
        };
        let (first, last) = (month(first)?, month(last)?);
        if first > last {
            Err(MonthsError::Backwards { first, last })
        } else {
            Ok(Self { first, last })
        }
    }
}

impl fmt::Display for Months {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}..{}", self.first, self.last)
    }
}

/// A partition that has rows; versions and deletions are not collapsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPartition {
    /// The partition's id.
    pub id: String,
    /// Number of rows.
    pub rows: u64,
}

/// The partitions of a table that have rows, ordered by id; from
/// [system.parts](https://clickhouse.com/docs/operations/system-tables/parts) or, without the right
/// to it, from the table itself.
pub(crate) async fn partitions(
    connection: &Connection,
    table: &TableName,
) -> Result<Vec<StoredPartition>, ServerError> {
    let (database, name) = (quote_literal(&table.database), quote_literal(&table.table));
    // What a lightweight UPDATE changed lies in partitions of its own.
    let sql = format!(
        "SELECT partition_id AS id, sum(rows) AS rows FROM system.parts
         WHERE active AND database = {database} AND table = {name} AND NOT startsWith(partition_id, 'patch-')
         GROUP BY id HAVING rows > 0 ORDER BY id"
    );
    match connection.rows("plan", &sql).await {
        Err(error) if error.is_access_denied() => {
            let sql = format!(
                "SELECT _partition_id AS id, count() AS rows FROM {} GROUP BY id ORDER BY id",
                table.quoted()
            );
            connection.rows("plan", &sql).await
        }
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_ids() {
        assert_eq!("202511".parse(), Ok(Partition::Month("202511".to_owned())));
        assert_eq!("196912".parse::<Partition>().unwrap().id(), "196912");
        assert_eq!("id:all".parse(), Ok(Partition::Id("all".to_owned())));
        for text in ["", " ", "id:"] {
            assert_eq!(text.parse::<Partition>(), Err(PartitionError::Empty), "{text:?}");
        }
        for text in ["2024-06", "20246", "2024060", "２０２５１１", "20240a", "-20240"] {
            assert!(
                matches!(text.parse::<Partition>(), Err(PartitionError::NotAMonth(_))),
                "{text:?}"
            );
        }
        for text in ["202413", "202400"] {
            assert!(
                matches!(text.parse::<Partition>(), Err(PartitionError::NoSuchMonth(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn periods_are_named_by_months_and_days() {
        for period in ["2025-10", "2025-10-31"] {
            let named = named(period).unwrap();
            assert_eq!((named.id(), named.to_string()), (period, period.to_owned()));
        }
        assert_eq!(named("202511"), "202511".parse());
        assert_eq!(named("id:a-b"), "id:a-b".parse());
        for text in ["2025-1", "2025-10-", "-10", "25-10", "2025-10-31-1", "2025-1a", ""] {
            assert_eq!(named(text), text.parse(), "{text}");
            assert!(named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_hold_months_only() {
        let months: Months = "202311..202402".parse().unwrap();
        assert_eq!(months.ids(), ["202311", "202312", "202401", "202402"]);
        assert!(months.ids().iter().all(|id| months.contains(id)));
        for id in ["202310", "202403", "202313", "20231115", "all", ""] {
            assert!(!months.contains(id), "{id}");
        }
        assert_eq!("202401..202401".parse::<Months>().unwrap().ids(), ["202401"]);
        for text in [
            "",
            "202401",
            "..",
            "202401..",
            "202401..x",
            "id:a..id:b",
            "202413..202501",
            "202402..202401",
            "202401...202402",
        ] {
            assert!(text.parse::<Months>().is_err(), "{text}");
        }
    }
}
