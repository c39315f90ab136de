//! Batches: rows of one chunk that are sent as one insert, and the queue in which they wait.
//!
//! A batch is whole in memory until the server has acknowledged it. It holds permits for its bytes
//! from the moment it is queued until it is acknowledged or dropped, so the permits limit what
//! waits and what is in flight together.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use twox_hash::XxHash3_128;

use super::batch_size::BatchSize;
use super::counters::Counters;
use super::error::ReadError;
use super::report::ChunkAttempt;
use crate::formats::native::{BlockBuilder, MalformedRow, NativeLayout};

/// The format of inserts.
#[derive(Clone, Debug)]
pub(crate) enum RowFormat {
    /// Blocks of columns, which the server parses in half the time.
    Native(Arc<NativeLayout>),
    /// Rows, for types that blocks do not support.
    RowBinary,
}

/// Rows of one chunk for one insert.
#[derive(Debug)]
pub(super) struct Batch {
    /// The attempt that read them.
    pub attempt: Arc<ChunkAttempt>,
    pub body: BatchBody,
    pub rows: u64,
    pub bytes: u64,
    /// The memory that it takes: its bytes, and what came along with its columns.
    held_bytes: u64,
    /// Whether a limit ended it, and not the end of its chunk.
    pub is_full: bool,
    /// The digest of its rows in their order, for the deduplication token.
    pub digest: u128,
    /// The sum of its rows' hashes.
    pub hash: u128,
    /// Returned with the batch, where it ends with a large row.
    _large: Option<LargeRowPermit>,
}

/// The permit for the one large row that is in memory: see [`BatchBuilder::needs_permit`].
pub(super) type LargeRowPermit = OwnedSemaphorePermit;

/// A row of at least this many bytes may be large.
pub(super) const LARGE_ROW_BYTES: u64 = 4 << 20;
/// The bytes of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchBody {
    pub pieces: Vec<Bytes>,
    /// The number of pieces before the end of each part. A part is whole blocks or rows, and can be
    /// inserted alone.
    ends: Vec<usize>,
}

impl BatchBody {
    /// The number of parts.
    pub(super) fn parts(&self) -> usize {
        self.ends.len()
    }

    /// The pieces of these parts.
    pub(super) fn of_parts(&self, parts: Range<usize>) -> &[Bytes] {
        let end = |parts: usize| match parts.checked_sub(1) {
            Some(last) => self.ends.get(last).copied().unwrap_or(self.pieces.len()),
            None => 0,
        };
        self.pieces.get(end(parts.start)..end(parts.end)).unwrap_or_default()
    }

    fn push_part(&mut self, pieces: impl IntoIterator<Item = Bytes>) {
        let before = self.pieces.len();
        self.pieces.extend(pieces);
        if self.pieces.len() > before {
            self.ends.push(self.pieces.len());
        }
    }
}

/// When a batch is full.
#[derive(Clone, Debug)]
pub(super) struct BatchLimits {
    pub rows: Arc<BatchSize>,
    /// In RowBinary. In the format that is sent, a batch may be somewhat larger or smaller.
    pub bytes: u64,
}

/// Fills batches row by row.
pub(super) struct BatchBuilder {
    attempt: Arc<ChunkAttempt>,
    limits: BatchLimits,
    building: BatchRows,
    hashes: BatchHashes,
    rows: u64,
    bytes: u64,
    /// Memory that is held in addition to the bytes that are sent.
    held_beside: u64,
    full: Vec<Batch>,
    permit: Option<LargeRowPermit>,
}

impl BatchBuilder {
    pub(super) fn new(attempt: Arc<ChunkAttempt>, limits: BatchLimits, format: &RowFormat) -> Self {
        Self {
            attempt,
            limits,
            building: BatchRows::new(format),
            hashes: BatchHashes::new(),
            rows: 0,
            bytes: 0,
            held_beside: 0,
            full: Vec::new(),
            permit: None,
        }
    }

    /// Whether a row of this size needs a permit that the builder does not hold.
    ///
    /// The division of the memory knows batches, and rows that are much smaller. A row that is a
    /// batch by itself would be in memory many times: received by each reader, in its batch, and
    /// in the queue. So all readers share one permit for such a row, which goes along with its batch
    /// until that is acknowledged.
    pub(super) fn needs_permit(&self, row_bytes: u64) -> bool {
        self.permit.is_none() && self.is_large(row_bytes)
    }

