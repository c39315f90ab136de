//! Cutting a stream of blocks into blocks, and a block into its columns.
//!
//! The type of a column determines what follows in it, so its end is found without decoding values:
//! fixed widths are skipped, strings walked, and the last end of arrays says how many elements
//! follow. The walk stops where bytes are missing and goes on there.

use std::sync::Arc;

use super::buffer::BlockBuffers;
use super::dictionary::index_width;
use super::shape::{Node, Shape};
use super::source::{BlockColumns, SourceBlock, SourceColumn, SourceLayout};
use super::view::keeps_ends;
use crate::formats::rowbinary::DataType;
use crate::formats::varint::{self, VarintError};

/// Cuts a stream into blocks.
///
/// The bytes of a block are gathered in one buffer, which the block takes over: its columns can be
/// passed on without another copy.
#[derive(Debug)]
pub(crate) struct BlockReader {
    layout: Arc<SourceLayout>,
    max_block_bytes: usize,
    buffers: Arc<BlockBuffers>,
    /// The bytes of the current block, and what follows it.
    buffer: Vec<u8>,
    walk: Walk,
    /// The type name that each column had in the last block.
    type_names: Vec<Vec<u8>>,
    blocks: u64,
    bytes: u64,
    failed: bool,
}

/// A walk over a block.
#[derive(Debug, Default)]
struct Walk {
    position: usize,
    /// Rows of the block, once its head was read.
    rows: Option<usize>,
    /// The columns so far.
    columns: BlockColumns,
    /// Where the current column begins, once its head was read.
    begin: Option<usize>,
    /// What is left of the current column, the next part last.
    tasks: Vec<Task>,
    /// The number of strings whose ends are kept, those of the current part among them.
    kept: usize,
}

/// A part of a column.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// This many values of a node.
    Values { node: usize, count: usize },
    /// This many bytes.
    Skip(usize),
    /// This many strings; whether their ends are kept.
    Strings { count: usize, keep: bool },
    /// The ends of this many arrays of a node.
    Ends { element: usize, count: usize },
    /// The discriminators of this many values of a `Variant`.
    Discriminators { node: usize, count: usize },
    /// The head of a dictionary with this many values.
    Dictionary { keys: usize, count: usize },
    /// The indexes of this many values, of a width in bytes.
    Indexes { width: usize, count: usize },
}

/// A stream that does not consist of blocks of the layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A block has another number of columns.
    #[error("block {block} of the stream has {found} columns instead of {expected}")]
    Columns {
        /// The index of the block.
        block: u64,
        /// The number that it has.
        found: u64,
        /// The number that was asked for.
        expected: usize,
    },
    /// A column has another type.
    #[error(
        "block {block} of the stream cannot be read: column `{column}` has the type {type_name}"
    )]
    Type {
        /// The index of the block.
        block: u64,
        /// The name of the column.
        column: String,
        /// The type that it has.
        type_name: String,
    },
    /// A column has bytes that are not values of its type.
    #[error(
        "block {block} of the stream (from byte {offset}) cannot be read: column `{column}`: {reason}"
    )]
    Malformed {
        /// The index of the block.
        block: u64,
        /// The offset of the block in the stream.
        offset: u64,
        /// The name of the column; empty for the head of the block.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A block is larger than the limit.
    #[error("block {block} of the stream is larger than the {max_block_bytes} bytes allowed")]
    TooLarge {
        /// The index of the block.
        block: u64,
        /// The limit, in bytes.
        max_block_bytes: usize,
    },
    /// The stream ends within a block.
    #[error("the stream ends within block {block}, of which {bytes} bytes have come")]
    PartialBlock {
        /// The index of the block.
        block: u64,
        /// The number of bytes of the block that have arrived.
        bytes: usize,
    },
    /// The reader was used after an error.
    #[error("the stream has failed before")]
    FailedBefore,
}

