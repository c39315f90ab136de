//! Enriching: looking up each row's key and appending the attributes it finds, or the bytes of a miss.

use std::sync::Arc;

use super::attempt::{Matched, Tally};
use super::batch::BatchBuilder;
use super::error::ReadError;
use super::gauge::MapMemory;
use super::sampler::Sampler;
use crate::lookup::{Found, FrozenLookupMap};
use crate::rowbinary::{ROWS_PER_GROUP, Row, RowGroup};

/// Everything that enriching needs; shared by all readers of a wave.
pub(super) struct Enricher {
    lookup: Option<Side>,
    sampler: Option<Arc<Sampler>>,
}

struct Side {
    map: Arc<FrozenLookupMap>,
    /// Shown for as long as the map lives.
    _memory: MapMemory,
    /// The lookup columns of a row that finds nothing, in RowBinary.
    miss: Vec<u8>,
    /// Positions of key columns that can be NULL.
    nullable_keys: Vec<usize>,
}

impl Enricher {
    /// Without a lookup, rows pass as they are.
    pub fn without_lookup(sampler: Option<Arc<Sampler>>) -> Self {
        Self { lookup: None, sampler }
    }

    /// `miss` are the attributes of a row that finds nothing; `nullable_keys` the positions of key columns that can be NULL.
    pub fn new(
        map: Arc<FrozenLookupMap>,
        memory: MapMemory,
        miss: Vec<u8>,
        nullable_keys: Vec<usize>,
        sampler: Option<Arc<Sampler>>,
    ) -> Self {
        Self { lookup: Some(Side { map, _memory: memory, miss, nullable_keys }), sampler }
    }

    /// Appends the enriched rows of a group to the batch. `attributes` is room for one row's attributes.
    ///
    /// # Errors
    /// [`ReadError::Row`] where a row does not fit the schema, and [`ReadError::Lookup`] where the map does not know its own answer,
    /// which is a defect.
    pub fn enrich(&self, group: RowGroup<'_>, attributes: &mut Vec<u8>, batch: &mut BatchBuilder) -> Result<Tally, ReadError> {
        let mut tally = Tally { rows: group.len() as u64, bytes: group.bytes().len() as u64, matched: Matched::default() };
        let Some(side) = &self.lookup else {
            tally.matched.not = tally.rows;
            for row in group {
                self.append(columns(&row), &[], batch)?;
            }
            return Ok(tally);
        };
        let mut keys: [&[u8]; ROWS_PER_GROUP] = [&[]; ROWS_PER_GROUP];
        for (key, row) in keys.iter_mut().zip(group) {
            *key = row.marked_columns();
        }
        let mut found: [Option<Found>; ROWS_PER_GROUP] = [None; ROWS_PER_GROUP];
        let rows = group.len().min(ROWS_PER_GROUP);
        side.map.find_group(keys.get(..rows).unwrap_or_default(), &mut found);
        side.map.prefetch_attributes(&found);
        for (row, found) in group.into_iter().zip(found) {
            let found = found.filter(|_| !side.has_null_key(&row));
            *if found.is_some() { &mut tally.matched.in_window } else { &mut tally.matched.not } += 1;
            let lookup = match found {
                Some(found) => {
                    attributes.clear();
                    side.map.append_to(found, attributes)?;
                    attributes.as_slice()
                }
                None => side.miss.as_slice(),
            };
            self.append(columns(&row), lookup, batch)?;
        }
        Ok(tally)
    }

    fn append(&self, source: &[u8], lookup: &[u8], batch: &mut BatchBuilder) -> Result<(), ReadError> {
        batch.push(source, lookup)?;
        if let Some(sampler) = &self.sampler
            && sampler.is_wanted()
        {
            sampler.offer([source, lookup]);
        }
        Ok(())
    }
}

/// The columns that expressions read: what follows the key, without the byte that ends the row.
fn columns<'a>(row: &Row<'a>) -> &'a [u8] {
    row.payload().split_last().map_or(&[], |(_, columns)| columns)
}

impl Side {
    /// In SQL a NULL equals nothing. In RowBinary a NULL is the byte 1 in front of no value.
    fn has_null_key(&self, row: &Row<'_>) -> bool {
        self.nullable_keys.iter().any(|&position| row.marked_column(position).first() == Some(&1))
    }
}
