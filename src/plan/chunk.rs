//! A chunk: a range of the source's primary key, the unit of reading, of progress and of retries. One
//! that turns out too slow is divided into parts, which are chunks like any other.
//!
//! The bounds of chunks can be stored: a run that resumes a load rebuilds exactly its chunks, even if
//! merges have changed the primary index meanwhile.
//!
//! A part's number follows from the chunk's and from where the part lies in it, so processes that
//! divide different chunks of a load never choose the same one.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize, Serializer};

use super::key::KeyColumn;
use crate::job::{BoundObjects, PinnedObject, PostgresRanges};

/// The most parts of one division.
pub(crate) const MOST_PARTS: usize = 16;
/// Bits for the place of a part among those of its division, from 1.
const PLACE_BITS: u32 = 5;
/// A part can be divided again this often. All numbers stay below 2^53, so that JSON keeps them.
const MOST_DIVISIONS: u32 = 4;
/// Bits for the number of the planned chunk.
const PLANNED_BITS: u32 = 32;

/// Identifies a chunk of a load: its number in the plan, and for a part of it the places of the
/// divisions that lead to the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(u64);

impl ChunkId {
    /// A chunk of the plan, by its number from 0.
    pub(crate) const fn planned(number: usize) -> Self {
        Self(number as u64 & ((1 << PLANNED_BITS) - 1))
    }

    /// A chunk by its number in the ledger.
    pub(crate) const fn of_record(number: u64) -> Self {
        Self(number)
    }

    /// Its number in the ledger: for a chunk of the plan, the plan's.
    pub(crate) const fn record(self) -> u64 {
        self.0
    }

    /// The number of the chunk of the plan that it is, or is a part of.
    pub(crate) fn planned_number(self) -> usize {
        usize::try_from(self.0 & ((1 << PLANNED_BITS) - 1)).unwrap_or(usize::MAX)
    }

    /// A part of it, by its place from 0; `None` where it cannot be divided further.
    pub(crate) fn part(self, place: usize) -> Option<Self> {
        let place = u64::try_from(place).ok().filter(|&place| place < MOST_PARTS as u64)?;
        let path = (self.0 >> PLANNED_BITS) << PLACE_BITS | (place + 1);
        let fits = path < 1 << (PLACE_BITS * MOST_DIVISIONS);
        fits.then_some(Self::at(path, self))
    }

    /// Sorts chunks and parts as their ranges lie in the partition.
    pub(crate) fn order(self) -> (usize, u64) {
        let mut path = self.0 >> PLANNED_BITS;
        while path != 0 && path < 1 << (PLACE_BITS * (MOST_DIVISIONS - 1)) {
            path <<= PLACE_BITS;
        }
        (self.planned_number(), path)
    }

    /// What it is a part of; `None` for a chunk of the plan.
    pub(crate) fn whole(self) -> Option<Self> {
        let path = self.0 >> PLANNED_BITS;
        (path > 0).then_some(Self::at(path >> PLACE_BITS, self))
    }

    /// The part at this path of the same chunk of the plan.
    const fn at(path: u64, of: Self) -> Self {
        Self(path << PLANNED_BITS | of.0 & ((1 << PLANNED_BITS) - 1))
    }
}

/// From 1, as people count: `8`, and `8.2` for the second part of it.
impl fmt::Display for ChunkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whole() {
            None => write!(formatter, "{}", self.planned_number() + 1),
            Some(whole) => {
                let place = (self.0 >> PLANNED_BITS) & ((1 << PLACE_BITS) - 1);
                write!(formatter, "{whole}.{place}")
            }
        }
    }
}

/// A number from 1; for a part, the text.
impl Serialize for ChunkId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.whole().is_some() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0 + 1)
        }
    }
}

/// A range of the source's primary key, or an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which one of the load.
    pub id: ChunkId,
    /// The range as a predicate; `None` for the whole partition. For an object, it names the object.
    pub range: Option<String>,
    /// The bounds of the range.
    pub limits: Limits,
    /// An estimate of its rows; 0 if unknown.
    pub rows: u64,
}

