//! The values of one column of a block, found by their index.

use std::ops::Range;

use super::buffer::BlockWriter;
use super::dictionary::index_width;
use super::shape::{Node, Shape};
use super::{DICTIONARY_FLAGS, NULL_DISCRIMINATOR};
use crate::formats::varint;

/// The values of a column, or of a part of one.
#[derive(Debug)]
pub(super) enum View<'a> {
    Fixed {
        width: usize,
        bytes: &'a [u8],
    },
    /// Values without bytes in a row.
    Empty {
        bytes: &'a [u8],
    },
    String {
        bytes: &'a [u8],
        /// The end of each string.
        ends: StringEnds<'a>,
    },
    Nullable {
        flags: &'a [u8],
        values: Box<View<'a>>,
    },
    LowCardinality {
        keys: Box<View<'a>>,
        /// The number of keys, and their bytes.
        key_count: usize,
        key_bytes: &'a [u8],
        nullable: bool,
        width: usize,
        indexes: &'a [u8],
    },
    Array {
        ends: &'a [u8],
        element: Box<View<'a>>,
    },
    Tuple(Vec<View<'a>>),
    Variant {
        discriminators: &'a [u8],
        /// For each value its index among those of its type.
        positions: Vec<usize>,
        types: Vec<View<'a>>,
    },
}

/// The ends of strings.
#[derive(Debug)]
pub(super) enum StringEnds<'a> {
    /// In bytes from the beginning of the block, in which the first string begins at `begin`.
    Known { begin: u32, ends: &'a [u32] },
    /// In bytes from the beginning of the first string.
    Found(Vec<usize>),
}

impl StringEnds<'_> {
    /// Where the string at this index begins, or the last one ends, from the beginning of the first.
    #[inline]
    fn bound(&self, index: usize) -> Option<usize> {
        let Some(before) = index.checked_sub(1) else { return Some(0) };
        match self {
            Self::Known { begin, ends } => {
                usize::try_from(ends.get(before)?.checked_sub(*begin)?).ok()
            }
            Self::Found(ends) => ends.get(before).copied(),
        }
    }

    /// The bytes of the strings of a range.
    #[inline]
    fn range(&self, strings: &Range<usize>) -> Option<Range<usize>> {
        Some(self.bound(strings.start)?..self.bound(strings.end)?)
    }
}

/// What is left of a column's bytes, and of the ends of its strings that were found before.
#[derive(Debug)]
pub(super) struct ColumnBytes<'a> {
    pub bytes: &'a [u8],
    /// Where `bytes` begin in the block.
    pub begin: usize,
    /// The ends of strings that were kept.
    pub ends: &'a [u32],
    /// The number of strings before these whose ends were kept.
    pub kept: usize,
}

/// The most strings of a block whose ends are kept: 8 MiB of ends.
const MOST_ENDS: usize = 2 << 20;

/// Whether the ends of `count` strings are kept, after those of `kept` ones.
pub(super) fn keeps_ends(kept: usize, count: usize) -> bool {
    kept.saturating_add(count) <= MOST_ENDS
}

impl<'a> ColumnBytes<'a> {
    /// Takes `count` bytes.
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        self.begin += count;
        Some(taken)
    }

    fn take_number(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Takes `count` strings.
    fn take_strings(&mut self, count: usize) -> Option<View<'a>> {
        if keeps_ends(self.kept, count) {
            let (ends, rest) = self.ends.split_at_checked(count)?;
            let begin = u32::try_from(self.begin).ok()?;
            let bytes = ends.last().map_or(Some(0), |end| end.checked_sub(begin))?;
            self.ends = rest;
            self.kept += count;
            let bytes = self.take(usize::try_from(bytes).ok()?)?;
            return Some(View::String { bytes, ends: StringEnds::Known { begin, ends } });
        }
        // Each string takes at least a byte.
        let mut ends = Vec::with_capacity(count.min(self.bytes.len()));
        let mut position = 0_usize;
        for _ in 0..count {
            let (length, width) = varint::decode(self.bytes.get(position..)?).ok()?;
            position = position.checked_add(width)?.checked_add(usize::try_from(length).ok()?)?;
            ends.push(position);
        }
        Some(View::String { bytes: self.take(position)?, ends: StringEnds::Found(ends) })
    }
}