    /// Whether a row of this size is large.
    pub(super) fn is_large(&self, row_bytes: u64) -> bool {
        row_bytes >= self.limits.bytes.max(LARGE_ROW_BYTES)
    }

    /// The permit for the next large row; `None` returns it.
    pub(super) fn set_permit(&mut self, permit: Option<LargeRowPermit>) {
        self.permit = permit;
    }

    /// Appends a row: the source's columns, then the lookup's, both in RowBinary.
    ///
    /// # Errors
    /// [`MalformedRow`] where the bytes are not exactly one row.
    pub(super) fn push(&mut self, source: &[u8], lookup: &[u8]) -> Result<(), MalformedRow> {
        self.building.append(source, lookup)?;
        self.hashes.push(row_hash(source, lookup));
        self.rows += 1;
        let row_bytes = (source.len() + lookup.len()) as u64;
        self.bytes += row_bytes;
        if self.rows >= self.limits.rows.rows() || self.bytes >= self.limits.bytes {
            let permit = if self.is_large(row_bytes) { self.permit.take() } else { None };
            self.seal(true, permit)?;
        }
        Ok(())
    }

    /// Appends a block of rows, which takes this much memory.
    ///
    /// # Errors
    /// [`ReadError::Row`] where a row was refused before.
    pub(super) fn push_block(
        &mut self,
        pieces: Vec<Bytes>,
        rows: u64,
        held_bytes: u64,
    ) -> Result<(), ReadError> {
        let most_rows = self.limits.rows.rows();
        if self.rows + rows > most_rows || self.bytes + held_bytes > self.limits.bytes {
            self.seal(true, None)?;
        }
        let sent = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.hashes.push(block_hash(&pieces));
        self.building.append_block(pieces)?;
        self.rows += rows;
        self.bytes += held_bytes;
        self.held_beside += held_bytes.saturating_sub(sent);
        // The block that comes next lies beside the batch, and is about as large.
        if self.rows >= most_rows || self.bytes + held_bytes > self.limits.bytes {
            self.seal(true, None)?;
        }
        Ok(())
    }

    /// Whether a batch is full.
    pub(super) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Takes the full batches.
    pub(super) fn take_full(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.full)
    }

    /// Takes all batches, the last one among them.
    ///
    /// # Errors
    /// [`MalformedRow`] where a row was refused before.
    pub(super) fn take_all(&mut self) -> Result<Vec<Batch>, MalformedRow> {
        self.seal(false, None)?;
        Ok(self.take_full())
    }

    fn seal(&mut self, is_full: bool, permit: Option<LargeRowPermit>) -> Result<(), MalformedRow> {
        if self.rows > 0 {
            let body = self.building.take()?;
            let bytes = body.pieces.iter().map(|piece| piece.len() as u64).sum();
            let hashes = std::mem::replace(&mut self.hashes, BatchHashes::new());
            let (digest, hash) = (hashes.digest(), hashes.sum());
            self.full.push(Batch {
                attempt: self.attempt.clone(),
                body,
                rows: self.rows,
                bytes,
                held_bytes: bytes + self.held_beside,
                is_full,
                digest,
                hash,
                _large: permit,
            });
        }
        (self.rows, self.bytes, self.held_beside) = (0, 0, 0);
        Ok(())
    }
}

/// The size of the pieces of a RowBinary batch: no piece is copied to grow, and the HTTP client sends
/// piece by piece.
const PIECE_BYTES: usize = 1024 * 1024;

/// The most rows of a block. A batch is sent as several blocks. The server parses and evaluates them
/// one by one, in memory that it just used for the one before, and joins them before it writes them
/// (`min_insert_block_size_rows`). With one block per batch, an insert cost 6 % more processor time
/// and read 20 % more pages of fresh memory.
const BLOCK_ROWS: u64 = 8192;
/// A block of this size gets no further row: inserted alone where the server is short of memory, it
/// makes a compact part, which needs far less memory than a wide one (10 MiB and more).
const BLOCK_BYTES: u64 = 8 << 20;

