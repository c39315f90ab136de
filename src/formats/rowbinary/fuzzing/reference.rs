//! Framing in the plainest way, as a check on the fast one: recursive over the type, from the
//! beginning.

use crate::formats::rowbinary::{DataType, Field};

/// What the plain way finds at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// A value of this many bytes.
    Complete(usize),
    /// The beginning of a value.
    Incomplete,
    /// Bytes that no value begins with.
    Malformed,
}

/// The bytes that follow a value, or why there is no value.
type After<'a> = Result<&'a [u8], Reference>;

impl Reference {
    /// Frames one value.
    #[must_use]
    pub fn of(data_type: &DataType, bytes: &[u8]) -> Self {
        match skip(data_type, bytes) {
            Ok(rest) => Self::Complete(bytes.len() - rest.len()),
            Err(failure) => failure,
        }
    }
}

fn skip<'a>(data_type: &DataType, bytes: &'a [u8]) -> After<'a> {
    match data_type {
        DataType::String | DataType::Json(_) => {
            let (length, rest) = number(bytes)?;
            skip_bytes(rest, length)
        }
        DataType::Nullable(inner) => match first(bytes)? {
            (0, rest) => skip(inner, rest),
            (1, rest) => Ok(rest),
            _ => Err(Reference::Malformed),
        },
        DataType::LowCardinality(inner)
        | DataType::SimpleAggregateFunction { value: inner, .. } => skip(inner, bytes),
        DataType::Array(element) | DataType::QBit { element, .. } => {
            skip_elements(bytes, |bytes| skip(element, bytes))
        }
        DataType::Map(key, value) => skip_elements(bytes, |bytes| skip(value, skip(key, bytes)?)),
        DataType::Nested(fields) => skip_elements(bytes, |bytes| skip_fields(fields, bytes)),
        DataType::Tuple(fields) => skip_fields(fields, bytes),
        DataType::Variant(types) => match first(bytes)? {
            (255, rest) if types.len() <= 255 => Ok(rest),
            (index, rest) => skip(types.get(usize::from(index)).ok_or(Reference::Malformed)?, rest),
        },
        DataType::Geo(geo) => skip(&geo.structure(), bytes),
        fixed => skip_bytes(bytes, fixed.fixed_width().ok_or(Reference::Malformed)?),
    }
}

fn skip_fields<'a>(fields: &[Field], bytes: &'a [u8]) -> After<'a> {
    fields.iter().try_fold(bytes, |bytes, field| skip(&field.data_type, bytes))
}

fn skip_elements<'a>(bytes: &'a [u8], element: impl Fn(&'a [u8]) -> After<'a>) -> After<'a> {
    let (elements, mut rest) = number(bytes)?;
    for _ in 0..elements {
        let after = element(rest)?;
        if after.len() == rest.len() {
            // An element without bytes: the others have none either.
            break;
        }
        rest = after;
    }
    Ok(rest)
}

fn skip_bytes(bytes: &[u8], count: u64) -> After<'_> {
    usize::try_from(count).ok().and_then(|count| bytes.get(count..)).ok_or(Reference::Incomplete)
}

fn first(bytes: &[u8]) -> Result<(u8, &[u8]), Reference> {
    bytes.split_first().map(|(first, rest)| (*first, rest)).ok_or(Reference::Incomplete)
}

fn number(mut bytes: &[u8]) -> Result<(u64, &[u8]), Reference> {
    let mut number = 0_u128;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = first(bytes)?;
        bytes = rest;
        number |= u128::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return u64::try_from(number)
                .map(|number| (number, bytes))
                .map_err(|_| Reference::Malformed);
        }
    }
    Err(Reference::Malformed)
}
