//! The number of a chunk, or of a part of one that was divided.
//!
//! A part's number follows from the chunk's and from where the part lies in it, so processes that
//! divide different chunks of a load never choose the same one.

use std::fmt;

use serde::{Serialize, Serializer};

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

#[cfg(test)]
mod tests {
    use super::*;

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
