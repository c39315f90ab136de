//! Whole numbers in as few bytes as they need: seven bits a byte, lowest first, the top bit saying
//! that more follow.
//!
//! The same encoding as `ClickHouse`'s [variable-length
//! integers](https://clickhouse.com/docs/interfaces/formats/RowBinary), used here for the map's own
//! records; it reads nothing that came from outside.

/// The most bytes that one number takes.
const MAX_LENGTH: usize = 10;

/// One encoded number, on the stack.
pub(super) struct Encoded {
    bytes: [u8; MAX_LENGTH],
    length: usize,
}

impl Encoded {
    /// Encodes `value`.
    #[inline]
    pub(super) fn new(mut value: u64) -> Self {
        let mut bytes = [0u8; MAX_LENGTH];
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
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Appends `value` to `out`.
#[inline]
pub(super) fn write(value: u64, out: &mut Vec<u8>) {
    if let Ok(byte @ 0..0x80) = u8::try_from(value) {
        out.push(byte);
        return;
    }
    // All ten bytes and then less: a copy of fixed length is a few instructions, another one a
    // call.
    let encoded = Encoded::new(value);
    let end = out.len() + encoded.length;
    out.extend_from_slice(&encoded.bytes);
    out.truncate(end);
}

/// Reads one number from the front of `bytes` and moves `bytes` behind it.
///
/// `None` if the bytes end too early or the number does not fit 64 bits.
#[inline]
pub(super) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    if first < 0x80 {
        return Some(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    for index in 1..MAX_LENGTH {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads a length and takes that many bytes from the front of `bytes`.
#[inline]
pub(super) fn read_slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(read(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Appends the length of `slice` and its bytes.
#[inline]
pub(super) fn write_slice(slice: &[u8], out: &mut Vec<u8>) {
    write(slice.len() as u64, out);
    out.extend_from_slice(slice);
}

/// Folds a signed difference so that small ones of either sign become small numbers.
#[inline]
pub(super) fn fold_sign(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

/// The inverse of [`fold_sign`].
#[inline]
pub(super) fn unfold_sign(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, small in 0u64..300, tail: Vec<u8>) {
            for value in [value, small] {
                let mut bytes = Vec::new();
                write(value, &mut bytes);
                bytes.extend_from_slice(&tail);
                let mut rest = bytes.as_slice();
                prop_assert_eq!(read(&mut rest), Some(value));
                prop_assert_eq!(rest, tail.as_slice());
            }
        }

        #[test]
        fn signs_come_back(value: i64) {
            prop_assert_eq!(unfold_sign(fold_sign(value)), value);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            let _ = read_slice(&mut rest);
        }
    }

    #[test]
    fn small_differences_take_one_byte() {
        assert_eq!(fold_sign(0), 0);
        assert_eq!(fold_sign(-1), 1);
        assert_eq!(fold_sign(1), 2);
        assert_eq!(fold_sign(i64::MIN), u64::MAX);
    }

    #[test]
    fn a_cut_number_is_refused() {
        assert_eq!(read(&mut [0x80u8, 0x80].as_slice()), None);
        assert_eq!(read(&mut [0xffu8; 11].as_slice()), None);
        assert_eq!(read_slice(&mut [3u8, 1, 2].as_slice()), None);
    }
}