/// The rows of one batch in the format that is sent.
#[derive(Debug)]
pub(super) enum BatchRows {
    Native(RowBlocks),
    RowBinary(RowPieces),
}

impl BatchRows {
    pub(super) fn new(format: &RowFormat) -> Self {
        match format {
            RowFormat::Native(layout) => Self::Native(RowBlocks {
                building: BlockBuilder::new(layout.clone()),
                full: BatchBody::default(),
            }),
            RowFormat::RowBinary => Self::RowBinary(RowPieces::default()),
        }
    }

    /// Appends a row: the source's columns, then the lookup's, both in RowBinary.
    ///
    /// # Errors
    /// [`MalformedRow`] where the bytes are not exactly one row.
    pub(super) fn append(&mut self, source: &[u8], lookup: &[u8]) -> Result<(), MalformedRow> {
        match self {
            Self::Native(blocks) => blocks.append(source, lookup),
            Self::RowBinary(pieces) => {
                pieces.append(source, lookup);
                Ok(())
            }
        }
    }

    /// Appends a block of rows.
    ///
    /// # Errors
    /// [`ReadError::Row`] where a row before it was refused, and [`ReadError::Task`] where blocks are
    /// not what is sent.
    fn append_block(&mut self, pieces: Vec<Bytes>) -> Result<(), ReadError> {
        match self {
            Self::Native(blocks) => Ok(blocks.append_block(pieces)?),
            Self::RowBinary(_) => Err(ReadError::Task("a block among rows".to_owned())),
        }
    }

    /// Takes all rows.
    ///
    /// # Errors
    /// [`MalformedRow`] where one of them was refused before.
    pub(super) fn take(&mut self) -> Result<BatchBody, MalformedRow> {
        match self {
            Self::Native(blocks) => blocks.take(),
            Self::RowBinary(pieces) => Ok(pieces.take()),
        }
    }
}

/// Rows as blocks of columns.
#[derive(Debug)]
pub(super) struct RowBlocks {
    building: BlockBuilder,
    full: BatchBody,
}

impl RowBlocks {
    fn append(&mut self, source: &[u8], lookup: &[u8]) -> Result<(), MalformedRow> {
        self.building.append([source, lookup])?;
        if self.building.rows() >= BLOCK_ROWS || self.building.bytes() >= BLOCK_BYTES {
            self.full.push_part(self.building.finish()?);
        }
        Ok(())
    }

    fn append_block(&mut self, pieces: Vec<Bytes>) -> Result<(), MalformedRow> {
        self.full.push_part(self.building.finish()?);
        self.full.push_part(pieces);
        Ok(())
    }

    fn take(&mut self) -> Result<BatchBody, MalformedRow> {
        self.full.push_part(self.building.finish()?);
        Ok(std::mem::take(&mut self.full))
    }
}

/// Rows in RowBinary, in pieces that are never copied.
#[derive(Debug, Default)]
pub(super) struct RowPieces {
    full: BatchBody,
    last: Vec<u8>,
}

impl RowPieces {
    fn append(&mut self, source: &[u8], lookup: &[u8]) {
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE_BYTES);
        }
        self.last.extend_from_slice(source);
        self.last.extend_from_slice(lookup);
        // Some room stays unused, so that an ordinary row does not make the buffer grow.
        if self.last.len() >= PIECE_BYTES - PIECE_BYTES / 16 {
            self.full.push_part([Bytes::from(std::mem::take(&mut self.last))]);
        }
    }

    fn take(&mut self) -> BatchBody {
        if !self.last.is_empty() {
            self.full.push_part([Bytes::from(std::mem::take(&mut self.last))]);
        }
        std::mem::take(&mut self.full)
    }
}

/// The hash of a row, from its source columns and its lookup columns in RowBinary. It does not
/// depend on the format that is sent, and is no defence against forgery.
///
/// Both sides are hashed where they lie. The number of columns of each side is the same for all
/// rows, so the boundary between them is part of the hash.
#[inline]
pub(super) fn row_hash(source: &[u8], lookup: &[u8]) -> u128 {
    let sides =
        [XxHash3_128::oneshot(source).to_le_bytes(), XxHash3_128::oneshot(lookup).to_le_bytes()];
    XxHash3_128::oneshot(sides.as_flattened())
}

