//! Reading RowBinary values off the front of a slice.

use crate::formats::rowbinary::MalformedKind;
use crate::formats::varint::{self, VarintError};

/// A value, or why the bytes are not a row.
pub(super) type Read<T> = Result<T, MalformedRowKind>;

/// Takes a byte off the input.
#[inline]
pub(super) fn take_byte(input: &mut &[u8]) -> Read<u8> {
    let (&byte, rest) = input.split_first().ok_or(MalformedRowKind::TooShort)?;
    *input = rest;
    Ok(byte)
}

/// Takes `count` bytes off the input.
#[inline]
pub(super) fn take<'a>(input: &mut &'a [u8], count: usize) -> Read<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(count).ok_or(MalformedRowKind::TooShort)?;
    *input = rest;
    Ok(taken)
}

/// Takes the NULL flag of a `Nullable` off the input.
#[inline]
pub(super) fn take_null_flag(input: &mut &[u8]) -> Read<bool> {
    match take_byte(input)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(MalformedKind::NullFlag(other).into()),
    }
}

/// Takes a varint off the input.
#[inline]
pub(super) fn take_number(input: &mut &[u8]) -> Read<u64> {
    Ok(varint::take(input)?)
}

/// The size of the string at the front of the input, including its length. It may exceed the input.
#[inline]
pub(super) fn string_bytes(input: &[u8]) -> Read<usize> {
    let (length, bytes) = varint::decode(input)?;
    usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_add(bytes))
        .ok_or(MalformedRowKind::TooShort)
}

/// Why bytes are not one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRowKind {
    /// The row or its first part ends inside a value.
    #[error("the row ends inside a value")]
    TooShort,
    /// There are bytes after the last column.
    #[error("the row has {0} bytes more than its columns")]
    TooLong(usize),
    /// The bytes are not a value of the column's type.
    #[error(transparent)]
    Value(#[from] MalformedKind),
    /// A block has more than 2³² distinct values of a `LowCardinality`.
    #[error("a block holds too many different values")]
    TooManyValues,
}

impl From<VarintError> for MalformedRowKind {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::Truncated => Self::TooShort,
            VarintError::Overflow => Self::Value(MalformedKind::VarUintTooLong),
        }
    }
}
