//! The values of one column, or of a part of one, encoded as in a block.

use super::buffer::{BlockWriter, ColumnBuffer};
use super::dictionary::Dictionary;
use super::read::{MalformedRowKind, Read, string_bytes, take_byte, take_null_flag, take_number};
use super::{DICTIONARY_WITH_KEYS, JSON_AS_STRING, NULL_DISCRIMINATOR, PLAIN_DISCRIMINATORS};
use crate::formats::rowbinary::{DataType, Field, MalformedKind};

/// A column.
#[derive(Debug, Clone)]
pub(super) enum Column {
    /// Values of `width` bytes each.
    Fixed { width: usize, values: ColumnBuffer },
    /// Strings with their lengths in front.
    String(ColumnBuffer),
    /// `JSON` values as strings.
    Json(ColumnBuffer),
    /// Values without bytes in a row. A block has one byte for each.
    Empty { values: u64 },
    /// For each value a flag, 1 for NULL, and a value, also for a NULL.
    Nullable { flags: ColumnBuffer, values: Box<Column> },
    /// The distinct values, and for each value the index of one of them.
    LowCardinality(Box<Dictionary>),
    /// For each array, the number of elements up to its end; and the elements of all arrays.
    Array {
        ends: ColumnBuffer,
        elements: u64,
        /// The minimum size of an element in a row; not 0.
        minimum: u64,
        element: Box<Column>,
    },
    /// A column for each element.
    Tuple(Box<[Column]>),
    /// For each value the index of its type, and for each type its values.
    Variant { discriminators: ColumnBuffer, types: Box<[Column]> },
}

/// The widest NULL in a block, in bytes. A NULL takes one byte in a row; the limit keeps blocks of
/// NULLs from growing far beyond their batch.
const WIDEST_NULL: u64 = 256;

impl Column {
    /// A column without values.
    pub(super) fn new(data_type: &DataType) -> Result<Self, UnsupportedReason> {
        let another_form = || UnsupportedReason::AnotherForm(data_type.to_string());
        Ok(match data_type {
            DataType::String => Self::String(ColumnBuffer::default()),
            DataType::Json(_) => Self::Json(ColumnBuffer::default()),
            DataType::Nothing => Self::Empty { values: 0 },
            DataType::Nullable(inner) => {
                let bytes = null_bytes(inner);
                if bytes > WIDEST_NULL {
                    return Err(UnsupportedReason::WideNull { bytes });
                }
                Self::Nullable {
                    flags: ColumnBuffer::default(),
                    values: Box::new(Self::new(inner)?),
                }
            }
            DataType::LowCardinality(inner) => {
                Self::LowCardinality(Box::new(Dictionary::new(inner).ok_or_else(another_form)?))
            }
            DataType::SimpleAggregateFunction { value, .. } => Self::new(value)?,
            DataType::Array(element) => {
                Self::array(element.minimum_width(), Self::new(element)?, data_type)?
            }
            DataType::Map(key, value) => {
                let entry = Self::Tuple([Self::new(key)?, Self::new(value)?].into());
                Self::array(
                    key.minimum_width().saturating_add(value.minimum_width()),
                    entry,
                    data_type,
                )?
            }
            DataType::Nested(fields) => {
                let minimum = fields
                    .iter()
                    .fold(0, |sum: u64, field| sum.saturating_add(field.data_type.minimum_width()));
                Self::array(minimum, Self::tuple(fields)?, data_type)?
            }
            DataType::Tuple(fields) => Self::tuple(fields)?,
            DataType::Variant(types) => Self::Variant {
                discriminators: ColumnBuffer::default(),
                types: types.iter().map(Self::new).collect::<Result<_, _>>()?,
            },
            DataType::Geo(geo) => Self::new(&geo.structure())?,
            // `QBit` has no fixed width either.
            other => {
                let width = other
                    .fixed_width()
                    .and_then(|width| usize::try_from(width).ok())
                    .ok_or_else(another_form)?;
                Self::Fixed { width, values: ColumnBuffer::default() }
            }
        })
    }

    fn array(minimum: u64, element: Self, data_type: &DataType) -> Result<Self, UnsupportedReason> {
        if minimum == 0 {
            return Err(UnsupportedReason::ElementsWithoutBytes(data_type.to_string()));
        }
        Ok(Self::Array {
            ends: ColumnBuffer::default(),
            elements: 0,
            minimum,
            element: Box::new(element),
        })
    }

