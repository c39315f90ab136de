//! Enriching: looking up each row's key and appending the attributes it finds, or the bytes of a
//! miss.

use std::sync::Arc;

use super::attempt::{Matched, Tally};
use super::batch::BatchBuilder;
use super::error::ReadError;
use super::gauge::MapMemory;
use super::late::{LateLookup, LateRows};
use super::sampler::Sampler;
use crate::formats::rowbinary::{ROWS_PER_GROUP, Row, RowGroup};
use crate::lookup::{FrozenLookupMap, LookupHit};

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
    /// Where keys that miss are looked up once more.
    late: Option<LateLookup>,
}

impl Enricher {
    /// Without a lookup, rows pass as they are.
    pub fn without_lookup(sampler: Option<Arc<Sampler>>) -> Self {
        Self { lookup: None, sampler }
    }

    /// `miss` are the attributes of a row that finds nothing; `nullable_keys` the positions of key
    /// columns that can be NULL; `late` is where rows that find nothing are looked up once more.
    pub fn new(
        map: Arc<FrozenLookupMap>,
        memory: MapMemory,
        miss: Vec<u8>,
        nullable_keys: Vec<usize>,
        late: Option<LateLookup>,
        sampler: Option<Arc<Sampler>>,
    ) -> Self {
        Self { lookup: Some(Side { map, _memory: memory, miss, nullable_keys, late }), sampler }
    }

    /// Where keys that miss are looked up once more; `None` where they are not.
    pub fn late(&self) -> Option<&LateLookup> {
        self.lookup.as_ref()?.late.as_ref()
    }

    /// Appends a row that was looked up once more, with what it found.
    ///
    /// # Errors
    /// [`ReadError::Row`] where the row does not fit the schema.
    pub fn append_late(
        &self,
        columns: &[u8],
        found: Option<&[u8]>,
        batch: &mut BatchBuilder,
    ) -> Result<(), ReadError> {
        let miss = || self.lookup.as_ref().map_or(&[][..], |side| &side.miss);
        self.append(columns, found.unwrap_or_else(miss), batch)
    }

    /// Appends the enriched rows of a group to the batch, or puts them aside. `attributes` is room
    /// for one row's attributes.
    ///
    /// # Errors
    /// [`ReadError::Row`] where a row does not fit the schema, and [`ReadError::Lookup`] where the
    /// map does not know its own answer, which is a defect.
    pub fn enrich(
        &self,
        group: RowGroup<'_>,
        attributes: &mut Vec<u8>,
        batch: &mut BatchBuilder,
        late: &mut Option<LateRows>,
    ) -> Result<Tally, ReadError> {
        let mut tally = Tally {
            rows: group.len() as u64,
            bytes: group.bytes().len() as u64,
            matched: Matched::default(),
        };
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
        let mut found: [Option<LookupHit>; ROWS_PER_GROUP] = [None; ROWS_PER_GROUP];
        let rows = group.len().min(ROWS_PER_GROUP);
        side.map.find_group(keys.get(..rows).unwrap_or_default(), &mut found);
        side.map.prefetch_attributes(&found);
        for (row, found) in group.into_iter().zip(found) {
            let null_key = side.has_null_key(&row);
            match (found, &mut *late) {
                (Some(found), _) if !null_key => {
                    tally.matched.in_window += 1;
                    attributes.clear();
                    side.map.append_to(found, attributes)?;
                    self.append(columns(&row), attributes, batch)?;
                }
                (None, Some(late)) if !null_key => late.push(&row, columns(&row)),
                _ => {
                    tally.matched.not += 1;
                    self.append(columns(&row), &side.miss, batch)?;
                }
            }
        }
        Ok(tally)
    }

    fn append(
        &self,
        source: &[u8],
        lookup: &[u8],
        batch: &mut BatchBuilder,
    ) -> Result<(), ReadError> {
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
pub(super) fn columns<'a>(row: &Row<'a>) -> &'a [u8] {
    row.payload().split_last().map_or(&[], |(_, columns)| columns)
}

impl Side {
    /// In SQL a NULL equals nothing. In RowBinary a NULL is the byte 1 in front of no value.
    fn has_null_key(&self, row: &Row<'_>) -> bool {
        self.nullable_keys.iter().any(|&position| row.marked_column(position).first() == Some(&1))
    }
}
