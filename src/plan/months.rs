//! Several months, as the person names them.

use std::fmt;
use std::str::FromStr;

use super::{Partition, PartitionError};

/// The months from one to another, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Months {
    first: String,
    last: String,
}

/// A text that names no months.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MonthsError {
    /// Not two of them.
    #[error("{0:?} is no range of months; give the first and the last, for example 202401..202512")]
    NotARange(String),
    /// One of them is none.
    #[error(transparent)]
    Month(#[from] PartitionError),
    /// The first comes after the last.
    #[error(
        "{first} comes after {last}; the first month of a range is the older one, whatever comes first in the work"
    )]
    Backwards {
        /// The first.
        first: String,
        /// The last.
        last: String,
    },
}

impl Months {
    /// Whether the partition of this id is one of them.
    pub fn contains(&self, partition_id: &str) -> bool {
        is_month(partition_id) && (self.first.as_str()..=self.last.as_str()).contains(&partition_id)
    }

    /// All of them, in order.
    pub fn ids(&self) -> Vec<String> {
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
            Ok(Partition::Id(_)) | Err(PartitionError::Empty) => Err(wrong()),
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

#[cfg(test)]
mod tests {
    use super::*;

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
