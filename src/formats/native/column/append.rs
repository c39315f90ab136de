//! Adding values.

use super::{Column, NULL_DISCRIMINATOR, Pieces};
use crate::formats::native::error::MalformedRowKind;
use crate::formats::native::read::{Read, string_bytes, take_byte, take_null_flag, take_number};
use crate::formats::rowbinary::MalformedKind;

/// What a NULL has in the place of its value.
const ZEROS: [u8; 256] = [0; 256];

impl Column {
    /// Adds the value that the input begins with, and takes it off the input.
    ///
    /// After an error, parts of the column may have a value more than others.
    #[inline]
    pub(in crate::formats::native) fn append(&mut self, input: &mut &[u8]) -> Read<()> {
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
                // Also a bound on the work for a row: elements take bytes.
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

    /// Adds that many values; the input has a byte for each at least.
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

    /// Adds what a NULL has in the place of its value: the default of the type.
    fn append_default(&mut self) {
        match self {
            Self::Fixed { width, values } => match *width {
                8 => values.append_array(&[0; 8]),
                // No NULL is wider than the zeros, or else `compile` refuses the type.
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
fn append_fixed(values: &mut Pieces, width: usize, input: &mut &[u8]) -> Read<()> {
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
fn append_array<const N: usize>(values: &mut Pieces, input: &mut &[u8]) -> Read<()> {
    let (value, rest) = input.split_first_chunk::<N>().ok_or(MalformedRowKind::TooShort)?;
    values.append_array(value);
    *input = rest;
    Ok(())
}

#[inline]
fn append_string(values: &mut Pieces, input: &mut &[u8]) -> Read<()> {
    let bytes = string_bytes(input)?;
    values.append_first(input, bytes).ok_or(MalformedRowKind::TooShort)
}
