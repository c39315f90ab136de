//! The partition that a run fills, as the person names it.

use std::fmt;
use std::str::FromStr;

/// A partition of the source table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// A month, for tables partitioned by `toYYYYMM(…)`, whose partition ids are the months'
    /// numbers.
    Month(String),
    /// The id of a partition of a table that is partitioned otherwise, as `system.parts` shows it.
    Id(String),
}

/// A text that names no partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// Nothing was given.
    #[error("the partition is empty; give a month as YYYYMM, for example 202511")]
    Empty,
    /// Not six digits.
    #[error("{0:?} is not a partition; give a month as YYYYMM, for example 202511")]
    NotAMonth(String),
    /// Six digits that are no month.
    #[error("{0:?} is not a month: its last two digits must be 01 to 12")]
    NoSuchMonth(String),
}

impl Partition {
    /// The partition's id, as `_partition_id` and `system.parts` have it.
    pub fn id(&self) -> &str {
        match self {
            Self::Month(id) | Self::Id(id) => id,
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

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month(id) => formatter.write_str(id),
            Self::Id(id) => write!(formatter, "id:{id}"),
        }
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
}
