//! How much may be done at once at all.

use super::MOST_INSERTERS;
use crate::engine::stream::Concurrency;

/// A number that a run cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be 1 to {most}, and {asked} was asked for")]
pub struct LevelOutOfRange {
    /// Of what.
    pub name: &'static str,
    /// What was asked for.
    pub asked: usize,
    /// What can be done.
    pub most: usize,
}

/// What a run may come to: by what it is told, and by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The most readers. Each fills batches, for which the memory was divided.
    pub readers_most: usize,
    /// The most inserters. Batches hold permits of the queue until they are acknowledged, so more
    /// of them take no more memory.
    pub inserters_most: usize,
    /// The most readers that are found without being told.
    pub readers_found: usize,
    /// The most inserters that are found without being told.
    pub inserters_found: usize,
}

impl Levels {
    /// Those of a run that begins with these, and finds no more by itself.
    pub fn of(readers: Concurrency, inserters: Concurrency) -> Self {
        let (readers, inserters) = (readers.most(), inserters.most());
        Self {
            readers_most: readers,
            inserters_most: inserters.max(MOST_INSERTERS),
            readers_found: readers,
            inserters_found: inserters,
        }
    }

    pub(super) fn check(
        name: &'static str,
        asked: usize,
        most: usize,
    ) -> Result<(), LevelOutOfRange> {
        if (1..=most).contains(&asked) {
            Ok(())
        } else {
            Err(LevelOutOfRange { name, asked, most })
        }
    }
}
