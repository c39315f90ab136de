//! Variable-length unsigned integers ([LEB128]): seven bits a byte, the lowest first; the top bit
//! of a byte is set if another byte follows.
//!
//! RowBinary and Native write lengths and counts this way. The lookup map's records use the same
//! encoding for numbers that are mostly small, and [zigzag] for signed ones.
//!
//! [LEB128]: https://en.wikipedia.org/wiki/LEB128
//! [zigzag]: https://en.wikipedia.org/wiki/Variable-length_quantity#Zigzag_encoding

/// The most bytes that a 64-bit number takes.
const MAX_BYTES: usize = 10;

/// Bytes that are not a number of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VarintError {
    /// The bytes end before the number does.
    #[error("a number is cut off")]
    Truncated,
    /// The number has more than 64 bits.
    #[error("a number does not fit into 64 bits")]
    Overflow,
}

/// Decodes the number at the front of `bytes`: its value and its length in bytes.
#[inline]
pub(crate) fn decode(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    match *bytes {
        [first, ..] if first < 0x80 => Ok((u64::from(first), 1)),
        [first, second, ..] if second < 0x80 => {
            Ok((u64::from(first & 0x7F) | u64::from(second) << 7, 2))
        }
        _ => decode_long(bytes),
    }
}

fn decode_long(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(MAX_BYTES).enumerate() {
        // Nine bytes hold 63 bits, so a tenth holds at most one.
        if index == MAX_BYTES - 1 && byte > 1 {
            return Err(VarintError::Overflow);
        }
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Ok((value, index + 1));
        }
    }
    Err(VarintError::Truncated)
}

/// Takes a number off the front of `bytes`.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, VarintError> {
    let (value, length) = decode(bytes)?;
    *bytes = bytes.get(length..).unwrap_or_default();
    Ok(value)
}

/// Takes a length and that many bytes off the front of `bytes`.
#[inline]
pub(crate) fn take_slice<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], VarintError> {
    let length = usize::try_from(take(bytes)?).map_err(|_| VarintError::Truncated)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(VarintError::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

/// An encoded number on the stack.
pub(crate) struct Encoded {
    bytes: [u8; MAX_BYTES],
    length: usize,
}

impl Encoded {
    /// Encodes `value`.
    #[inline]
    pub(crate) fn new(mut value: u64) -> Self {
        let mut bytes = [0; MAX_BYTES];
        let mut length = 0;
        for byte in &mut bytes {
            length += 1;
            *byte = value.to_le_bytes()[0];
            if value < 0x80 {
                break;
            }
            *byte |= 0x80;
            value >>= 7;
        }
        Self { bytes, length }
    }

    /// The bytes of the number.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Appends `value` to `out`.
#[inline]
pub(crate) fn write(value: u64, out: &mut Vec<u8>) {
    if let Ok(byte @ 0..0x80) = u8::try_from(value) {
        out.push(byte);
        return;
    }
    // Copying all ten bytes and truncating takes a few instructions; copying a variable number of
    // bytes is a call.
    let encoded = Encoded::new(value);
    let end = out.len() + encoded.length;
    out.extend_from_slice(&encoded.bytes);
    out.truncate(end);
}

/// Appends the length of `slice` and its bytes to `out`.
#[inline]
pub(crate) fn write_slice(slice: &[u8], out: &mut Vec<u8>) {
    write(slice.len() as u64, out);
    out.extend_from_slice(slice);
}

/// Maps signed numbers to unsigned ones so that numbers near 0 of either sign stay small.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_the_bytes_of_leb128() {
        for (value, bytes) in [
            (0, &b"\0"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (300, b"\xac\x02"),
            (16_384, b"\x80\x80\x01"),
            (u64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            let mut written = Vec::new();
            write(value, &mut written);
            assert_eq!(written, bytes, "{value}");
            assert_eq!(Encoded::new(value).bytes(), bytes, "{value}");
            assert_eq!(decode(bytes), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn numbers_that_are_cut_off_or_too_long_are_errors() {
        for length in 0..MAX_BYTES {
            assert_eq!(decode(&vec![0x80; length]), Err(VarintError::Truncated), "{length}");
        }
        assert_eq!(decode(&[0x80; MAX_BYTES]), Err(VarintError::Overflow));
        assert_eq!(decode(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), Err(VarintError::Overflow));
        assert_eq!(take_slice(&mut &b"\x03ab"[..]), Err(VarintError::Truncated));
    }

    #[test]
    fn zigzag_keeps_small_numbers_small() {
        assert_eq!([0, -1, 1, i64::MIN].map(zigzag), [0, 1, 2, u64::MAX]);
    }

    proptest! {
        #[test]
        fn numbers_and_slices_round_trip(value: u64, small in 0_u64..300, slice: Vec<u8>, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            write(small, &mut bytes);
            write_slice(&slice, &mut bytes);
            bytes.extend_from_slice(&tail);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take(&mut rest), Ok(value));
            prop_assert_eq!(take(&mut rest), Ok(small));
            prop_assert_eq!(take_slice(&mut rest), Ok(slice.as_slice()));
            prop_assert_eq!(rest, tail.as_slice());
        }

        #[test]
        fn zigzag_round_trips(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