/// Why a walk stops.
enum Stop {
    /// At least this many bytes of the block are needed.
    Needs(usize),
    Malformed(&'static str),
    Error(BlockError),
}

impl From<VarintError> for Stop {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::Truncated => Self::Needs(0),
            VarintError::Overflow => Self::Malformed("a length does not fit into 64 bits"),
        }
    }
}

const TOO_LONG: Stop = Stop::Needs(usize::MAX);

impl BlockReader {
    /// A reader at the beginning of a stream. A block of more than `max_block_bytes` bytes is an
    /// error.
    #[must_use]
    pub(crate) fn new(
        layout: Arc<SourceLayout>,
        max_block_bytes: usize,
        buffers: Arc<BlockBuffers>,
    ) -> Self {
        Self {
            type_names: vec![Vec::new(); layout.columns().len()],
            layout,
            max_block_bytes,
            buffer: buffers.take(0),
            buffers,
            walk: Walk::default(),
            blocks: 0,
            bytes: 0,
            failed: false,
        }
    }

    /// Takes the next piece of the stream.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next block with rows, if all of it has come.
    ///
    /// # Errors
    /// If the stream does not consist of blocks of the layout. After an error, every further use is
    /// an error.
    pub(crate) fn next_block(&mut self) -> Result<Option<SourceBlock>, BlockError> {
        if self.failed {
            return Err(BlockError::FailedBefore);
        }
        while !self.buffer.is_empty() {
            match self.advance() {
                Ok(rows) => {
                    let block = self.take(rows);
                    if rows > 0 {
                        return Ok(Some(block));
                    }
                }
                Err(Stop::Needs(bytes)) => {
                    if bytes.max(self.buffer.len()) <= self.max_block_bytes {
                        return Ok(None);
                    }
                    let (block, max_block_bytes) = (self.blocks, self.max_block_bytes);
                    return self.fail(BlockError::TooLarge { block, max_block_bytes });
                }
                Err(Stop::Malformed(reason)) => {
                    let column = self.layout.name(self.walk.columns.bytes.len()).to_owned();
                    let (block, offset) = (self.blocks, self.bytes);
                    return self.fail(BlockError::Malformed { block, offset, column, reason });
                }
                Err(Stop::Error(error)) => return self.fail(error),
            }
        }
        Ok(None)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// If the stream ends within a block, or the reader was used after an error.
    pub(crate) fn finish(&self) -> Result<(), BlockError> {
        match self.buffer.len() {
            _ if self.failed => Err(BlockError::FailedBefore),
            0 => Ok(()),
            bytes => Err(BlockError::PartialBlock { block: self.blocks, bytes }),
        }
    }

    /// The number of bytes of the blocks so far.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn fail<T>(&mut self, error: BlockError) -> Result<T, BlockError> {
        self.failed = true;
        self.buffer = Vec::new();
        Err(error)
    }

    /// Takes the complete block out of the buffer.
    fn take(&mut self, rows: usize) -> SourceBlock {
        let Walk { position, columns, .. } = std::mem::take(&mut self.walk);
        let rest = self.buffer.get(position..).unwrap_or_default();
        // The next block is about as large as this one.
        let mut next = self.buffers.take(rest.len().max(position + position / 8));
        next.extend_from_slice(rest);
        let mut bytes = std::mem::replace(&mut self.buffer, next);
        bytes.truncate(position);
        self.blocks += 1;
        self.bytes += position as u64;
        SourceBlock::new(self.layout.clone(), self.buffers.share(bytes), rows, columns)
    }

    /// Walks as far as the bytes reach. Returns the rows of the block at its end.
    fn advance(&mut self) -> Result<usize, Stop> {
        let layout = Arc::clone(&self.layout);
        let rows = match self.walk.rows {
            Some(rows) => rows,
            None => self.head(layout.columns().len())?,
        };
        while let Some(column) = layout.columns().get(self.walk.columns.bytes.len()) {
            let begin = match self.walk.begin {
                Some(begin) => begin,
                None => self.column_head(column, rows)?,
            };
            while let Some(task) = self.walk.tasks.pop() {
                self.walk.step(&self.buffer, &column.shape, task)?;
            }
            self.walk.begin = None;
            self.walk.columns.bytes.push(begin..self.walk.position);
        }
        Ok(rows)
    }