/// The bounds between the chunks of a partition. Serialized, it is an object `{"key": [{"name",
/// "expression", "type"}], "bounds": [[…]], "newest_block": n}`, in which a value is the text that
/// ClickHouse writes for it (times in UTC), or `{"hex": …}` where that is not UTF-8. For a source of objects
/// it has `"objects"` instead, each of which is a chunk, and for PostgreSQL `"ranges"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkBounds {
    /// The leading columns of the source's primary key that the bounds have values of; none if there
    /// is only one chunk.
    pub key: Vec<KeyColumn>,
    /// Each bound has a value for each key column, in the key's order. Chunk n lies between the
    /// bounds n - 1 (excluded) and n (included).
    #[serde(with = "texts")]
    pub bounds: Vec<Bound>,
    /// The partition's greatest block number when the bounds were found; rows with a greater one were
    /// inserted later.
    #[serde(default)]
    pub newest_block: Option<u64>,
    /// The objects of a source of objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<PinnedObject>,
    /// The delivery's own version, by its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The ranges of a query of PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<PostgresRanges>,
}

impl ChunkBounds {
    /// Each object is a chunk.
    pub(super) fn of_objects(objects: &BoundObjects) -> Self {
        Self { objects: objects.pins.clone(), version: objects.version.clone(), ..Self::default() }
    }

    /// Each range of a query of PostgreSQL is a chunk.
    pub(super) fn of_ranges(ranges: PostgresRanges) -> Self {
        Self { ranges: Some(ranges), ..Self::default() }
    }

    /// Number of chunks: one more than bounds, or the objects or the ranges.
    pub fn chunk_count(&self) -> usize {
        match &self.ranges {
            Some(ranges) => ranges.conditions().len(),
            None if self.objects.is_empty() => self.bounds.len() + 1,
            None => self.objects.len(),
        }
    }

    /// The chunks between the bounds, of this many rows together.
    pub(super) fn chunks(&self, rows: u64) -> Vec<Chunk> {
        if !self.objects.is_empty() {
            return self.objects.iter().zip(0..).map(Chunk::of_object).collect();
        }
        let rows = rows / self.chunk_count() as u64;
        let ids = (0..).map(ChunkId::planned);
        if let Some(ranges) = &self.ranges {
            let chunk = |(range, id)| Chunk { id, range: Some(range), limits: (None, None), rows };
            return ranges.conditions().into_iter().zip(ids).map(chunk).collect();
        }
        between(&self.key, &(None, None), &self.bounds)
            .into_iter()
            .zip(ids)
            .map(|((range, limits), id)| Chunk { id, range, limits, rows })
            .collect()
    }

    /// The parts of a chunk between these cuts; none where it cannot be divided further.
    pub(crate) fn parts(&self, chunk: &Chunk, cuts: &[Bound]) -> Vec<Chunk> {
        let rows = chunk.rows / (cuts.len() as u64 + 1);
        between(&self.key, &chunk.limits, cuts)
            .into_iter()
            .enumerate()
            .map(|(place, (range, limits))| {
                Some(Chunk { id: chunk.id.part(place)?, range, limits, rows })
            })
            .collect::<Option<Vec<_>>>()
            .unwrap_or_default()
    }

    /// The range of a chunk as a predicate over these expressions, one for each key column; `None` for
    /// the whole partition.
    pub(crate) fn range_over(&self, expressions: &[String], chunk: &Chunk) -> Option<String> {
        let over = |(column, expression): (&KeyColumn, &String)| KeyColumn {
            expression: expression.clone(),
            ..column.clone()
        };
        let key: Vec<_> = self.key.iter().zip(expressions).map(over).collect();
        predicate(&key, chunk.limits.0.as_ref(), chunk.limits.1.as_ref())
    }

    /// Whether every bound has a value for each key column; an edited file may not.
    pub(super) fn is_whole(&self) -> bool {
        self.bounds.iter().all(|bound| bound.len() == self.key.len())
            && (self.bounds.is_empty() || !self.key.is_empty())
    }
}

impl Chunk {
    fn of_object((object, number): (&PinnedObject, usize)) -> Self {
        Self {
            id: ChunkId::planned(number),
            range: Some(object.predicate()),
            limits: (None, None),
            rows: object.rows.unwrap_or_default(),
        }
    }
}

/// Cuts within a chunk, as they are stored: in the form of the bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cuts(#[serde(with = "texts")] pub Vec<Bound>);

