//! Sums of hashes by bucket of keys, the form in which the two sides are compared. Sums are additive,
//! so each side can be queried piece by piece.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::decode::{take, text, varuint};

/// The sums of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sums {
    /// By bucket; buckets without rows are absent.
    pub buckets: BTreeMap<u32, Bucket>,
    /// Ids of the target partitions of the rows.
    pub partitions: BTreeSet<String>,
}

/// The sums of one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket {
    /// Rows that the job owns.
    pub rows: u64,
    /// Other rows.
    pub others: u64,
    /// The sum of hashes over the other rows, modulo 2^64.
    pub others_sum: u64,
    /// Rows that the target's TTL may have removed; they are not compared.
    pub expired: u64,
    /// For each column the sum of its hashes over the owned rows, modulo 2^64.
    pub columns: Vec<u64>,
}

/// One bucket on both sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct BucketPair<'a> {
    pub number: u32,
    pub expected: Option<&'a Bucket>,
    pub found: Option<&'a Bucket>,
}

impl Sums {
    /// Adds an answer of `Queries::sums` for this number of columns. The error says what is wrong
    /// with the answer.
    pub(super) fn add(&mut self, answer: &[u8], columns: usize) -> Result<(), String> {
        let mut bytes = answer;
        while !bytes.is_empty() {
            let number = u32::from_le_bytes(take(&mut bytes)?);
            let mut number_of_rows = || take(&mut bytes).map(u64::from_le_bytes);
            let (rows, others, expired) = (number_of_rows()?, number_of_rows()?, number_of_rows()?);
            let others_sum = u64::from_le_bytes(take(&mut bytes)?);
            for _ in 0..varuint(&mut bytes)? {
                self.partitions.insert(text(&mut bytes)?);
            }
            let bucket = self.buckets.entry(number).or_default();
            bucket.rows += rows;
            bucket.others += others;
            bucket.others_sum = bucket.others_sum.wrapping_add(others_sum);
            bucket.expired += expired;
            bucket.columns.resize(columns, 0);
            for sum in &mut bucket.columns {
                *sum = sum.wrapping_add(u64::from_le_bytes(take(&mut bytes)?));
            }
        }
        Ok(())
    }

    /// Owned rows of all buckets.
    pub(super) fn rows(&self) -> u64 {
        self.buckets.values().map(|bucket| bucket.rows).sum()
    }

    /// Rows that the job makes and does not own, of the buckets that do not differ.
    pub(super) fn agreeing_others(&self, found: &Self) -> u64 {
        let pairs = self.buckets.keys().map(|&number| self.pair(number, found));
        pairs.filter(BucketPair::agrees).map(|pair| pair.others()).sum()
    }

    /// The buckets that differ.
    pub(super) fn differing<'a>(&'a self, found: &'a Self) -> Vec<BucketPair<'a>> {
        let numbers: BTreeSet<u32> =
            self.buckets.keys().chain(found.buckets.keys()).copied().collect();
        let pairs = numbers.into_iter().map(|number| self.pair(number, found));
        pairs.filter(|pair| !pair.agrees()).collect()
    }

    fn pair<'a>(&'a self, number: u32, found: &'a Self) -> BucketPair<'a> {
        let of = |sums: &'a Self| sums.buckets.get(&number);
        BucketPair { number, expected: of(self), found: of(found) }
    }
}

impl BucketPair<'_> {
    fn agrees(&self) -> bool {
        self.others_agree() && self.sums_agree()
    }

    /// Whether the target has the rows that the job makes and does not own, and no others that it does
    /// not own. Such rows of live writers and of other jobs tell nothing where the job makes none.
    fn others_agree(&self) -> bool {
        let of = |bucket: Option<&Bucket>| {
            bucket.map(|bucket| (bucket.others, bucket.others_sum)).unwrap_or_default()
        };
        self.others() == 0 || of(self.expected) == of(self.found)
    }

    /// Whether the sums over the owned rows are equal.
    pub(super) fn sums_agree(&self) -> bool {
        let rows = |bucket: Option<&Bucket>| bucket.map_or(0, |bucket| bucket.rows);
        let same = |a: &Bucket, b: &Bucket| a.columns == b.columns;
        rows(self.expected) == rows(self.found)
            && (rows(self.expected) == 0
                || self.expected.zip(self.found).is_some_and(|(a, b)| same(a, b)))
    }

    /// Rows that the job makes and does not own.
    pub(super) fn others(&self) -> u64 {
        self.expected.map_or(0, |expected| expected.others)
    }

    /// Upper bound of the rows to compare one by one.
    pub(super) fn rows(&self) -> u64 {
        let expected = self.expected.map_or(0, |bucket| bucket.rows + bucket.others);
        expected.max(self.found.map_or(0, |bucket| bucket.rows))
    }

    /// Positions of the columns whose sums differ.
    pub(super) fn differing_columns(&self) -> Vec<usize> {
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
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend((others * 10).to_le_bytes());
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
    fn a_bucket_differs_by_rows_by_a_column_or_by_rows_that_are_not_owned() {
        let expected = sums(&[
            row(1, 1, 0, &[1, 1]),
            row(2, 1, 0, &[1, 1]),
            row(3, 1, 1, &[1, 1]),
            row(4, 1, 0, &[1, 1]),
            row(6, 1, 0, &[0, 0]),
            row(8, 1, 2, &[1, 1]),
        ]);
        let mut found = sums(&[
            row(1, 1, 9, &[1, 1]),
            row(2, 1, 0, &[1, 2]),
            row(3, 1, 0, &[1, 1]),
            row(5, 1, 0, &[0, 0]),
            row(7, 0, 4, &[0, 0]),
            row(8, 1, 2, &[1, 1]),
        ]);
        let pairs = expected.differing(&found);
        assert_eq!(pairs.iter().map(|pair| pair.number).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert_eq!(pairs[0].differing_columns(), [1]);
        assert_eq!(expected.agreeing_others(&found), 2);

        found.buckets.get_mut(&8).unwrap().others_sum += 1;
        let pairs = expected.differing(&found);
        assert_eq!(pairs.iter().map(|pair| pair.number).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 8]);
        assert!(pairs[5].sums_agree(), "only the rows that are not owned are compared");
        assert_eq!(expected.agreeing_others(&found), 0);
    }
}
