//! Enriching: each row gets the attributes of its key, or those of a miss, and goes into a batch. A
//! sampler keeps the first rows as they are sent.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::batch::{BatchBuilder, LARGE_ROW_BYTES};
use super::counters::MapMemory;
use super::deferred_rows::DeferredRows;
use super::error::ReadError;
use super::report::{Matched, ReadTally};
use crate::formats::native::{BlockExtender, SourceBlock, SourceRows};
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
    /// Whether attributes may be so long that they are counted before they are copied.
    counts_bytes: bool,
}

/// What became of a group of rows.
#[derive(Debug, Default)]
pub(super) struct Enriched {
    /// The rows that were taken.
    pub tally: ReadTally,
    /// Whether the next row needs a permit: see [`BatchBuilder::needs_permit`].
    pub needs_permit: bool,
    /// Whether a batch is full.
    has_full: bool,
}

impl Enriched {
    /// Continues if all rows of a group of this many were taken, and breaks with the number of those that were.
    pub(super) fn flow(&self, rows: usize) -> ControlFlow<usize> {
        let taken = usize::try_from(self.tally.rows).unwrap_or(usize::MAX).min(rows);
        if taken < rows || self.has_full {
            ControlFlow::Break(taken)
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What became of the rows of a block.
#[derive(Debug, Default)]
pub(super) struct EnrichedBlock {
    /// How many of the rows that were not deferred found attributes.
    pub matched: Matched,
    /// The indexes of the rows that are deferred, ascending.
    pub deferred: Vec<usize>,
}

impl EnrichedBlock {
    /// The rows that were not deferred, of a block of this many.
    pub(super) fn kept(&self, rows: usize) -> Vec<Range<usize>> {
        let begins = std::iter::once(0).chain(self.deferred.iter().map(|row| row + 1));
        let ends = self.deferred.iter().copied().chain([rows]);
        begins.zip(ends).map(|(begin, end)| begin..end).filter(|range| !range.is_empty()).collect()
    }
}

/// The keys of a group of rows, in one buffer.
#[derive(Default)]
struct KeyGroup {
    bytes: Vec<u8>,
    ends: [usize; ROWS_PER_GROUP],
    rows: usize,
}

impl KeyGroup {
    fn fill(&mut self, keys: &SourceRows<'_>, rows: Range<usize>) -> Result<(), ReadError> {
        self.bytes.clear();
        self.rows = rows.len();
        for (end, row) in self.ends.iter_mut().zip(rows) {
            keys.write_row(row, &mut self.bytes)?;
            *end = self.bytes.len();
        }
        Ok(())
    }

    fn keys(&self) -> [&[u8]; ROWS_PER_GROUP] {
        let (mut keys, mut begin) = ([&[][..]; ROWS_PER_GROUP], 0);
        for (key, &end) in keys.iter_mut().zip(&self.ends).take(self.rows) {
            *key = self.bytes.get(begin..end).unwrap_or_default();
            begin = end;
        }
        keys
    }
}

/// What a row gets.
#[derive(Clone, Copy)]
enum Attributes<'a> {
    Found(&'a LookupSide, LookupHit),
    Miss(&'a [u8]),
    Deferred,
}

impl Enricher {
    /// Without a lookup, rows stay as they are.
    pub(super) fn without_lookup(sampler: Option<Arc<RowSampler>>) -> Self {
        Self { lookup: None, sampler }
    }

    /// `miss` are the attributes of a miss; `nullable_keys` the positions of key columns that can be
    /// NULL; `longest` the bytes of the longest row of the map.
    pub(super) fn new(
        map: Arc<FrozenLookupMap>,
        memory: MapMemory,
        longest: usize,
        miss: Vec<u8>,
        nullable_keys: Vec<usize>,
        sampler: Option<Arc<RowSampler>>,
    ) -> Self {
        let counts_bytes = longest as u64 >= LARGE_ROW_BYTES / 4;
        let side = LookupSide { map, _memory: memory, miss, nullable_keys, counts_bytes };
        Self { lookup: Some(side), sampler }
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

    /// Appends the enriched rows of a group to the batch, until a batch is full or a row needs a
    /// permit. Misses are deferred where `deferred` is given. `attributes` is a buffer for the
    /// attributes of one row.
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
    ) -> Result<Enriched, ReadError> {
        let mut enriched = Enriched::default();
        let side = self.lookup.as_ref();
        let found = side.map_or([None; ROWS_PER_GROUP], |side| side.find_rows(group));
        for (row, found) in group.into_iter().zip(found) {
            let columns = columns(&row);
            let gets = side.map_or(Attributes::Miss(&[]), |side| {
                side.attributes_of(side.has_null_key(&row), found, deferred.is_some())
            });
            if batch.needs_permit((columns.len() + gets.bytes()?) as u64) {
                enriched.needs_permit = true;
                break;
            }
            let Enriched { tally, .. } = &mut enriched;
            tally.rows += 1;
            tally.bytes += row.bytes().len() as u64;
            match (gets, &mut deferred) {
                (Attributes::Found(side, found), _) => {
                    tally.matched.in_window += 1;
                    attributes.clear();
                    side.map.append_to(found, attributes)?;
                    self.append(columns, attributes, batch)?;
                    if attributes.capacity() as u64 > LARGE_ROW_BYTES {
                        *attributes = Vec::new();
                    }
                }
                (Attributes::Miss(miss), _) => {
                    tally.matched.not += 1;
                    self.append(columns, miss, batch)?;
                }
                (Attributes::Deferred, Some(deferred)) => deferred.push(&row, columns),
                (Attributes::Deferred, None) => {}
            }
            if batch.has_full() {
                enriched.has_full = true;
                break;
            }
        }
        Ok(enriched)
    }

    /// Appends the attributes of the rows of a block to the extender, except for the rows that are
    /// deferred. `None`, and nothing is appended, where the rows must be taken one by one: while
    /// samples are wanted, and where attributes of the block may take more than `most_bytes`.
    ///
    /// # Errors
    /// [`ReadError::Column`] and [`ReadError::Row`] where the block does not fit the schema, and
    /// [`ReadError::Lookup`] where the map contradicts itself, which is a defect.
    pub(super) fn enrich_block(
        &self,
        block: &SourceBlock,
        extender: &mut BlockExtender,
        attributes: &mut Vec<u8>,
        defers: bool,
        most_bytes: u64,
    ) -> Result<Option<EnrichedBlock>, ReadError> {
        let mut enriched = EnrichedBlock::default();
        if self.sampler.as_ref().is_some_and(|sampler| sampler.is_wanted()) {
            return Ok(None);
        }
        let Some(side) = &self.lookup else {
            (0..block.rows()).try_for_each(|_| extender.append(&[]))?;
            enriched.matched.not = block.rows() as u64;
            return Ok(Some(enriched));
        };
        if side.counts_bytes {
            return Ok(None);
        }
        let keys = block.keys()?;
        let mut group = KeyGroup::default();
        for begin in (0..block.rows()).step_by(ROWS_PER_GROUP) {
            let rows = begin..block.rows().min(begin + ROWS_PER_GROUP);
            group.fill(&keys, rows.clone())?;
            let found = side.find(group.keys().get(..group.rows).unwrap_or_default());
            for (row, found) in rows.zip(found) {
                let is_null =
                    side.nullable_keys.iter().any(|&position| keys.is_null(row, position));
                match side.attributes_of(is_null, found, defers) {
                    Attributes::Found(side, found) => {
                        enriched.matched.in_window += 1;
                        attributes.clear();
                        side.map.append_to(found, attributes)?;
                        extender.append(attributes)?;
                    }
                    Attributes::Deferred => enriched.deferred.push(row),
                    Attributes::Miss(miss) => {
                        enriched.matched.not += 1;
                        extender.append(miss)?;
                    }
                }
            }
            if extender.bytes() > most_bytes {
                extender.clear();
                return Ok(None);
            }
        }
        Ok(Some(enriched))
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

impl Attributes<'_> {
    /// Their bytes, as far as they may matter. Counting takes as long as copying short ones.
    fn bytes(self) -> Result<usize, ReadError> {
        Ok(match self {
            Self::Found(side, found) if side.counts_bytes => side.map.attribute_bytes_len(found)?,
            Self::Found(..) | Self::Deferred => 0,
            Self::Miss(miss) => miss.len(),
        })
    }
}

impl LookupSide {
    /// What a row gets, where its key was `found` or has a NULL.
    fn attributes_of(
        &self,
        is_null: bool,
        found: Option<LookupHit>,
        defers: bool,
    ) -> Attributes<'_> {
        match found {
            _ if is_null => Attributes::Miss(&self.miss),
            Some(found) => Attributes::Found(self, found),
            None if defers => Attributes::Deferred,
            None => Attributes::Miss(&self.miss),
        }
    }

    fn find(&self, keys: &[&[u8]]) -> [Option<LookupHit>; ROWS_PER_GROUP] {
        let mut found = [None; ROWS_PER_GROUP];
        self.map.find_group(keys, &mut found);
        self.map.prefetch_attributes(&found);
        found
    }

    fn find_rows(&self, group: RowGroup<'_>) -> [Option<LookupHit>; ROWS_PER_GROUP] {
        let mut keys: [&[u8]; ROWS_PER_GROUP] = [&[]; ROWS_PER_GROUP];
        for (key, row) in keys.iter_mut().zip(group) {
            *key = row.marked_columns();
        }
        self.find(keys.get(..group.len().min(ROWS_PER_GROUP)).unwrap_or_default())
    }

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