/// Values are written as text if they are UTF-8, so that people can read them.
mod texts {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Bound;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Hexadecimal { hex: String },
    }

    pub(super) fn serialize<S: Serializer>(
        bounds: &[Bound],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let value = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Hexadecimal { hex: super::encode_hex(bytes) },
        };
        let values: Vec<Vec<Value>> =
            bounds.iter().map(|bound| bound.iter().map(value).collect()).collect();
        values.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Bound>, D::Error> {
        let bytes = |value: Value| match value {
            Value::Text(text) => Ok(text.into_bytes()),
            Value::Hexadecimal { hex } => super::decode_hex(&hex)
                .ok_or_else(|| D::Error::custom(format!("{hex:?} is not hexadecimal"))),
        };
        let values = Vec::<Vec<Value>>::deserialize(deserializer)?;
        values.into_iter().map(|bound| bound.into_iter().map(bytes).collect()).collect()
    }
}

/// A value of each key column, as text.
pub(crate) type Bound = Vec<Vec<u8>>;
/// The bounds of a range: the first excluded, the second included; `None` where it has no end.
type Limits = (Option<Bound>, Option<Bound>);

/// The predicates of the ranges between sorted cuts of a range with these limits. A cut belongs to the
/// range below it. Without any there is one range without a predicate.
///
/// Nested ORs use the primary index; a comparison of tuples does not (27 of 123 granules were read,
/// against 123).
fn between(key: &[KeyColumn], limits: &Limits, cuts: &[Bound]) -> Vec<(Option<String>, Limits)> {
    let ends: Vec<Option<&Bound>> = std::iter::once(limits.0.as_ref())
        .chain(cuts.iter().map(Some))
        .chain([limits.1.as_ref()])
        .collect();
    ends.windows(2)
        .map(|ends| {
            let (below, bound) = match ends {
                [below, bound] => (*below, *bound),
                _ => (None, None),
            };
            (predicate(key, below, bound), (below.cloned(), bound.cloned()))
        })
        .collect()
}

/// The range above the first bound, up to the second and including it.
pub(super) fn predicate(
    key: &[KeyColumn],
    below: Option<&Bound>,
    until: Option<&Bound>,
) -> Option<String> {
    let above = below.map(|bound| beyond(key, bound, ">"));
    let until = until.map(|bound| beyond(key, bound, "<"));
    match (above, until) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(above), Some(until)) => Some(format!("({above}) AND ({until})")),
    }
}

/// `a > x OR (a = x AND (b > y OR (b = y AND c > z)))`; with `<`, the last comparison is inclusive.
fn beyond(key: &[KeyColumn], bound: &Bound, sign: &str) -> String {
    let mut predicate = String::new();
    for (column, value) in key.iter().zip(bound).rev() {
        let name = &column.expression;
        let value = column.literal(value);
        predicate = if predicate.is_empty() {
            let inclusive = if sign == "<" { "<=" } else { sign };
            format!("{name} {inclusive} {value}")
        } else {
            format!("{name} {sign} {value} OR ({name} = {value} AND ({predicate}))")
        };
    }
    predicate
}

