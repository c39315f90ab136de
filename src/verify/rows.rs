//! Comparing rows one by one, by their digests, and saying of what kind each difference is.

use std::collections::HashMap;

use serde::Serialize;

use super::bytes::take;

/// A row, as small as it can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    /// The hash of its key.
    pub key: u64,
    /// Whether the job answers for it.
    pub owned: bool,
    /// Whether it marks a deletion.
    pub deleted: bool,
    /// Its version; 0 where there are none.
    pub version: i128,
    /// The hash of all columns.
    pub hash: u64,
}

impl Digest {
    /// Reads an answer of `Queries::digests`; the error says what is wrong with it.
    pub fn all(answer: &[u8]) -> Result<Vec<Self>, String> {
        let (mut bytes, mut rows) = (answer, Vec::with_capacity(answer.len() / 33));
        while !bytes.is_empty() {
            let key = u64::from_le_bytes(take(&mut bytes)?);
            let [flags] = take::<1>(&mut bytes)?;
            let (version, hash) =
                (i128::from_le_bytes(take(&mut bytes)?), u64::from_le_bytes(take(&mut bytes)?));
            rows.push(Self { key, owned: flags & 1 != 0, deleted: flags & 2 != 0, version, hash });
        }
        Ok(rows)
    }
}

/// Of what kind a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The target lacks the row.
    Missing,
    /// The row is there with other values.
    Differing,
    /// The target has an older version: the source was changed since.
    Stale,
    /// The row is there more often than it should be.
    Repeated,
    /// The row's source was deleted, and it lives on in the target.
    DeletedInSource,
    /// The source makes this row no longer: its key is that of an old version, or of a row that the
    /// job leaves out.
    NotMadeAnyMore,
    /// Nothing in the source explains the row.
    Extra,
    /// No difference: a live writer has written a newer version.
    WrittenSince,
    /// No difference: a live writer has deleted the row with a newer version.
    DeletedSince,
    /// No difference: a live writer has added the row since the load began.
    AddedSince,
}

impl Kind {
    /// Whether the target is wrong; else a live writer was at work.
    pub fn is_difference(self) -> bool {
        !matches!(self, Self::WrittenSince | Self::DeletedSince | Self::AddedSince)
    }

    /// Whether the row should not be there.
    pub fn is_surplus(self) -> bool {
        matches!(self, Self::DeletedInSource | Self::NotMadeAnyMore | Self::Extra)
    }

    /// Whether filling its chunk again mends it.
    pub fn is_mended_by_filling(self) -> bool {
        matches!(self, Self::Missing | Self::Differing | Self::Stale)
    }
}

/// A row that is not the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub key: u64,
    pub kind: Kind,
    /// The chunk of the source whose row it is.
    pub chunk: Option<usize>,
    /// The version on the side that has the row: the source's if it has it.
    pub version: i128,
    /// The part of the target in which it was found.
    pub part: Option<usize>,
}

/// The rows of both sides, by the hash of their key.
#[derive(Debug, Default)]
pub(super) struct RowComparison {
    expected: HashMap<u64, Vec<(Digest, usize)>>,
    found: HashMap<u64, Vec<(Digest, usize)>>,
}

impl RowComparison {
    /// Takes the rows that the job makes of a chunk.
    pub fn expect(&mut self, rows: Vec<Digest>, chunk: usize) {
        for row in rows {
            self.expected.entry(row.key).or_default().push((row, chunk));
        }
    }

    /// Takes rows of a part of the target, after all that are expected; rows that are not the job's
    /// are of no interest.
    pub fn find(&mut self, rows: Vec<Digest>, part: usize) {
        for row in rows {
            if row.owned || self.expected.contains_key(&row.key) {
                self.found.entry(row.key).or_default().push((row, part));
            }
        }
    }

    /// Rows of the target that are the job's although it does not answer for them: it makes rows of
    /// their keys. Of these keys only.
    pub fn found_others(&self, of: impl Fn(u64) -> bool) -> u64 {
        self.found.values().flatten().filter(|(row, _)| !row.owned && of(row.key)).count() as u64
    }

