//! Sums of hashes by bucket: what is compared of both sides. They are additive, so that each side
//! can be asked piece by piece.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bytes::{take, text, varuint};

/// Sums of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sums {
    /// By bucket; buckets without rows are not there.
    pub buckets: BTreeMap<u32, Bucket>,
    /// Ids of the partitions that the rows lie in.
    pub partitions: BTreeSet<String>,
}

/// Sums of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket {
    /// Rows that the job answers for.
    pub rows: u64,
    /// Other rows.
    pub others: u64,
    /// For each column the sum of its hashes over the rows that the job answers for, modulo 2^64.
    pub columns: Vec<u64>,
}

/// What two sides have in one bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub number: u32,
    pub expected: Option<&'a Bucket>,
    pub found: Option<&'a Bucket>,
}

impl Sums {
    /// Adds an answer of `Queries::sums` for so many columns; the error says what is wrong with it.
    pub fn add(&mut self, answer: &[u8], columns: usize) -> Result<(), String> {
        let mut bytes = answer;
        while !bytes.is_empty() {
            let number = u32::from_le_bytes(take(&mut bytes)?);
            let (rows, others) =
                (u64::from_le_bytes(take(&mut bytes)?), u64::from_le_bytes(take(&mut bytes)?));
            for _ in 0..varuint(&mut bytes)? {
                self.partitions.insert(text(&mut bytes)?);
            }
            let bucket = self.buckets.entry(number).or_default();
            bucket.rows += rows;
            bucket.others += others;
            bucket.columns.resize(columns, 0);
            for sum in &mut bucket.columns {
                *sum = sum.wrapping_add(u64::from_le_bytes(take(&mut bytes)?));
            }
        }
        Ok(())
    }

    /// Rows of all buckets that the job answers for.
    pub fn rows(&self) -> u64 {
        self.buckets.values().map(|bucket| bucket.rows).sum()
    }

    /// The buckets in which the sides differ, or in which the job makes rows that its own `owned`
    /// does not cover, which sums say nothing about.
    pub fn differing<'a>(&'a self, found: &'a Self) -> Vec<Pair<'a>> {
        let numbers: BTreeSet<u32> =
            self.buckets.keys().chain(found.buckets.keys()).copied().collect();
        let pair = |number| Pair {
            number,
            expected: self.buckets.get(&number),
            found: found.buckets.get(&number),
        };
        numbers.into_iter().map(pair).filter(|pair| !pair.agrees()).collect()
    }
}

impl Pair<'_> {
    fn agrees(&self) -> bool {
        self.others() == 0 && self.sums_agree()
    }

    /// Whether the rows that the job answers for are the same, as far as sums say.
    pub fn sums_agree(&self) -> bool {
        let rows = |bucket: Option<&Bucket>| bucket.map_or(0, |bucket| bucket.rows);
        let same = |a: &Bucket, b: &Bucket| a.columns == b.columns;
        rows(self.expected) == rows(self.found)
            && (rows(self.expected) == 0
                || self.expected.zip(self.found).is_some_and(|(a, b)| same(a, b)))
    }

    /// Rows that the job makes and its own `owned` does not cover.
    pub fn others(&self) -> u64 {
        self.expected.map_or(0, |expected| expected.others)
    }

    /// The most rows that have to be looked at one by one.
    pub fn rows(&self) -> u64 {
        let expected = self.expected.map_or(0, |bucket| bucket.rows + bucket.others);
        expected.max(self.found.map_or(0, |bucket| bucket.rows))
    }

    /// Positions of the columns whose sums differ.
    pub fn columns(&self) -> Vec<usize> {
        let columns = |bucket: Option<&Bucket>| {
            bucket.map(|bucket| bucket.columns.clone()).unwrap_or_default()
        };
        let (expected, found) = (columns(self.expected), columns(self.found));
        let count = expected.len().max(found.len());
        (0..count).filter(|&position| expected.get(position) != found.get(position)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bucket: u32, rows: u64, others: u64, columns: &[u64]) -> Vec<u8> {
        let mut bytes = bucket.to_le_bytes().to_vec();
        bytes.extend(rows.to_le_bytes());
        bytes.extend(others.to_le_bytes());
        bytes.extend(b"\x01\x06202511");
        bytes.extend(columns.iter().flat_map(|sum| sum.to_le_bytes()));
        bytes
    }

    fn sums(answers: &[Vec<u8>]) -> Sums {
        let mut sums = Sums::default();
        for answer in answers {
            sums.add(answer, 2).unwrap();
        }
        sums
    }

    #[test]
    fn pieces_add_up() {
        let whole = sums(&[row(3, 5, 0, &[2, u64::MAX])]);
        let pieces = sums(&[row(3, 2, 0, &[7, u64::MAX]), row(3, 3, 0, &[u64::MAX - 4, 0])]);
        assert_eq!(whole, pieces);
        assert!(whole.differing(&pieces).is_empty());
        assert_eq!(whole.partitions.iter().collect::<Vec<_>>(), ["202511"]);
        assert!(Sums::default().add(&row(1, 1, 1, &[1, 1])[..20], 2).is_err());
    }

    #[test]
    fn a_bucket_differs_by_rows_by_a_column_or_by_rows_that_sums_do_not_cover() {
        let expected = sums(&[
            row(1, 1, 0, &[1, 1]),
            row(2, 1, 0, &[1, 1]),
            row(3, 1, 1, &[1, 1]),
            row(4, 1, 0, &[1, 1]),
            row(6, 1, 0, &[0, 0]),
        ]);
        let found = sums(&[
            row(1, 1, 9, &[1, 1]),
            row(2, 1, 0, &[1, 2]),
            row(3, 1, 0, &[1, 1]),
            row(5, 1, 0, &[0, 0]),
            row(7, 0, 4, &[0, 0]),
        ]);
        let pairs = expected.differing(&found);
        assert_eq!(pairs.iter().map(|pair| pair.number).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert_eq!(pairs[0].columns(), [1]);
    }
}