/// Two lower-case digits for each byte.
fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes; `None` if the text is not hexadecimal.
pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_come_back_as_they_were_written() {
        let column = |name: &str, type_name: &str| KeyColumn {
            name: name.to_owned(),
            expression: format!("`{name}`"),
            type_name: type_name.to_owned(),
        };
        let bounds = ChunkBounds {
            key: vec![column("project", "String"), column("day", "Date")],
            bounds: vec![
                vec![b"p'\"\xff\x00".to_vec(), b"2025-11-01".to_vec()],
                vec!["ü".into(), b"2025-11-02".to_vec()],
            ],
            newest_block: Some(7),
            ..ChunkBounds::default()
        };
        let text = serde_json::to_string(&bounds).unwrap();
        assert_eq!(
            text,
            r#"{"key":[{"name":"project","expression":"`project`","type":"String"},{"name":"day","expression":"`day`","type":"Date"}],"bounds":[[{"hex":"702722ff00"},"2025-11-01"],["ü","2025-11-02"]],"newest_block":7}"#
        );
        assert_eq!(serde_json::from_str::<ChunkBounds>(&text).unwrap(), bounds);
        assert_eq!(bounds.chunks(30).len(), bounds.chunk_count());
        assert!(
            serde_json::from_str::<ChunkBounds>(r#"{"key":[],"bounds":[[{"hex":"0g"}]]}"#).is_err()
        );
    }

    fn key() -> Vec<KeyColumn> {
        let column = |expression: &str, type_name: &str| KeyColumn {
            name: expression.to_owned(),
            expression: expression.to_owned(),
            type_name: type_name.to_owned(),
        };
        vec![column("a", "String"), column("toDate(b)", "Date")]
    }

    #[test]
    fn the_parts_of_a_chunk_cover_it() {
        let bound = |a: &str, b: &str| vec![a.as_bytes().to_vec(), b.as_bytes().to_vec()];
        let bounds = ChunkBounds {
            key: key(),
            bounds: vec![bound("p", "2025-11-01"), bound("t", "2025-11-02")],
            ..ChunkBounds::default()
        };
        let chunks = bounds.chunks(300);
        let cuts = [bound("q", "2025-11-03"), bound("r", "2025-11-04")];
        let parts = bounds.parts(&chunks[1], &cuts);
        let as_bounds = ChunkBounds {
            bounds: [&bounds.bounds[..1], &cuts, &bounds.bounds[1..]].concat(),
            ..bounds.clone()
        };
        let expected: Vec<_> =
            as_bounds.chunks(300)[1..4].iter().map(|chunk| chunk.range.clone()).collect();
        let ranges: Vec<_> = parts.iter().map(|part| part.range.clone()).collect();
        assert_eq!(ranges, expected);
        assert_eq!(parts[2].id.to_string(), "2.3");
        assert_eq!((parts[0].rows, &parts[0].limits.0), (33, &chunks[1].limits.0));
        assert_eq!(parts[2].limits.1, chunks[1].limits.1);
        // The last of them again: there is nothing above it.
        let last = bounds.parts(&chunks[2], &cuts[..1]);
        assert_eq!((last.len(), &last[1].limits.1), (2, &None));
        let stored = serde_json::to_string(&Cuts(cuts.to_vec())).unwrap();
        assert_eq!(serde_json::from_str::<Cuts>(&stored).unwrap().0, cuts);
    }

    fn predicates(key: &[KeyColumn], bounds: &[Bound]) -> Vec<Option<String>> {
        between(key, &(None, None), bounds).into_iter().map(|(range, _)| range).collect()
    }

    #[test]
    fn ranges_meet_without_gap_or_overlap() {
        let bound = |a: &str, b: &str| vec![a.as_bytes().to_vec(), b.as_bytes().to_vec()];
        let found = predicates(&key(), &[bound("p'", "2025-11-01"), bound("q", "2025-11-02")]);
        let (p, d1) = ("'p\\''", "CAST('2025-11-01' AS Date)");
        let (q, d2) = ("'q'", "CAST('2025-11-02' AS Date)");
        assert_eq!(
            found,
            [
                Some(format!("a < {p} OR (a = {p} AND (toDate(b) <= {d1}))")),
                Some(format!(
                    "(a > {p} OR (a = {p} AND (toDate(b) > {d1}))) AND (a < {q} OR (a = {q} AND (toDate(b) <= {d2})))"
                )),
                Some(format!("a > {q} OR (a = {q} AND (toDate(b) > {d2}))")),
            ]
        );
        assert_eq!(predicates(&key(), &[]), [None]);
    }

    #[test]
    fn there_and_back() {
        assert_eq!(decode_hex("00FF27"), Some(vec![0, 255, 39]));
        assert_eq!(decode_hex(""), Some(vec![]));
        assert_eq!(encode_hex(&[0, 255, 39]), "00ff27");
        for wrong in ["0g", "1", "123", "é0"] {
            assert_eq!(decode_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_know_their_chunk_and_their_place() {
        let chunk = ChunkId::planned(7);
        let part = chunk.part(2).unwrap().part(15).unwrap();
        assert_eq!((chunk.to_string(), part.to_string()), ("8".to_owned(), "8.3.16".to_owned()));
        assert_eq!((chunk.record(), part.planned_number()), (7, 7));
        assert_eq!(ChunkId::of_record(part.record()), part);
        assert_eq!(part.whole().and_then(ChunkId::whole), Some(chunk));
        assert_eq!(chunk.whole(), None);
        assert_eq!(serde_json::to_string(&[chunk, part]).unwrap(), r#"[8,"8.3.16"]"#);
    }

    #[test]
    fn divisions_end() {
        assert_eq!(ChunkId::planned(0).part(MOST_PARTS), None);
        let mut part = ChunkId::planned(u32::MAX as usize);
        for _ in 0..MOST_DIVISIONS {
            part = part.part(MOST_PARTS - 1).unwrap();
        }
        assert_eq!(part.part(0), None);
        assert!(part.record() < 1 << 53, "{part:?}");
    }
}
