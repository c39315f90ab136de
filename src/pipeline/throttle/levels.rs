//! How much may be done at once at all.

use super::MOST_INSERTERS;
use crate::pipeline::Concurrency;

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

/// What a run was made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    readers: usize,
    inserters: usize,
}

impl Levels {
    pub fn new(readers: Concurrency, inserters: Concurrency) -> Self {
        Self { readers: readers.most(), inserters: inserters.most() }
    }

    /// Each reader fills batches, for which the memory was divided.
    pub fn readers_most(self) -> usize {
        self.readers
    }

    /// Batches hold permits of the queue until they are acknowledged, so more inserters take no more memory.
    pub fn inserters_most(self) -> usize {
        self.inserters.max(MOST_INSERTERS)
    }

    pub fn check(name: &'static str, asked: usize, most: usize) -> Result<(), LevelOutOfRange> {
        if (1..=most).contains(&asked) { Ok(()) } else { Err(LevelOutOfRange { name, asked, most }) }
    }
}
