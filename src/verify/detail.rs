//! A row by name: its key as text, and which of its columns differ.

use super::bytes::{take, text, varuint};

/// What `Queries::details` gives of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    /// The hash of its key.
    pub hash: u64,
    /// The key's columns as texts.
    pub key: Vec<String>,
    /// A hash of each column.
    pub columns: Vec<u64>,
}

impl Detail {
    /// Reads an answer; the error says what is wrong with it.
    pub fn all(answer: &[u8]) -> Result<Vec<Self>, String> {
        let (mut bytes, mut rows) = (answer, Vec::new());
        while !bytes.is_empty() {
            let hash = u64::from_le_bytes(take(&mut bytes)?);
            let key = (0..varuint(&mut bytes)?).map(|_| text(&mut bytes)).collect::<Result<_, _>>()?;
            let columns = (0..varuint(&mut bytes)?).map(|_| take(&mut bytes).map(u64::from_le_bytes)).collect::<Result<_, _>>()?;
            rows.push(Self { hash, key, columns });
        }
        Ok(rows)
    }

    /// Positions of the columns in which two rows differ.
    pub fn differing(&self, other: &Self) -> Vec<usize> {
        let pairs = self.columns.iter().zip(&other.columns).enumerate();
        pairs.filter(|(_, (ours, theirs))| ours != theirs).map(|(position, _)| position).collect()
    }
}
