//! Compares rows one by one by their digests, and classifies each difference.

use std::collections::HashMap;

use serde::Serialize;

use super::decode::take;

/// The part of a row that a comparison needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    /// The hash of its key.
    pub key: u64,
    /// Whether the job owns it.
    pub owned: bool,
    /// Whether it is marked as deleted.
    pub deleted: bool,
    /// Whether it came from the compared partition of the source, as far as that is known.
    pub attributed: bool,
    /// Its version; 0 without a version column.
    pub version: i128,
    /// The hash of all columns.
    pub hash: u64,
}

impl Digest {
    /// Decodes an answer of `Queries::digests`. The error says what is wrong with the answer.
    pub(super) fn decode_all(answer: &[u8]) -> Result<Vec<Self>, String> {
        let (mut bytes, mut rows) = (answer, Vec::with_capacity(answer.len() / 33));
        while !bytes.is_empty() {
            let key = u64::from_le_bytes(take(&mut bytes)?);
            let [flags] = take::<1>(&mut bytes)?;
            let (version, hash) =
                (i128::from_le_bytes(take(&mut bytes)?), u64::from_le_bytes(take(&mut bytes)?));
            rows.push(Self {
                key,
                owned: flags & 1 != 0,
                deleted: flags & 2 != 0,
                attributed: flags & 4 != 0,
                version,
                hash,
            });
        }
        Ok(rows)
    }
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The target lacks the row.
    Missing,
    /// The target has the row with other values.
    Differing,
    /// The target has an older version than the source.
    Stale,
    /// The target has the row more often than expected.
    Repeated,
    /// The row was deleted in the source.
    DeletedInSource,
    /// The source has a row of this key, but only as an old version, or as a row that the job
    /// excludes.
    NotMadeAnyMore,
    /// No partition of the source makes a row of this key.
    Extra,
    /// Not a fault: a live writer has written a newer version.
    WrittenSince,
    /// Not a fault: a live writer has deleted the row with a newer version.
    DeletedSince,
    /// Not a fault: a live writer has added the row since the load began.
    AddedSince,
    /// Not a fault: another partition of the source makes a row of the same key and version, of which
    /// the target keeps either.
    SharedKey,
    /// Not a fault: no partition of the source makes the row, and nothing tells from which one it
    /// came, which may have been dropped since.
    Unattributed,
}

impl Kind {
    /// Whether the target is wrong.
    pub(crate) fn is_difference(self) -> bool {
        !self.is_live() && !self.is_tolerated()
    }

    /// Whether a live writer has changed the row.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::WrittenSince | Self::DeletedSince | Self::AddedSince)
    }

    /// Whether the row is neither wrong nor changed by a live writer.
    pub(crate) fn is_tolerated(self) -> bool {
        matches!(self, Self::SharedKey | Self::Unattributed)
    }

    /// Whether the target has a row that it should not have.
    pub(crate) fn is_surplus(self) -> bool {
        matches!(self, Self::DeletedInSource | Self::NotMadeAnyMore | Self::Extra)
    }

    /// Whether filling its chunk again repairs the row.
    pub(crate) fn is_repaired_by_filling(self) -> bool {
        matches!(self, Self::Missing | Self::Differing | Self::Stale)
    }
}

/// A row that differs between the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub key: u64,
    pub kind: Kind,
    /// The chunk of the source that makes the row.
    pub chunk: Option<usize>,
    /// The expected version; without an expected row, the version that was found.
    pub version: i128,
    /// The range of the target in which it was found.
    pub range: Option<usize>,
    /// Whether the row that was found came from the compared partition of the source, as far as that
    /// is known.
    pub attributed: bool,
}

/// The rows of both sides, by the hash of their key.
#[derive(Debug, Default)]
pub(super) struct RowComparison {
    expected: HashMap<u64, Vec<(Digest, usize)>>,
    found: HashMap<u64, Vec<(Digest, usize)>>,
}

impl RowComparison {
    /// Adds the rows that the job makes of a chunk.
    pub(super) fn expect(&mut self, rows: Vec<Digest>, chunk: usize) {
        for row in rows {
            self.expected.entry(row.key).or_default().push((row, chunk));
        }
    }

    /// Adds rows of a range of the target, after all expected rows; those that are neither owned nor
    /// expected are ignored.
    pub(super) fn find(&mut self, rows: Vec<Digest>, range: usize) {
        for row in rows {
            if (row.owned && row.attributed) || self.expected.contains_key(&row.key) {
                self.found.entry(row.key).or_default().push((row, range));
            }
        }
    }