    fn tuple(fields: &[Field]) -> Result<Self, UnsupportedReason> {
        if fields.is_empty() {
            return Ok(Self::Empty { values: 0 });
        }
        Ok(Self::Tuple(
            fields.iter().map(|field| Self::new(&field.data_type)).collect::<Result<_, _>>()?,
        ))
    }
}

/// The size of a NULL in a block.
fn null_bytes(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Tuple(fields) => fields
            .iter()
            .fold(1, |sum: u64, field| sum.saturating_add(null_bytes(&field.data_type))),
        DataType::Nullable(inner) | DataType::SimpleAggregateFunction { value: inner, .. } => {
            null_bytes(inner).saturating_add(1)
        }
        // The end of an array takes eight bytes; other defaults are shorter.
        other => other.fixed_width().unwrap_or(8),
    }
}

/// The value of a NULL of fixed width.
const ZEROS: [u8; 256] = [0; 256];

impl Column {
    /// Moves the value at the front of the input to the column.
    ///
    /// After an error, parts of the column may have different lengths.
    #[inline]
    pub(super) fn append(&mut self, input: &mut &[u8]) -> Read<()> {
        match self {
            Self::Fixed { width, values } => append_fixed(values, *width, input),
            Self::String(values) | Self::Json(values) => append_string(values, input),
            Self::Nullable { flags, values } => {
                let is_null = take_null_flag(input)?;
                flags.append_array(&[u8::from(is_null)]);
                if is_null {
                    values.append_default();
                    return Ok(());
                }
                match &mut **values {
                    Self::Fixed { width, values } => append_fixed(values, *width, input),
                    Self::String(values) => append_string(values, input),
                    values => values.append(input),
                }
            }
            Self::LowCardinality(dictionary) => dictionary.append(input),
            Self::Array { ends, elements, minimum, element } => {
                let count = take_number(input)?;
                // This also bounds the work for a row, since elements take bytes.
                if count.checked_mul(*minimum).is_none_or(|bytes| bytes > input.len() as u64) {
                    return Err(MalformedRowKind::TooShort);
                }
                *elements += count;
                ends.append_array(&elements.to_le_bytes());
                element.append_many(count, input)
            }
            Self::Tuple(fields) => fields.iter_mut().try_for_each(|field| field.append(input)),
            Self::Variant { discriminators, types } => {
                let found = take_byte(input)?;
                match types.get_mut(usize::from(found)) {
                    Some(values) => values.append(input)?,
                    None if found == NULL_DISCRIMINATOR => {}
                    None => {
                        return Err(
                            MalformedKind::Discriminator { found, types: types.len() }.into()
                        );
                    }
                }
                discriminators.append_array(&[found]);
                Ok(())
            }
            Self::Empty { values } => {
                *values += 1;
                Ok(())
            }
        }
    }

    /// Appends `count` values. The input has at least a byte for each.
    fn append_many(&mut self, count: u64, input: &mut &[u8]) -> Read<()> {
        match self {
            Self::Fixed { width, values } => {
                let bytes = usize::try_from(count)
                    .ok()
                    .and_then(|count| count.checked_mul(*width))
                    .ok_or(MalformedRowKind::TooShort)?;
                values.append_first(input, bytes).ok_or(MalformedRowKind::TooShort)
            }
            Self::Tuple(fields) => match &mut **fields {
                [key, value] => (0..count).try_for_each(|_| {
                    key.append(input)?;
                    value.append(input)
                }),
                fields => (0..count)
                    .try_for_each(|_| fields.iter_mut().try_for_each(|field| field.append(input))),
            },
            other => (0..count).try_for_each(|_| other.append(input)),
        }
    }

    /// Appends the value of a NULL: the default of the type.
    fn append_default(&mut self) {
        match self {
            Self::Fixed { width, values } => match *width {
                8 => values.append_array(&[0; 8]),
                // `new` rejects types with a wider NULL.
                width => values.append(ZEROS.get(..width).unwrap_or_default()),
            },
            Self::String(values) => values.append_array(&[0]),
            Self::Json(values) => values.append_array(b"\x02{}"),
            Self::Nullable { flags, values } => {
                flags.append_array(&[1]);
                values.append_default();
            }
            Self::LowCardinality(dictionary) => dictionary.append_default(),
            Self::Array { ends, elements, .. } => ends.append_array(&elements.to_le_bytes()),
            Self::Tuple(fields) => fields.iter_mut().for_each(Self::append_default),
            Self::Variant { discriminators, .. } => {
                discriminators.append_array(&[NULL_DISCRIMINATOR]);
            }
            Self::Empty { values } => *values += 1,
        }
    }
}