    /// What differs. `replacing`: of the rows of a key, only the newest version counts.
    pub fn differences(&self, replacing: bool) -> Vec<Difference> {
        let expected = self.expected.iter().filter_map(|(key, expected)| {
            let found = self.found.get(key).map(Vec::as_slice).unwrap_or_default();
            if replacing { collapsed(expected, found) } else { counted(expected, found) }
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
    let (row, part) = found.iter().max_by_key(|(row, _)| row.version)?;
    Some(Difference {
        key: row.key,
        kind: Kind::Extra,
        chunk: None,
        version: row.version,
        part: Some(*part),
    })
}

/// The newest of several source rows of one key is the one that the target keeps; of equal
/// versions, any may be.
fn collapsed(expected: &[(Digest, usize)], found: &[(Digest, usize)]) -> Option<Difference> {
    let version = expected.iter().map(|(row, _)| row.version).max()?;
    let newest = || expected.iter().filter(move |(row, _)| row.version == version);
    let kept = newest().find(|(row, _)| !row.deleted);
    let Some((row, chunk)) = kept else {
        return surplus(found).filter(|_| found.iter().any(|(row, _)| row.owned));
    };
    let is =
        |kind, part| Some(Difference { key: row.key, kind, chunk: Some(*chunk), version, part });
    let Some((there, part)) = found.iter().max_by_key(|(row, _)| row.version) else {
        return is(Kind::Missing, None);
    };
    match there.version.cmp(&version) {
        std::cmp::Ordering::Greater => is(Kind::WrittenSince, Some(*part)),
        std::cmp::Ordering::Less => is(Kind::Stale, Some(*part)),
        std::cmp::Ordering::Equal if newest().any(|(row, _)| row.hash == there.hash) => None,
        std::cmp::Ordering::Equal => is(Kind::Differing, Some(*part)),
    }
}

/// Where nothing collapses, every row counts.
fn counted(expected: &[(Digest, usize)], found: &[(Digest, usize)]) -> Option<Difference> {
    let sorted = |rows: &[(Digest, usize)]| {
        let mut hashes: Vec<_> = rows.iter().map(|(row, _)| row.hash).collect();
        hashes.sort_unstable();
        hashes
    };
    let (wanted, there) = (sorted(expected), sorted(found));
    if wanted == there {
        return None;
    }
    let (row, chunk) = expected.first()?;
    let kind = if there.is_empty() {
        Kind::Missing
    } else if there.iter().all(|hash| wanted.contains(hash)) && there.len() > wanted.len() {
        Kind::Repeated
    } else {
        Kind::Differing
    };
    Some(Difference {
        key: row.key,
        kind,
        chunk: Some(*chunk),
        version: row.version,
        part: found.first().map(|(_, part)| *part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u64, version: i128, hash: u64) -> Digest {
        Digest { key, owned: true, deleted: false, version, hash }
    }

    fn kinds(expected: Vec<Digest>, found: Vec<Digest>, replacing: bool) -> Vec<(u64, Kind)> {
        let mut rows = RowComparison::default();
        rows.expect(expected, 0);
        rows.find(found, 0);
        rows.differences(replacing)
            .into_iter()
            .map(|difference| (difference.key, difference.kind))
            .collect()
    }

    #[test]
    fn each_kind_is_told_apart() {
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
    fn rows_that_the_job_makes_are_its_own_whatever_it_answers_for() {
        let others = [5, 6].map(|key| Digest { owned: false, ..row(key, 10, key) });
        let mut rows = RowComparison::default();
        rows.expect(vec![row(1, 10, 1), others[0]], 0);
        rows.find(vec![row(1, 10, 1), others[0], others[1]], 0);
        assert_eq!((rows.found_others(|_| true), rows.differences(true).len()), (1, 0));
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
    fn where_nothing_collapses_every_row_counts() {
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
    fn digests_are_read_as_they_are_written() {
        let mut bytes = 7_u64.to_le_bytes().to_vec();
        bytes.push(3);
        bytes.extend((-5_i128).to_le_bytes());
        bytes.extend(9_u64.to_le_bytes());
        assert_eq!(
            Digest::all(&bytes),
            Ok(vec![Digest { key: 7, owned: true, deleted: true, version: -5, hash: 9 }])
        );
        assert!(Digest::all(&bytes[..20]).is_err());
    }
}