    /// The number of rows of the target that are expected although the job does not own them, for
    /// keys that match `of`.
    pub(super) fn found_not_owned(&self, of: impl Fn(u64) -> bool) -> u64 {
        let not_owned = |row: &Digest| !row.owned && row.attributed && of(row.key);
        self.found.values().flatten().filter(|(row, _)| not_owned(row)).count() as u64
    }

    /// The differences. `replacing`: of the rows of a key, only the newest version is compared.
    /// `attributed`: whether the source partition of rows of the target is known.
    pub(super) fn differences(&self, replacing: bool, attributed: bool) -> Vec<Difference> {
        let expected = self.expected.iter().filter_map(|(key, expected)| {
            let found = self.found.get(key).map(Vec::as_slice).unwrap_or_default();
            if replacing {
                collapsed(expected, found)
            } else {
                counted(expected, found, attributed)
            }
        });
        let surplus = self
            .found
            .iter()
            .filter(|(key, _)| !self.expected.contains_key(key))
            .filter_map(|(_, found)| surplus(found));
        let mut differences: Vec<_> = expected.chain(surplus).collect();
        differences.sort_by_key(|difference| (difference.kind, difference.key));
        differences
    }
}

fn surplus(found: &[(Digest, usize)]) -> Option<Difference> {
    let (row, range) = found.iter().max_by_key(|(row, _)| row.version)?;
    Some(Difference {
        key: row.key,
        kind: Kind::Extra,
        chunk: None,
        version: row.version,
        range: Some(*range),
        attributed: row.attributed,
    })
}

/// The target keeps the newest of the rows of a key; of equal versions it may keep any.
fn collapsed(expected: &[(Digest, usize)], found: &[(Digest, usize)]) -> Option<Difference> {
    let version = expected.iter().map(|(row, _)| row.version).max()?;
    let newest = || expected.iter().filter(move |(row, _)| row.version == version);
    let kept = newest().find(|(row, _)| !row.deleted);
    let Some((row, chunk)) = kept else {
        let of_this_load = |row: &Digest| row.owned && row.attributed;
        return surplus(found).filter(|_| found.iter().any(|(row, _)| of_this_load(row)));
    };
    let difference = |kind, there: Option<&(Digest, usize)>| {
        Some(Difference {
            key: row.key,
            kind,
            chunk: Some(*chunk),
            version,
            range: there.map(|(_, range)| *range),
            attributed: there.is_none_or(|(row, _)| row.attributed),
        })
    };
    let Some(there) = found.iter().max_by_key(|(row, _)| row.version) else {
        return difference(Kind::Missing, None);
    };
    match there.0.version.cmp(&version) {
        std::cmp::Ordering::Greater => difference(Kind::WrittenSince, Some(there)),
        std::cmp::Ordering::Less => difference(Kind::Stale, Some(there)),
        std::cmp::Ordering::Equal if newest().any(|(row, _)| row.hash == there.0.hash) => None,
        std::cmp::Ordering::Equal => difference(Kind::Differing, Some(there)),
    }
}

/// In an engine that does not collapse rows, every row of the compared partition is compared. If
/// that partition is not known, further rows of the key may be those of others.
fn counted(
    expected: &[(Digest, usize)],
    found: &[(Digest, usize)],
    attributed: bool,
) -> Option<Difference> {
    let found: Vec<_> = found.iter().filter(|(row, _)| row.attributed).copied().collect();
    let sorted = |rows: &[(Digest, usize)]| {
        let mut hashes: Vec<_> = rows.iter().map(|(row, _)| row.hash).collect();
        hashes.sort_unstable();
        hashes
    };
    let (expected_hashes, found_hashes) = (sorted(expected), sorted(&found));
    if expected_hashes == found_hashes
        || (!attributed && contains_all(&found_hashes, &expected_hashes))
    {
        return None;
    }
    let (row, chunk) = expected.first()?;
    let kind = if found_hashes.is_empty() {
        Kind::Missing
    } else if found_hashes.len() > expected_hashes.len()
        && found_hashes.iter().all(|hash| expected_hashes.contains(hash))
    {
        Kind::Repeated
    } else {
        Kind::Differing
    };
    Some(Difference {
        key: row.key,
        kind,
        chunk: Some(*chunk),
        version: row.version,
        range: found.first().map(|(_, range)| *range),
        attributed: true,
    })
}