#[inline]
fn append_fixed(values: &mut ColumnBuffer, width: usize, input: &mut &[u8]) -> Read<()> {
    match width {
        1 => append_array::<1>(values, input),
        2 => append_array::<2>(values, input),
        4 => append_array::<4>(values, input),
        8 => append_array::<8>(values, input),
        16 => append_array::<16>(values, input),
        _ => values.append_first(input, width).ok_or(MalformedRowKind::TooShort),
    }
}

#[inline]
fn append_array<const N: usize>(values: &mut ColumnBuffer, input: &mut &[u8]) -> Read<()> {
    let (value, rest) = input.split_first_chunk::<N>().ok_or(MalformedRowKind::TooShort)?;
    values.append_array(value);
    *input = rest;
    Ok(())
}

#[inline]
fn append_string(values: &mut ColumnBuffer, input: &mut &[u8]) -> Read<()> {
    let bytes = string_bytes(input)?;
    values.append_first(input, bytes).ok_or(MalformedRowKind::TooShort)
}

/// What a block has for values without bytes, written in chunks of this size.
const EMPTY_VALUES: [u8; 256] = [b'0'; 256];

impl Column {
    /// Writes the versions of the parts' serializations, which precede all values.
    pub(super) fn write_prefix(&self, output: &mut BlockWriter) {
        match self {
            Self::Fixed { .. } | Self::String(_) | Self::Empty { .. } => {}
            Self::Json(_) => output.push(&JSON_AS_STRING.to_le_bytes()),
            Self::LowCardinality(_) => output.push(&DICTIONARY_WITH_KEYS.to_le_bytes()),
            Self::Nullable { values: inner, .. } | Self::Array { element: inner, .. } => {
                inner.write_prefix(output);
            }
            Self::Tuple(fields) => fields.iter().for_each(|field| field.write_prefix(output)),
            Self::Variant { types, .. } => {
                output.push(&PLAIN_DISCRIMINATORS.to_le_bytes());
                types.iter().for_each(|values| values.write_prefix(output));
            }
        }
    }

    /// Moves the bytes of all parts to the block, in the order of the server's serializations.
    pub(super) fn finish(&mut self, output: &mut BlockWriter) {
        match self {
            Self::Fixed { values, .. } | Self::String(values) | Self::Json(values) => {
                values.finish(output);
            }
            Self::Empty { values } => {
                while *values > 0 {
                    let some = (*values).min(EMPTY_VALUES.len() as u64);
                    output.push(
                        usize::try_from(some)
                            .ok()
                            .and_then(|some| EMPTY_VALUES.get(..some))
                            .unwrap_or_default(),
                    );
                    *values -= some;
                }
            }
            Self::Nullable { flags, values } => {
                flags.finish(output);
                values.finish(output);
            }
            Self::LowCardinality(dictionary) => dictionary.finish(output),
            Self::Array { ends, elements, element, .. } => {
                ends.finish(output);
                *elements = 0;
                element.finish(output);
            }
            Self::Tuple(fields) => fields.iter_mut().for_each(|field| field.finish(output)),
            Self::Variant { discriminators, types } => {
                discriminators.finish(output);
                types.iter_mut().for_each(|values| values.finish(output));
            }
        }
    }
}

/// Why a type cannot be sent in blocks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedReason {
    /// Values of the type are encoded differently in a block and in RowBinary.
    #[error("values of {0} have another form there")]
    AnotherForm(String),
    /// The elements of an array take no bytes in a row but some in a block: a short row would become
    /// a long block.
    #[error("elements of type {0} take no bytes in a row")]
    ElementsWithoutBytes(String),
    /// A NULL takes one byte in a row but as many as a value in a block.
    #[error("each NULL would take {bytes} bytes")]
    WideNull {
        /// The size of a NULL in a block.
        bytes: u64,
    },
}