impl<'a> View<'a> {
    /// Takes `count` values of a node off the input. `None` if there are fewer.
    pub(super) fn take(
        shape: &Shape,
        node: usize,
        count: usize,
        input: &mut ColumnBytes<'a>,
    ) -> Option<Self> {
        Some(match shape.node(node)? {
            &Node::Fixed(width) => {
                Self::Fixed { width, bytes: input.take(count.checked_mul(width)?)? }
            }
            Node::Empty => Self::Empty { bytes: input.take(count)? },
            Node::String => input.take_strings(count)?,
            &Node::Nullable(node) => Self::Nullable {
                flags: input.take(count)?,
                values: Box::new(Self::take(shape, node, count, input)?),
            },
            &Node::LowCardinality { keys, nullable } => {
                Self::take_dictionary(shape, [keys, count], nullable, input)?
            }
            &Node::Array(element) => {
                let ends = input.take(count.checked_mul(8)?)?;
                let elements = usize::try_from(number_at(ends, count.checked_sub(1))?).ok()?;
                let element = Box::new(Self::take(shape, element, elements, input)?);
                Self::Array { ends, element }
            }
            Node::Tuple(fields) => {
                let fields = fields.iter().map(|&node| Self::take(shape, node, count, input));
                Self::Tuple(fields.collect::<Option<_>>()?)
            }
            Node::Variant(types) => {
                let discriminators = input.take(count)?;
                let mut counts = [0_usize; 256];
                let mut positions = Vec::with_capacity(count);
                for &discriminator in discriminators {
                    let count = counts.get_mut(usize::from(discriminator))?;
                    positions.push(*count);
                    *count += 1;
                }
                let types = types
                    .iter()
                    .zip(counts)
                    .map(|(&node, count)| Self::take(shape, node, count, input));
                Self::Variant { discriminators, positions, types: types.collect::<Option<_>>()? }
            }
        })
    }

    fn take_dictionary(
        shape: &Shape,
        [keys, count]: [usize; 2],
        nullable: bool,
        input: &mut ColumnBytes<'a>,
    ) -> Option<Self> {
        let (mut width, mut key_count, mut key_bytes) = (1, 0, &[][..]);
        let mut indexes = &[][..];
        let mut view = Self::Empty { bytes: &[] };
        if count > 0 {
            width = index_width(input.take_number()?)?;
            key_count = usize::try_from(input.take_number()?).ok()?;
            let begin = input.bytes;
            view = Self::take(shape, keys, key_count, input)?;
            key_bytes = begin.get(..begin.len() - input.bytes.len())?;
            input.take_number()?;
            indexes = input.take(count.checked_mul(width)?)?;
        }
        let keys = Box::new(view);
        Some(Self::LowCardinality { keys, key_count, key_bytes, nullable, width, indexes })
    }

