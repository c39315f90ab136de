//! Reading RowBinary off the beginning of a slice.

use super::error::MalformedRowKind;
use crate::formats::rowbinary::MalformedKind;

/// The bytes of a row that are still to be read, or why they are not a row.
pub(super) type Read<T> = Result<T, MalformedRowKind>;

/// Takes one byte off.
#[inline]
pub(super) fn take_byte(input: &mut &[u8]) -> Read<u8> {
    let (&byte, rest) = input.split_first().ok_or(MalformedRowKind::TooShort)?;
    *input = rest;
    Ok(byte)
}

/// Takes that many bytes off.
#[inline]
pub(super) fn take<'a>(input: &mut &'a [u8], count: usize) -> Read<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(count).ok_or(MalformedRowKind::TooShort)?;
    *input = rest;
    Ok(taken)
}

/// Takes the flag of a `Nullable` off: whether it is NULL.
#[inline]
pub(super) fn take_null_flag(input: &mut &[u8]) -> Read<bool> {
    match take_byte(input)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(MalformedKind::NullFlag(other).into()),
    }
}

/// Takes a number off.
#[inline]
pub(super) fn take_number(input: &mut &[u8]) -> Read<u64> {
    let (number, bytes) = number(input)?;
    take(input, bytes)?;
    Ok(number)
}

/// The bytes that a string takes with its length in front. They may be more than there are.
#[inline]
pub(super) fn string_bytes(input: &[u8]) -> Read<usize> {
    let (length, bytes) = number(input)?;
    usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_add(bytes))
        .ok_or(MalformedRowKind::TooShort)
}

/// A number and the bytes it takes.
#[inline]
fn number(input: &[u8]) -> Read<(u64, usize)> {
    match *input {
        [first, ..] if first < 0x80 => Ok((u64::from(first), 1)),
        [first, second, ..] if second < 0x80 => {
            Ok((u64::from(first & 0x7F) | u64::from(second) << 7, 2))
        }
        _ => long_number(input),
    }
}

/// A number of any length: seven bits in each byte, the lowest first; the top bit says that more
/// follow.
#[cold]
fn long_number(input: &[u8]) -> Read<(u64, usize)> {
    // Nine bytes hold 63 bits, and a tenth can only hold the last.
    const LONGEST: usize = 10;
    let mut number = 0;
    for (index, &byte) in input.iter().take(LONGEST).enumerate() {
        if index == LONGEST - 1 && byte > 1 {
            return Err(MalformedKind::VarUintTooLong.into());
        }
        number |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Ok((number, index + 1));
        }
    }
    Err(MalformedRowKind::TooShort)
}
