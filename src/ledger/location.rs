//! Where a ledger is kept, as people name it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerLocation {
    /// In tables of ClickHouse.
    Tables,
    /// In files of this folder.
    Files(PathBuf),
}

/// A text that names no place for a ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place for a ledger; give tables, or file:DIR for files in the folder DIR")]
pub struct LedgerLocationError(String);

impl FromStr for LedgerLocation {
    type Err = LedgerLocationError;

    fn from_str(text: &str) -> Result<Self, LedgerLocationError> {
        match text.strip_prefix("file:") {
            Some(folder) if !folder.is_empty() => Ok(Self::Files(folder.into())),
            None if text == "tables" => Ok(Self::Tables),
            _ => Err(LedgerLocationError(text.to_owned())),
        }
    }
}

impl fmt::Display for LedgerLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tables => formatter.write_str("tables"),
            Self::Files(folder) => write!(formatter, "file:{}", folder.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!("tables".parse(), Ok(LedgerLocation::Tables));
        assert_eq!(
            "file:/var/lib/ledger".parse(),
            Ok(LedgerLocation::Files("/var/lib/ledger".into()))
        );
        for text in ["", "file:", "files:x", "table"] {
            assert!(text.parse::<LedgerLocation>().is_err(), "{text:?}");
        }
    }
}