    /// Reads the numbers of columns and rows.
    fn head(&mut self, expected: usize) -> Result<usize, Stop> {
        let mut input = &*self.buffer;
        let found = varint::take(&mut input)?;
        let rows = usize::try_from(varint::take(&mut input)?).map_err(|_| TOO_LONG)?;
        if usize::try_from(found) != Ok(expected) {
            let block = self.blocks;
            return Err(Stop::Error(BlockError::Columns { block, found, expected }));
        }
        self.walk.position = self.buffer.len() - input.len();
        self.walk.rows = Some(rows);
        Ok(rows)
    }

    /// Reads a column's name, its type and the prefix of its values. Returns where the prefix begins.
    fn column_head(&mut self, column: &SourceColumn, rows: usize) -> Result<usize, Stop> {
        let mut input = self.buffer.get(self.walk.position..).unwrap_or_default();
        varint::take_slice(&mut input)?;
        let type_name = varint::take_slice(&mut input)?;
        let begin = self.buffer.len() - input.len();
        let prefix = if rows == 0 { &[][..] } else { column.shape.prefix() };
        match input.split_at_checked(prefix.len()) {
            None => return Err(Stop::Needs(begin.saturating_add(prefix.len()))),
            Some((found, _)) if found != prefix => {
                return Err(Stop::Malformed("its values are serialized in another way"));
            }
            Some(_) => {}
        }
        if let Some(known) = self.type_names.get_mut(self.walk.columns.bytes.len())
            && known != type_name
        {
            if !is_of_shape(type_name, &column.shape) {
                return Err(Stop::Error(BlockError::Type {
                    block: self.blocks,
                    column: column.name.clone(),
                    type_name: String::from_utf8_lossy(type_name).into_owned(),
                }));
            }
            *known = type_name.to_vec();
        }
        self.walk.begin = Some(begin);
        self.walk.columns.first_end.push(self.walk.columns.string_ends.len());
        self.walk.position = begin + prefix.len();
        self.walk.tasks.push(Task::Values { node: column.shape.root(), count: rows });
        Ok(begin)
    }
}

/// Whether values of the type lie in a block as those of this shape. Names may differ: the server
/// leaves out some parameters of types.
fn is_of_shape(type_name: &[u8], shape: &Shape) -> bool {
    std::str::from_utf8(type_name)
        .ok()
        .and_then(|name| DataType::parse(name).ok())
        .and_then(|data_type| Shape::new(&data_type).ok())
        .is_some_and(|found| found == *shape)
}