    /// Appends a value as it is in a row. `None` if there is no such value, or the column contradicts
    /// itself.
    pub(super) fn write_row(&self, index: usize, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Fixed { width, bytes } => {
                let begin = index.checked_mul(*width)?;
                out.extend_from_slice(bytes.get(begin..begin.checked_add(*width)?)?);
            }
            // The ends of arrays may lead anywhere.
            Self::Empty { bytes } => {
                bytes.get(index)?;
            }
            Self::String { bytes, ends } => {
                let range = ends.range(&(index..index.checked_add(1)?))?;
                out.extend_from_slice(bytes.get(range)?);
            }
            Self::Nullable { flags, values } => {
                let is_null = *flags.get(index)? != 0;
                out.push(u8::from(is_null));
                if !is_null {
                    values.write_row(index, out)?;
                }
            }
            Self::LowCardinality { keys, nullable, width, indexes, .. } => {
                let begin = index.checked_mul(*width)?;
                let key = indexes.get(begin..begin.checked_add(*width)?)?;
                let key = key.iter().rev().fold(0, |key, byte| key << 8 | usize::from(*byte));
                if *nullable {
                    out.push(u8::from(key == 0));
                    if key == 0 {
                        return Some(());
                    }
                }
                keys.write_row(key, out)?;
            }
            Self::Array { ends, element } => {
                let elements = elements(ends, &(index..index.checked_add(1)?))?;
                varint::write(elements.len() as u64, out);
                for index in elements {
                    element.write_row(index, out)?;
                }
            }
            Self::Tuple(fields) => {
                for field in fields {
                    field.write_row(index, out)?;
                }
            }
            Self::Variant { discriminators, positions, types } => {
                let discriminator = *discriminators.get(index)?;
                out.push(discriminator);
                if discriminator != NULL_DISCRIMINATOR {
                    types
                        .get(usize::from(discriminator))?
                        .write_row(*positions.get(index)?, out)?;
                }
            }
        }
        Some(())
    }

    /// Whether a value of a nullable type is NULL.
    pub(super) fn is_null(&self, index: usize) -> bool {
        match self {
            Self::Nullable { flags, .. } => flags.get(index).is_some_and(|&flag| flag != 0),
            Self::LowCardinality { nullable: true, width, indexes, .. } => {
                let index = indexes.chunks_exact(*width).nth(index);
                index.is_some_and(|index| index.iter().all(|&byte| byte == 0))
            }
            _ => false,
        }
    }

    /// Appends the values of these ascending ranges as they are in a block, without the prefix.
    /// `None` if the column contradicts itself.
    pub(super) fn write_values(&self, kept: &[Range<usize>], out: &mut BlockWriter) -> Option<()> {
        match self {
            Self::Fixed { width, bytes } => write_ranges(bytes, *width, kept, out),
            Self::Empty { bytes } => write_ranges(bytes, 1, kept, out),
            Self::String { bytes, ends } => {
                for range in kept {
                    out.push(bytes.get(ends.range(range)?)?);
                }
                Some(())
            }
            Self::Nullable { flags, values } => {
                write_ranges(flags, 1, kept, out)?;
                values.write_values(kept, out)
            }
            Self::LowCardinality { key_count, key_bytes, width, indexes, .. } => {
                let count: usize = kept.iter().map(Range::len).sum();
                if count > 0 {
                    let code = u64::from(width.trailing_zeros());
                    out.push(&(DICTIONARY_FLAGS | code).to_le_bytes());
                    out.push(&(*key_count as u64).to_le_bytes());
                    out.push(key_bytes);
                    out.push(&(count as u64).to_le_bytes());
                    write_ranges(indexes, *width, kept, out)?;
                }
                Some(())
            }
            Self::Array { ends, element } => {
                element.write_values(&write_ends(ends, kept, out)?, out)
            }
            Self::Tuple(fields) => {
                fields.iter().try_for_each(|field| field.write_values(kept, out))
            }
            Self::Variant { discriminators, positions, types } => {
                write_ranges(discriminators, 1, kept, out)?;
                let kept = kept_of_types(discriminators, positions, types.len(), kept)?;
                let mut types = types.iter().zip(&kept);
                types.try_for_each(|(values, kept)| values.write_values(kept, out))
            }
        }
    }
}

/// Writes the ends of these arrays, counted from the first of them. Returns the indexes of their
/// elements.
fn write_ends(
    ends: &[u8],
    kept: &[Range<usize>],
    out: &mut BlockWriter,
) -> Option<Vec<Range<usize>>> {
    let mut all = Vec::with_capacity(kept.len());
    let mut written = 0_u64;
    for range in kept {
        let elements = elements(ends, range)?;
        for index in range.clone() {
            let end = number_at(ends, Some(index))?.checked_sub(elements.start as u64)?;
            out.push(&written.checked_add(end)?.to_le_bytes());
        }
        written = written.checked_add(elements.len() as u64)?;
        all.push(elements);
    }
    Some(all)
}

/// For each type of a variant, the indexes of the kept values among those of the type.
fn kept_of_types(
    discriminators: &[u8],
    positions: &[usize],
    types: usize,
    kept: &[Range<usize>],
) -> Option<Vec<Vec<Range<usize>>>> {
    let mut of_types = vec![Vec::<Range<usize>>::new(); types];
    for index in kept.iter().cloned().flatten() {
        let discriminator = usize::from(*discriminators.get(index)?);
        let Some(of_type) = of_types.get_mut(discriminator) else { continue };
        let position = *positions.get(index)?;
        match of_type.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => of_type.push(position..position.checked_add(1)?),
        }
    }
    Some(of_types)
}

fn write_ranges(
    bytes: &[u8],
    width: usize,
    kept: &[Range<usize>],
    out: &mut BlockWriter,
) -> Option<()> {
    for range in kept {
        let (begin, end) = (range.start.checked_mul(width)?, range.end.checked_mul(width)?);
        out.push(bytes.get(begin..end)?);
    }
    Some(())
}

/// The number of elements up to the end of the array at this index; 0 before the first.
fn number_at(ends: &[u8], index: Option<usize>) -> Option<u64> {
    let Some(index) = index else { return Some(0) };
    let begin = index.checked_mul(8)?;
    ends.get(begin..begin.checked_add(8)?)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The indexes of the elements of these arrays.
fn elements(ends: &[u8], arrays: &Range<usize>) -> Option<Range<usize>> {
    let begin = usize::try_from(number_at(ends, arrays.start.checked_sub(1))?).ok()?;
    let end = usize::try_from(number_at(ends, arrays.end.checked_sub(1))?).ok()?;
    (begin <= end).then_some(begin..end)
}
