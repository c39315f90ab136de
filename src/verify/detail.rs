//! A row by name: its key as text, and which of its columns differ, with their values.

use super::bytes::{bytes, take, text, varuint};
use super::values::Cell;

/// What `Queries::details` gives of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    /// The hash of its key.
    pub hash: u64,
    /// The hash of all its columns.
    pub row: u64,
    /// The key's columns as texts.
    pub key: Vec<String>,
    /// Each column.
    pub columns: Vec<Cell>,
}

impl Detail {
    /// Reads an answer; the error says what is wrong with it.
    pub fn all(answer: &[u8]) -> Result<Vec<Self>, String> {
        let (mut bytes, mut rows) = (answer, Vec::new());
        while !bytes.is_empty() {
            let (hash, row) =
                (u64::from_le_bytes(take(&mut bytes)?), u64::from_le_bytes(take(&mut bytes)?));
            let key =
                (0..varuint(&mut bytes)?).map(|_| text(&mut bytes)).collect::<Result<_, _>>()?;
            let columns = (0..varuint(&mut bytes)?)
                .map(|_| Cell::read(&mut bytes))
                .collect::<Result<_, _>>()?;
            rows.push(Self { hash, row, key, columns });
        }
        Ok(rows)
    }

    /// Positions of the columns in which two rows differ.
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let pairs = self.columns.iter().zip(&other.columns).enumerate();
        pairs
            .filter(|(_, (ours, theirs))| ours.hash != theirs.hash)
            .map(|(position, _)| position)
            .collect()
    }
}

/// What `Queries::pieces` gives of a row.
pub(super) struct Pieces {
    /// The hash of all its columns.
    pub row: u64,
    /// A part of each value that was asked for.
    pub values: Vec<Vec<u8>>,
}

impl Pieces {
    /// Reads an answer; the error says what is wrong with it.
    pub fn all(answer: &[u8]) -> Result<Vec<Self>, String> {
        let (mut rest, mut rows) = (answer, Vec::new());
        while !rest.is_empty() {
            let row = u64::from_le_bytes(take(&mut rest)?);
            let values = (0..varuint(&mut rest)?)
                .map(|_| bytes(&mut rest).map(<[u8]>::to_vec))
                .collect::<Result<_, _>>()?;
            rows.push(Self { row, values });
        }
        Ok(rows)
    }
}