/// The hash of the rows of a block. Other blocks of the same rows have another one.
fn block_hash(pieces: &[Bytes]) -> u128 {
    let mut hash = XxHash3_128::new();
    for piece in pieces {
        hash.write(piece);
    }
    hash.finish_128()
}

/// The hashes of the rows of one batch.
pub(super) struct BatchHashes {
    sequence: XxHash3_128,
    sum: u128,
}

impl BatchHashes {
    pub(super) fn new() -> Self {
        Self { sequence: XxHash3_128::new(), sum: 0 }
    }

    /// Adds a row's hash.
    #[inline]
    pub(super) fn push(&mut self, row: u128) {
        self.sequence.write(&row.to_le_bytes());
        self.sum = self.sum.wrapping_add(row);
    }

    /// The digest of the rows in their order. In the deduplication token, it identifies a repeated
    /// batch and distinguishes all others.
    pub(super) fn digest(&self) -> u128 {
        self.sequence.finish_128()
    }

    /// The wrapping sum, which does not depend on the order. The sums of batches add up to that of
    /// their chunk.
    pub(super) fn sum(&self) -> u128 {
        self.sum
    }
}

/// Bytes per permit, since a semaphore counts at most 2^29 on 32-bit machines.
const PERMIT_BYTES: u64 = 1024;

/// A batch with the permits for its bytes.
#[derive(Debug)]
pub(super) struct Queued {
    pub batch: Batch,
    /// Both are returned when the batch is dropped.
    _held: (OwnedSemaphorePermit, QueuedBytes),
}

#[derive(Debug)]
struct QueuedBytes {
    counters: Arc<Counters>,
    bytes: u64,
}

impl Drop for QueuedBytes {
    fn drop(&mut self) {
        self.counters.queued_bytes.take(self.bytes);
    }
}

/// The end for readers.
#[derive(Clone)]
pub(super) struct QueueSender {
    permits: Arc<Semaphore>,
    capacity: u32,
    sender: mpsc::UnboundedSender<Queued>,
    counters: Arc<Counters>,
}

/// The end for inserters.
#[derive(Clone)]
pub(super) struct QueueReceiver {
    receiver: Arc<Mutex<mpsc::UnboundedReceiver<Queued>>>,
}

/// A queue for about this many bytes. A single batch that is larger passes alone.
pub(super) fn queue(bytes: u64, counters: Arc<Counters>) -> (QueueSender, QueueReceiver) {
    let capacity = u32::try_from((bytes / PERMIT_BYTES).max(1))
        .unwrap_or(u32::MAX)
        .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
    // The semaphore limits the queue, so the channel need not.
    let (sender, receiver) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(capacity as usize));
    (
        QueueSender { permits, capacity, sender, counters },
        QueueReceiver { receiver: Arc::new(Mutex::new(receiver)) },
    )
}

impl QueueSender {
    /// Queues a batch, and waits until there is room for it. Returns whether to go on.
    pub(super) async fn send(&self, batch: Batch) -> bool {
        if !batch.attempt.may_send().await {
            return false;
        }
        let held = batch.held_bytes;
        let wanted =
            u32::try_from(held.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.capacity);
        let Ok(permit) = self.permits.clone().acquire_many_owned(wanted).await else {
            return false;
        };
        let counted = QueuedBytes { counters: self.counters.clone(), bytes: held };
        self.counters.queued_bytes.add(held);
        batch.attempt.batch_queued();
        self.sender.send(Queued { batch, _held: (permit, counted) }).is_ok()
    }
}

impl QueueReceiver {
    /// Whether a batch waits. While another inserter waits for one, none does.
    pub(super) fn has_more(&self) -> bool {
        match self.receiver.try_lock() {
            Ok(receiver) => !receiver.is_empty(),
            Err(_) => false,
        }
    }

