//! Decodes answers in RowBinary: the primitive values, and the rows of queries about single rows.
//! Errors say what is wrong with an answer.

use crate::formats::varint;

/// Bytes of a block of a value's text.
pub(super) const BLOCK: usize = 1024;
/// Bytes before and after a block that are sent with it.
pub(super) const MARGIN: usize = 96;
/// A value of a row, as much of it as one query sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// A hash of the value.
    pub hash: u64,
    /// Whether it is NULL.
    pub is_null: bool,
    /// Length of its text in bytes.
    pub length: u64,
    /// The first block of its text, with the margin.
    pub beginning: Vec<u8>,
    /// Hashes of the other blocks.
    pub blocks: Vec<u64>,
}

impl Cell {
    /// Decodes a cell.
    fn decode(answer: &mut &[u8]) -> Result<Self, String> {
        let hash = u64::from_le_bytes(take(answer)?);
        let [null] = take::<1>(answer)?;
        let length = u64::from_le_bytes(take(answer)?);
        let beginning = bytes(answer)?.to_vec();
        let blocks = (0..varuint(answer)?)
            .map(|_| take(answer).map(u64::from_le_bytes))
            .collect::<Result<_, _>>()?;
        Ok(Self { hash, is_null: null != 0, length, beginning, blocks })
    }

    /// The number of the first block in which the texts differ, from 0; none if they are equal.
    pub(super) fn differing_block(&self, other: &Self) -> Option<usize> {
        let first = |cell: &Self| {
            cell.beginning.get(..BLOCK.min(cell.beginning.len())).unwrap_or_default().to_vec()
        };
        if first(self) != first(other) {
            return Some(0);
        }
        let count = self.blocks.len().max(other.blocks.len());
        (0..count)
            .find(|&number| self.blocks.get(number) != other.blocks.get(number))
            .map(|number| number + 1)
    }
}

/// The position at which the text that is sent with a block begins.
pub(super) fn start_of(block: usize) -> usize {
    (block * BLOCK).saturating_sub(MARGIN)
}

/// A row of `Queries::details`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    /// The hash of its key.
    pub hash: u64,
    /// The hash of all its columns.
    pub row: u64,
    /// The key columns as text.
    pub key: Vec<String>,
    /// The columns.
    pub columns: Vec<Cell>,
}

impl Detail {
    /// Decodes an answer.
    pub(super) fn decode_all(answer: &[u8]) -> Result<Vec<Self>, String> {
        let (mut bytes, mut rows) = (answer, Vec::new());
        while !bytes.is_empty() {
            let (hash, row) =
                (u64::from_le_bytes(take(&mut bytes)?), u64::from_le_bytes(take(&mut bytes)?));
            let key =
                (0..varuint(&mut bytes)?).map(|_| text(&mut bytes)).collect::<Result<_, _>>()?;
            let columns = (0..varuint(&mut bytes)?)
                .map(|_| Cell::decode(&mut bytes))
                .collect::<Result<_, _>>()?;
            rows.push(Self { hash, row, key, columns });
        }
        Ok(rows)
    }

    /// Positions of the columns that differ between two rows.
    pub(super) fn differing_columns(&self, other: &Self) -> Vec<usize> {
        let pairs = self.columns.iter().zip(&other.columns).enumerate();
        pairs
            .filter(|(_, (ours, theirs))| ours.hash != theirs.hash)
            .map(|(position, _)| position)
            .collect()
    }
}

/// A row of `Queries::pieces`.
pub(super) struct Pieces {
    /// The hash of all its columns.
    pub row: u64,
    /// The requested block of each value.
    pub values: Vec<Vec<u8>>,
}

impl Pieces {
    /// Decodes an answer.
    pub(super) fn decode_all(answer: &[u8]) -> Result<Vec<Self>, String> {
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

/// The next `N` bytes.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or_else(cut)?;
    *bytes = rest;
    Ok(*taken)
}

/// A length, as LEB128.
pub(super) fn varuint(bytes: &mut &[u8]) -> Result<u64, String> {
    varint::take(bytes).map_err(|_| cut())
}

fn cut() -> String {
    "it ends within a row".to_owned()
}

/// The bytes of a string.
pub(super) fn bytes<'a>(answer: &mut &'a [u8]) -> Result<&'a [u8], String> {
    varint::take_slice(answer).map_err(|_| cut())
}

/// A string.
pub(super) fn text(answer: &mut &[u8]) -> Result<String, String> {
    bytes(answer).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The strings of an answer with one column.
pub(super) fn texts(answer: &[u8]) -> Result<Vec<String>, String> {
    let (mut rest, mut texts) = (answer, Vec::new());
    while !rest.is_empty() {
        texts.push(text(&mut rest)?);
    }
    Ok(texts)
}
