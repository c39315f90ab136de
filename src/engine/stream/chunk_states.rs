//! Where each chunk of a run stands, for those who look on.

use std::collections::BTreeMap;

use crate::plan::{Chunk, ChunkId};
use crate::sync::Mutex;

/// Where a chunk stands in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkState {
    /// Left out: an earlier run has completed it, or it is another worker's.
    LeftOut,
    /// Not begun.
    Pending,
    /// Begun.
    Started,
    /// All of its rows are acknowledged.
    Completed,
    /// Given up.
    Failed,
}

/// The chunks of a run, and the parts of those that were divided.
#[derive(Debug, Default)]
pub(crate) struct ChunkStates(Mutex<BTreeMap<ChunkId, ChunkState>>);

impl ChunkStates {
    /// Forgets all chunks, and begins with these: all of a plan, and of these what is left to do.
    pub(super) fn plan<'a>(&self, all: &[Chunk], left: impl Iterator<Item = &'a Chunk>) {
        let mut states: BTreeMap<_, _> =
            all.iter().map(|chunk| (chunk.id, ChunkState::LeftOut)).collect();
        for chunk in left {
            if let Some(whole) = chunk.id.whole() {
                states.remove(&ChunkId::planned(whole.planned_number()));
            }
            states.insert(chunk.id, ChunkState::Pending);
        }
        *self.0.lock() = states;
    }

    /// Notes where a chunk stands now. One that has ended stays so.
    pub(super) fn set(&self, chunk: ChunkId, state: ChunkState) {
        let mut states = self.0.lock();
        let now = states.entry(chunk).or_insert(ChunkState::Pending);
        if !matches!(now, ChunkState::Completed | ChunkState::Failed) {
            *now = state;
        }
    }

    /// Puts the parts of a chunk in its place.
    pub(super) fn divide(&self, chunk: ChunkId, parts: &[Chunk]) {
        let mut states = self.0.lock();
        states.remove(&chunk);
        states.extend(parts.iter().map(|part| (part.id, ChunkState::Pending)));
    }

    /// All of them in the order of the key, parts in the place of their chunk.
    pub(crate) fn in_order(&self) -> Vec<(ChunkId, ChunkState)> {
        let mut states: Vec<_> =
            self.0.lock().iter().map(|(chunk, state)| (*chunk, *state)).collect();
        states.sort_by_key(|(chunk, _)| chunk.order());
        states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(number: usize) -> Chunk {
        let id = ChunkId::planned(number);
        Chunk { id, range: None, limits: (None, None), rows: 0 }
    }

    fn part(of: &Chunk, place: usize) -> Chunk {
        Chunk { id: of.id.part(place).unwrap(), ..of.clone() }
    }

    #[test]
    fn parts_stand_in_the_place_of_their_chunk() {
        let states = ChunkStates::default();
        let all: Vec<_> = (0..3).map(chunk).collect();
        states.plan(&all, all[1..].iter());
        states.set(all[1].id, ChunkState::Started);
        let parts: Vec<_> = (0..3).map(|place| part(&all[1], place)).collect();
        states.divide(all[1].id, &parts);
        let smaller: Vec<_> = (0..2).map(|place| part(&parts[1], place)).collect();
        states.divide(parts[1].id, &smaller);
        states.set(parts[0].id, ChunkState::Completed);
        states.set(smaller[1].id, ChunkState::Failed);
        states.set(smaller[1].id, ChunkState::Started);
        let shown: Vec<_> = states
            .in_order()
            .into_iter()
            .map(|(chunk, state)| format!("{chunk} {state:?}"))
            .collect();
        assert_eq!(
            shown,
            [
                "1 LeftOut",
                "2.1 Completed",
                "2.2.1 Pending",
                "2.2.2 Failed",
                "2.3 Pending",
                "3 Pending"
            ]
        );
    }

    #[test]
    fn parts_of_an_earlier_run_stand_in_the_place_of_their_chunk() {
        let (states, all) = (ChunkStates::default(), [chunk(0), chunk(1)]);
        states.plan(&all, [part(&all[0], 1)].iter());
        let shown: Vec<_> = states.in_order().iter().map(|(chunk, _)| chunk.to_string()).collect();
        assert_eq!(shown, ["1.2", "2"]);
    }
}
