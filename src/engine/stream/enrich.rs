//! Enriching: each row gets the attributes of its key, or those of a miss, and goes into a batch. A
//! sampler keeps the first rows as they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::batch::BatchBuilder;
use super::counters::MapMemory;
use super::deferred_rows::DeferredRows;
use super::error::ReadError;
use super::report::{Matched, ReadTally};
use crate::formats::rowbinary::{ROWS_PER_GROUP, Row, RowGroup};
use crate::lookup::{FrozenLookupMap, LookupHit};
use crate::sync::{Mutex, MutexGuard};

/// Enriches rows. Shared by all readers of a wave.
pub(super) struct Enricher {
    lookup: Option<LookupSide>,
    sampler: Option<Arc<RowSampler>>,
}

struct LookupSide {
    map: Arc<FrozenLookupMap>,
    /// Counted until the map is dropped.
    _memory: MapMemory,
    /// The attributes of a miss, in RowBinary.
    miss: Vec<u8>,
    /// Positions of key columns that can be NULL.
    nullable_keys: Vec<usize>,
}

impl Enricher {
    /// Without a lookup, rows stay as they are.
    pub(super) fn without_lookup(sampler: Option<Arc<RowSampler>>) -> Self {
        Self { lookup: None, sampler }
    }

    /// `miss` are the attributes of a miss; `nullable_keys` the positions of key columns that can be
    /// NULL.
    pub(super) fn new(
        map: Arc<FrozenLookupMap>,
        memory: MapMemory,
        miss: Vec<u8>,
        nullable_keys: Vec<usize>,
        sampler: Option<Arc<RowSampler>>,
    ) -> Self {
        Self { lookup: Some(LookupSide { map, _memory: memory, miss, nullable_keys }), sampler }
    }

    /// Appends a deferred row with what its key found.
    ///
    /// # Errors
    /// [`ReadError::Row`] where the row does not fit the schema.
    pub(super) fn append_deferred(
        &self,
        columns: &[u8],
        found: Option<&[u8]>,
        batch: &mut BatchBuilder,
    ) -> Result<(), ReadError> {
        let miss = || self.lookup.as_ref().map_or(&[][..], |side| &side.miss);
        self.append(columns, found.unwrap_or_else(miss), batch)
    }

    /// Appends the enriched rows of a group to the batch. Misses are deferred where `deferred` is
    /// given. `attributes` is a buffer for the attributes of one row.
    ///
    /// # Errors
    /// [`ReadError::Row`] where a row does not fit the schema, and [`ReadError::Lookup`] where the
    /// map contradicts itself, which is a defect.
    pub(super) fn enrich(
        &self,
        group: RowGroup<'_>,
        attributes: &mut Vec<u8>,
        batch: &mut BatchBuilder,
        mut deferred: Option<&mut DeferredRows>,
    ) -> Result<ReadTally, ReadError> {
        let mut tally = ReadTally {
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
            match (found, &mut deferred) {
                (Some(found), _) if !null_key => {
                    tally.matched.in_window += 1;
                    attributes.clear();
                    side.map.append_to(found, attributes)?;
                    self.append(columns(&row), attributes, batch)?;
                }
                (None, Some(deferred)) if !null_key => deferred.push(&row, columns(&row)),
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

/// The columns that expressions read: what follows the key, without the last byte of the row.
pub(super) fn columns<'a>(row: &Row<'a>) -> &'a [u8] {
    row.payload().split_last().map_or(&[], |(_, columns)| columns)
}

impl LookupSide {
    /// In SQL, NULL equals nothing. In RowBinary, NULL is the byte 1 without a value.
    fn has_null_key(&self, row: &Row<'_>) -> bool {
        self.nullable_keys.iter().any(|&position| row.marked_column(position).first() == Some(&1))
    }
}

/// The most bytes that are kept: they become part of a statement.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Keeps the first rows as they are sent to the server, for a person to look at.
#[derive(Debug)]
pub(crate) struct RowSampler {
    wanted: AtomicBool,
    kept: Mutex<KeptRows>,
}

#[derive(Debug)]
struct KeptRows {
    rows_left: usize,
    rows: Vec<u8>,
    full: Option<oneshot::Sender<Vec<u8>>>,
}

impl RowSampler {
    /// Keeps this many rows. The receiver gets them in RowBinary as soon as they are complete, or
    /// fewer when [`Self::close`] is called before.
    pub(crate) fn new(rows: usize) -> (Self, oneshot::Receiver<Vec<u8>>) {
        let (sender, receiver) = oneshot::channel();
        let kept = KeptRows { rows_left: rows, rows: Vec::new(), full: Some(sender) };
        (Self { wanted: AtomicBool::new(rows > 0), kept: Mutex::new(kept) }, receiver)
    }

    /// Whether more rows are wanted.
    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Offers a row in two parts.
    fn offer(&self, parts: [&[u8]; 2]) {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut kept = self.kept();
        if kept.rows_left == 0 || kept.rows.len().saturating_add(length) > MAX_BYTES {
            return;
        }
        for part in parts {
            kept.rows.extend_from_slice(part);
        }
        kept.rows_left -= 1;
        if kept.rows_left == 0 {
            self.finish(&mut kept);
        }
    }

    /// Sends the rows that are there. No further ones are kept.
    pub(crate) fn close(&self) {
        self.finish(&mut self.kept());
    }

    fn kept(&self) -> MutexGuard<'_, KeptRows> {
        self.kept.lock()
    }

    fn finish(&self, kept: &mut KeptRows) {
        self.wanted.store(false, Ordering::Relaxed);
        if let Some(sender) = kept.full.take() {
            // The receiver may be gone.
            let _ = sender.send(std::mem::take(&mut kept.rows));
        }
    }
}
