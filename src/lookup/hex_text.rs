//! Texts of 32 lower-case hexadecimal digits, with or without the dashes of a UUID, in 16 bytes.
//!
//! Both directions work on eight digits at a time, without branches. Only texts that come back
//! exactly as they were are packed; upper case, other dashes and other lengths are not.

#![expect(clippy::indexing_slicing, reason = "constant ranges inside arrays")]

/// The 32 digits of a text.
type Digits = [u8; 32];

/// Where the groups of a UUID's digits stand in its text and among the digits: text start, digit
/// start, length.
const UUID_GROUPS: [(usize, usize, usize); 5] =
    [(0, 0, 8), (9, 8, 4), (14, 12, 4), (19, 16, 4), (24, 20, 12)];

/// Where the dashes of a UUID's text stand.
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

/// Packs 32 lower-case hexadecimal digits; `None` if one of them is anything else.
#[inline]
pub(super) fn pack_digits(digits: &Digits) -> Option<[u8; 16]> {
    let valid = digits.iter().fold(true, |valid, &digit| {
        valid & ((digit.wrapping_sub(b'0') < 10) | (digit.wrapping_sub(b'a') < 6))
    });
    if !valid {
        return None;
    }
    let mut packed = [0u8; 16];
    for (bytes, digits) in packed.as_chunks_mut::<4>().0.iter_mut().zip(digits.as_chunks::<8>().0) {
        *bytes = pack_eight(u64::from_be_bytes(*digits)).to_be_bytes();
    }
    Some(packed)
}

/// The number that eight valid digits, the first in the highest byte, write.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is the number")]
#[inline]
fn pack_eight(digits: u64) -> u32 {
    // Letters have bit 6 and begin at 1.
    let letters = (digits >> 6) & 0x0101_0101_0101_0101;
    let nibbles = (digits & 0x0f0f_0f0f_0f0f_0f0f) + letters * 9;
    let bytes = (nibbles | (nibbles >> 4)) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | (bytes >> 8)) & 0x0000_ffff_0000_ffff;
    (pairs | (pairs >> 16)) as u32
}

/// The inverse of [`pack_eight`].
#[inline]
fn unpack_eight(number: u32) -> u64 {
    let number = u64::from(number);
    let pairs = (number | (number << 16)) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs | (pairs << 8)) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (bytes | (bytes << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    nibbles + 0x3030_3030_3030_3030 + letters * 39
}

/// The digits of 16 packed bytes, eight in a number, the first in the highest byte.
#[inline]
fn unpacked(packed: &[u8; 16]) -> [u64; 4] {
    let mut digits = [0u64; 4];
    for (digits, bytes) in digits.iter_mut().zip(packed.as_chunks::<4>().0) {
        *digits = unpack_eight(u32::from_be_bytes(*bytes));
    }
    digits
}

/// Whether `digits` are what [`pack_digits`] has packed.
#[inline]
pub(super) fn is_digits(packed: &[u8; 16], digits: &Digits) -> bool {
    let mut equal = true;
    for (unpacked, digits) in unpacked(packed).into_iter().zip(digits.as_chunks::<8>().0) {
        equal &= unpacked == u64::from_be_bytes(*digits);
    }
    equal
}

/// Whether `text` is what [`pack_uuid`] has packed.
///
/// The text is not put together to be compared: reading back small pieces that were just written
/// stalls the processor.
#[inline]
pub(super) fn is_uuid(packed: &[u8; 16], text: &[u8; 36]) -> bool {
    let [first, second, third, fourth] = unpacked(packed);
    let eight = |at: usize| u64::from_be_bytes(std::array::from_fn(|index| text[at + index]));
    let four =
        |at: usize| u64::from(u32::from_be_bytes(std::array::from_fn(|index| text[at + index])));
    let dashes = UUID_DASHES.iter().all(|&at| text[at] == b'-');
    dashes
        & (first == eight(0))
        & (second == (four(9) << 32 | four(14)))
        & (third == (four(19) << 32 | four(24)))
        & (fourth == eight(28))
}

/// The inverse of [`pack_digits`].
#[cfg(test)]
pub(super) fn unpack_digits(packed: &[u8; 16]) -> Digits {
    let mut digits = [0u8; 32];
    digits.as_chunks_mut::<8>().0.copy_from_slice(&unpacked(packed).map(u64::to_be_bytes));
    digits
}

/// Packs the canonical lower-case text of a UUID; `None` if it is anything else.
#[inline]
pub(super) fn pack_uuid(text: &[u8; 36]) -> Option<[u8; 16]> {
    if UUID_DASHES.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut digits = [0u8; 32];
    for (from, to, length) in UUID_GROUPS {
        digits[to..to + length].copy_from_slice(&text[from..from + length]);
    }
    pack_digits(&digits)
}

/// The inverse of [`pack_uuid`].
#[cfg(test)]
pub(super) fn unpack_uuid(packed: &[u8; 16]) -> [u8; 36] {
    let digits = unpack_digits(packed);
    let mut text = [b'-'; 36];
    for (to, from, length) in UUID_GROUPS {
        text[to..to + length].copy_from_slice(&digits[from..from + length]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_16_bytes_come_back(packed: [u8; 16]) {
            prop_assert_eq!(pack_digits(&unpack_digits(&packed)), Some(packed));
            prop_assert_eq!(pack_uuid(&unpack_uuid(&packed)), Some(packed));
            prop_assert!(is_digits(&packed, &unpack_digits(&packed)) && is_uuid(&packed, &unpack_uuid(&packed)));
        }

        #[test]
        fn what_is_packed_comes_back_as_it_was(packed: [u8; 16], at in 0usize..36, byte: u8) {
            let mut text = unpack_uuid(&packed);
            text[at] = byte;
            prop_assert_eq!(is_uuid(&packed, &text), text == unpack_uuid(&packed));
            if let Some(packed) = pack_uuid(&text) {
                prop_assert_eq!(unpack_uuid(&packed), text);
            }
            let mut digits = unpack_digits(&packed);
            digits[at % 32] = byte;
            prop_assert_eq!(is_digits(&packed, &digits), digits == unpack_digits(&packed));
            if let Some(packed) = pack_digits(&digits) {
                prop_assert_eq!(unpack_digits(&packed), digits);
            }
        }
    }

    #[test]
    fn each_byte_is_a_digit_or_refused() {
        for byte in 0..=u8::MAX {
            let mut digits = [b'0'; 32];
            digits[31] = byte;
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert_eq!(pack_digits(&digits).is_some(), is_digit, "byte {byte:#x}");
        }
    }

    #[test]
    fn only_the_canonical_uuid_is_packed() {
        let canonical = *b"0123abcd-4567-89ef-0123-456789abcdef";
        assert_eq!(
            pack_uuid(&canonical),
            Some([
                0x01, 0x23, 0xab, 0xcd, 0x45, 0x67, 0x89, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
                0xcd, 0xef
            ])
        );
        assert_eq!(pack_uuid(b"0123ABCD-4567-89ef-0123-456789abcdef"), None);
        assert_eq!(pack_uuid(b"0123abcd4-567-89ef-0123-456789abcdef"), None);
        assert_eq!(pack_uuid(b"0123abcd_4567_89ef_0123_456789abcdef"), None);
        assert_eq!(pack_uuid(b"{123abcd-4567-89ef-0123-456789abcde}"), None);
    }
}