    /// Takes the next batch; `None` once the queue is empty and all readers are gone.
    pub(super) async fn receive(&self) -> Option<Queued> {
        self.receiver.lock().await.recv().await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::stream::report::{ChunkBook, KeyShare};
    use crate::plan::ChunkId;

    type Row<'a> = (&'a [u8], &'a [u8]);

    fn hashes(rows: &[Row<'_>]) -> (u128, u128) {
        let mut hashes = BatchHashes::new();
        for (source, lookup) in rows {
            hashes.push(row_hash(source, lookup));
        }
        (hashes.digest(), hashes.sum())
    }

    #[test]
    fn digests_depend_on_the_order_and_sums_do_not() {
        let (one, two): (Row<'_>, Row<'_>) = ((b"ab", b"c"), (b"x", b""));
        assert_eq!(hashes(&[one, two]), hashes(&[one, two]));
        let (there, back) = (hashes(&[one, two]), hashes(&[two, one]));
        assert_ne!(there.0, back.0);
        assert_eq!(there.1, back.1);
    }

    #[test]
    fn every_byte_and_every_row_counts() {
        let row: Row<'_> = (b"ab", b"c");
        let others: [&[Row<'_>]; 5] =
            [&[(b"ab", b"d")], &[(b"ac", b"c")], &[(b"a", b"bc")], &[row, row], &[]];
        for other in others {
            assert_ne!(hashes(&[row]).0, hashes(other).0, "{other:?}");
            assert_ne!(hashes(&[row]).1, hashes(other).1, "{other:?}");
        }
    }

    fn limits(rows: u64, bytes: u64) -> BatchLimits {
        BatchLimits { rows: Arc::new(BatchSize::fixed(rows)), bytes }
    }

    fn attempt() -> Arc<ChunkAttempt> {
        ChunkAttempt::begin(
            ChunkId::planned(0),
            KeyShare::of(None),
            Arc::new(ChunkBook::new(None, BTreeMap::new(), Arc::default())),
            Arc::new(Counters::default()),
        )
    }

    fn fill(limits: BatchLimits, rows: &[usize]) -> Vec<(u64, u64)> {
        let mut builder = BatchBuilder::new(attempt(), limits, &RowFormat::RowBinary);
        let mut expected = Vec::new();
        for (index, &length) in rows.iter().enumerate() {
            let row = vec![u8::try_from(index % 251).unwrap(); length];
            let (source, lookup) = row.split_at(length / 3);
            builder.push(source, lookup).unwrap();
            expected.extend(row);
        }
        let batches = builder.take_all().unwrap();
        let bytes: Vec<u8> =
            batches.iter().flat_map(|batch| batch.body.pieces.iter().flatten().copied()).collect();
        assert!(bytes == expected, "bytes are kept in order");
        batches.iter().map(|batch| (batch.rows, batch.bytes)).collect()
    }

    #[test]
    fn batches_are_full_by_rows_or_by_bytes() {
        assert_eq!(fill(limits(2, 1000), &[1, 1, 1, 1, 1]), [(2, 2), (2, 2), (1, 1)]);
        assert_eq!(fill(limits(100, 10), &[6, 6, 6]), [(2, 12), (1, 6)]);
        assert_eq!(fill(limits(1, 1), &[0, 0]), [(1, 0), (1, 0)]);
        assert_eq!(fill(limits(9, 1 << 40), &[3_000_000, 5, 1_048_576, 0, 7]), [(5, 4_048_588)]);
        assert_eq!(fill(limits(9, 9), &[]), []);
    }

    #[test]
    fn the_hash_of_rows_does_not_depend_on_batches_and_the_digest_on_nothing_but_rows() {
        let batches = |rows_a_batch: u64| {
            let mut builder =
                BatchBuilder::new(attempt(), limits(rows_a_batch, 1 << 30), &RowFormat::RowBinary);
            for row in [b"ab", b"cd", b"ef"] {
                builder.push(row, b"lookup").unwrap();
            }
            builder.take_all().unwrap()
        };
        let (whole, parts) = (batches(3), batches(2));
        assert_eq!((whole.len(), parts.len()), (1, 2));
        assert_eq!(whole[0].hash, parts[0].hash.wrapping_add(parts[1].hash));
        assert_eq!(whole[0].digest, batches(3)[0].digest);
        assert_ne!(whole[0].digest, parts[0].digest);
    }
}