/// Whether a sorted list has each item of the other as often.
fn contains_all(list: &[u64], of: &[u64]) -> bool {
    let mut rest = list.iter();
    of.iter().all(|item| rest.any(|other| other == item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u64, version: i128, hash: u64) -> Digest {
        Digest { key, owned: true, deleted: false, attributed: true, version, hash }
    }

    fn kinds(expected: Vec<Digest>, found: Vec<Digest>, replacing: bool) -> Vec<(u64, Kind)> {
        let mut rows = RowComparison::default();
        rows.expect(expected, 0);
        rows.find(found, 0);
        rows.differences(replacing, true)
            .into_iter()
            .map(|difference| (difference.key, difference.kind))
            .collect()
    }

    #[test]
    fn differences_are_classified() {
        let expected = (1..=5).map(|key| row(key, 10, key)).collect();
        let foreign = Digest { owned: false, ..row(7, 10, 7) };
        let found = vec![
            row(1, 10, 1),
            row(2, 10, 99),
            row(3, 9, 3),
            row(4, 11, 99),
            row(6, 10, 6),
            foreign,
        ];
        assert_eq!(
            kinds(expected, found, true),
            [
                (5, Kind::Missing),
                (2, Kind::Differing),
                (3, Kind::Stale),
                (6, Kind::Extra),
                (4, Kind::WrittenSince)
            ]
        );
    }

    #[test]
    fn expected_rows_are_compared_whether_or_not_they_are_owned() {
        let others = [5, 6].map(|key| Digest { owned: false, ..row(key, 10, key) });
        let mut rows = RowComparison::default();
        rows.expect(vec![row(1, 10, 1), others[0]], 0);
        rows.find(vec![row(1, 10, 1), others[0], others[1]], 0);
        assert_eq!((rows.found_not_owned(|_| true), rows.differences(true, true).len()), (1, 0));
    }

    #[test]
    fn several_source_rows_of_a_key_collapse_to_the_newest() {
        assert_eq!(kinds(vec![row(1, 9, 1), row(1, 10, 2)], vec![row(1, 10, 2)], true), []);
        assert_eq!(
            kinds(vec![row(1, 9, 1), row(1, 10, 2)], vec![row(1, 9, 1)], true),
            [(1, Kind::Stale)]
        );
        assert_eq!(
            kinds(vec![row(1, 10, 1), row(1, 10, 2)], vec![row(1, 10, 1)], true),
            [],
            "of a tie, either"
        );
        let deleted = Digest { deleted: true, ..row(1, 10, 1) };
        assert_eq!(kinds(vec![deleted], vec![], true), []);
        assert_eq!(kinds(vec![deleted], vec![row(1, 9, 1)], true), [(1, Kind::Extra)]);
    }

    #[test]
    fn without_collapsing_every_row_is_compared() {
        assert_eq!(
            kinds(vec![row(1, 0, 1)], vec![row(1, 0, 1), row(1, 0, 1)], false),
            [(1, Kind::Repeated)]
        );
        assert_eq!(
            kinds(vec![row(1, 0, 1), row(1, 0, 2)], vec![row(1, 0, 2), row(1, 0, 1)], false),
            []
        );
        assert_eq!(kinds(vec![row(1, 0, 1)], vec![row(1, 0, 2)], false), [(1, Kind::Differing)]);
    }

    #[test]
    fn rows_of_other_partitions_are_not_surplus() {
        let elsewhere = |key, version| Digest { attributed: false, ..row(key, version, 99) };
        assert_eq!(kinds(vec![row(1, 10, 1)], vec![row(1, 10, 1), elsewhere(2, 10)], true), []);
        assert_eq!(kinds(vec![row(1, 0, 1)], vec![row(1, 0, 1), elsewhere(1, 0)], false), []);
        let mut rows = RowComparison::default();
        rows.expect(vec![row(1, 10, 1)], 0);
        rows.find(vec![elsewhere(1, 10)], 0);
        let found = rows.differences(true, true);
        assert_eq!((found[0].kind, found[0].attributed), (Kind::Differing, false));
    }

    #[test]
    fn without_known_partitions_expected_rows_must_be_among_those_found() {
        let kinds = |found: Vec<Digest>| {
            let mut rows = RowComparison::default();
            rows.expect(vec![row(1, 0, 1), row(1, 0, 1), row(1, 0, 2)], 0);
            rows.find(found, 0);
            rows.differences(false, false).iter().map(|row| row.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds([1, 2, 3, 1].map(|hash| row(1, 0, hash)).into()), []);
        assert_eq!(kinds([1, 2, 3].map(|hash| row(1, 0, hash)).into()), [Kind::Differing]);
    }

    #[test]
    fn digests_are_decoded() {
        let mut bytes = 7_u64.to_le_bytes().to_vec();
        bytes.push(7);
        bytes.extend((-5_i128).to_le_bytes());
        bytes.extend(9_u64.to_le_bytes());
        assert_eq!(
            Digest::decode_all(&bytes),
            Ok(vec![Digest {
                key: 7,
                owned: true,
                deleted: true,
                attributed: true,
                version: -5,
                hash: 9
            }])
        );
        assert!(Digest::decode_all(&bytes[..20]).is_err());
    }
}