impl Walk {
    /// Does a part of a column. Where bytes are missing, the rest of it stays the next part.
    fn step(&mut self, bytes: &[u8], shape: &Shape, task: Task) -> Result<(), Stop> {
        match task {
            Task::Values { node, count } => self.values(shape, node, count),
            Task::Skip(width) => self.take(bytes, width, task).map(drop),
            Task::Strings { count, keep } => self.strings(bytes, count, keep),
            Task::Ends { element, count } => {
                let ends = self.take(bytes, count.checked_mul(8).ok_or(TOO_LONG)?, task)?;
                let elements = ends.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
                let count = usize::try_from(elements).map_err(|_| TOO_LONG)?;
                self.tasks.push(Task::Values { node: element, count });
                Ok(())
            }
            Task::Discriminators { node, count } => {
                let found = self.take(bytes, count, task)?;
                let Some(Node::Variant(types)) = shape.node(node) else { return Ok(()) };
                let mut counts = [0_usize; 256];
                for &discriminator in found {
                    if let Some(count) = counts.get_mut(usize::from(discriminator)) {
                        *count += 1;
                    }
                }
                for (&node, &count) in types.iter().zip(&counts).rev() {
                    self.tasks.push(Task::Values { node, count });
                }
                Ok(())
            }
            Task::Dictionary { keys, count } => {
                let head = self.take(bytes, 16, task)?;
                let (flags, values) = head.split_at(8);
                let number = |bytes: &[u8]| {
                    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
                };
                let (flags, values) = (number(flags), number(values));
                let elsewhere = Stop::Malformed("its dictionary lies elsewhere");
                let width = index_width(flags).ok_or(elsewhere)?;
                let values = usize::try_from(values).map_err(|_| TOO_LONG)?;
                self.tasks.push(Task::Indexes { width, count });
                self.tasks.push(Task::Values { node: keys, count: values });
                Ok(())
            }
            Task::Indexes { width, count } => {
                let found = self.take(bytes, 8, task)?;
                if found != (count as u64).to_le_bytes() {
                    return Err(Stop::Malformed("its dictionary has another number of indexes"));
                }
                let width = count.checked_mul(width).ok_or(TOO_LONG)?;
                self.tasks.push(Task::Skip(width));
                Ok(())
            }
        }
    }

    /// Divides values of a node into the parts that follow one another.
    fn values(&mut self, shape: &Shape, node: usize, count: usize) -> Result<(), Stop> {
        if count == 0 {
            return Ok(());
        }
        match shape.node(node) {
            Some(Node::Fixed(width)) => {
                self.tasks.push(Task::Skip(count.checked_mul(*width).ok_or(TOO_LONG)?));
            }
            Some(Node::Empty) => self.tasks.push(Task::Skip(count)),
            Some(Node::String) => {
                let keep = keeps_ends(self.kept, count);
                self.kept += if keep { count } else { 0 };
                self.tasks.push(Task::Strings { count, keep });
            }
            Some(&Node::Nullable(node)) => {
                self.tasks.push(Task::Values { node, count });
                self.tasks.push(Task::Skip(count));
            }
            Some(&Node::LowCardinality { keys, .. }) => {
                self.tasks.push(Task::Dictionary { keys, count });
            }
            Some(&Node::Array(element)) => self.tasks.push(Task::Ends { element, count }),
            Some(Node::Tuple(fields)) => {
                let fields = fields.iter().rev();
                self.tasks.extend(fields.map(|&node| Task::Values { node, count }));
            }
            Some(Node::Variant(_)) => self.tasks.push(Task::Discriminators { node, count }),
            None => {}
        }
        Ok(())
    }

    /// Takes `width` bytes, or waits for them with this task.
    fn take<'a>(&mut self, bytes: &'a [u8], width: usize, task: Task) -> Result<&'a [u8], Stop> {
        let end = self.position.saturating_add(width);
        let Some(taken) = bytes.get(self.position..end) else {
            self.tasks.push(task);
            return Err(Stop::Needs(end));
        };
        self.position = end;
        Ok(taken)
    }

    /// Walks over strings. Their ends may be kept: it costs much less to keep them than to walk again.
    fn strings(&mut self, bytes: &[u8], left: usize, keep: bool) -> Result<(), Stop> {
        let mut position = self.position;
        for left in (1..=left).rev() {
            let stop = match varint::decode(bytes.get(position..).unwrap_or_default()) {
                Ok((length, width)) => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let end = (position + width).saturating_add(length);
                    if end <= bytes.len() {
                        position = end;
                        if keep {
                            let end = u32::try_from(end).map_err(|_| TOO_LONG)?;
                            self.columns.string_ends.push(end);
                        }
                        continue;
                    }
                    Stop::Needs(end)
                }
                Err(error) => error.into(),
            };
            self.position = position;
            self.tasks.push(Task::Strings { count: left, keep });
            return Err(stop);
        }
        self.position = position;
        Ok(())
    }
}
