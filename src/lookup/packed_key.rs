//! The packed form of a record's key.
//!
//! A key is the RowBinary bytes of its columns. All columns but the last are the **prefix** (such as
//! a project id): most keys share one, so it is stored once and has an id. The last column is the
//! **tail**: a `String` of a lower-case UUID or of 32 lower-case hexadecimal digits is packed into
//! 16 bytes, anything else is stored as it is. The form is part of the head byte, so different keys
//! never have the same packed bytes.
//!
//! ```text
//! head byte                    bits 0-1: form of the tail, bit 2: deleted, bits 3-7: prefix id, or 31 if larger
//! [varint]                     prefix id - 31
//! 16 bytes | varint, bytes     the tail
//! ```
//!
//! Two keys are equal if and only if their unpacked bytes are: [`PackedKey::is`] compares all bytes.
//! Packing and comparing process eight digits at a time without branches. Only texts that unpack to
//! the same bytes are packed; upper case, other dashes and other lengths are not.

#![expect(clippy::indexing_slicing, reason = "constant ranges inside arrays")]

use super::dictionary::{ValueId, Values};
use crate::formats::varint;

/// The id of the empty prefix: the tail is the whole key.
pub(super) const NO_PREFIX: ValueId = 0;

/// The first prefix id that does not fit into the head byte.
const LONG_PREFIX: u64 = 31;
const PREFIX_SHIFT: u32 = 3;
const DELETED_BIT: u8 = 0b100;
const FORM_BITS: u8 = 0b011;

const FORM_PLAIN: u8 = 0;
const FORM_UUID: u8 = 1;
const FORM_DIGITS: u8 = 2;

/// The size of a UUID as a RowBinary `String`: its length byte and its text.
const UUID_COLUMN: usize = 37;
const UUID_LENGTH: u8 = 36;
/// The size of 32 digits as a RowBinary `String`.
const DIGITS_COLUMN: usize = 33;
const DIGITS_LENGTH: u8 = 32;

/// Prefixes by id.
pub(super) trait Prefixes {
    /// The bytes of a prefix.
    fn prefix(&self, id: ValueId) -> Option<&[u8]>;
}

impl Prefixes for Values {
    #[inline]
    fn prefix(&self, id: ValueId) -> Option<&[u8]> {
        self.get(id)
    }
}

/// The prefixes of a frozen map, contiguous in memory because every lookup reads one.
#[derive(Default)]
pub(super) struct FrozenPrefixes {
    bytes: Vec<u8>,
    ranges: Vec<(usize, usize)>,
}

impl FrozenPrefixes {
    /// Copies prefixes, with their ids.
    pub(super) fn new(values: &Values) -> Self {
        let mut prefixes = Self::default();
        for id in 0..values.len() {
            let start = prefixes.bytes.len();
            let value = ValueId::try_from(id).ok().and_then(|id| values.get(id));
            prefixes.bytes.extend_from_slice(value.unwrap_or_default());
            prefixes.ranges.push((start, prefixes.bytes.len()));
        }
        prefixes.bytes.shrink_to_fit();
        prefixes.ranges.shrink_to_fit();
        prefixes
    }

    /// The number of allocated bytes.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity() + self.ranges.capacity() * size_of::<(usize, usize)>()
    }
}

impl Prefixes for FrozenPrefixes {
    #[inline]
    fn prefix(&self, id: ValueId) -> Option<&[u8]> {
        let &(start, end) = self.ranges.get(id as usize)?;
        self.bytes.get(start..end)
    }
}

/// Appends the head and the key to a record.
#[inline]
pub(super) fn pack(prefix: ValueId, tail: &[u8], deleted: bool, out: &mut Vec<u8>) {
    let (form, packed) = pack_tail(tail);
    let prefix = u64::from(prefix);
    let deleted = if deleted { DELETED_BIT } else { 0 };
    out.push(form | deleted | ((prefix.min(LONG_PREFIX) as u8) << PREFIX_SHIFT));
    if prefix >= LONG_PREFIX {
        varint::write(prefix - LONG_PREFIX, out);
    }
    match packed {
        Some(packed) => out.extend_from_slice(&packed),
        None => varint::write_slice(tail, out),
    }
}

#[inline]
fn pack_tail(tail: &[u8]) -> (u8, Option<[u8; 16]>) {
    let (form, packed) = match tail.split_first() {
        Some((&UUID_LENGTH, text)) if tail.len() == UUID_COLUMN => {
            (FORM_UUID, text.try_into().ok().and_then(pack_uuid))
        }
        Some((&DIGITS_LENGTH, text)) if tail.len() == DIGITS_COLUMN => {
            (FORM_DIGITS, text.try_into().ok().and_then(pack_digits))
        }
        _ => (FORM_PLAIN, None),
    };
    (if packed.is_some() { form } else { FORM_PLAIN }, packed)
}

/// A packed key in a record.
pub(super) struct PackedKey<'a> {
    /// Whether the record is of a deleted row.
    pub(super) deleted: bool,
    /// The id of the key's prefix.
    pub(super) prefix: ValueId,
    tail: Tail<'a>,
    /// The rest of the record.
    pub(super) rest: &'a [u8],
}

enum Tail<'a> {
    Plain(&'a [u8]),
    Uuid(&'a [u8; 16]),
    Digits(&'a [u8; 16]),
}

impl<'a> PackedKey<'a> {
    /// Reads the key at the front of a record.
    #[inline]
    pub(super) fn read(record: &'a [u8]) -> Option<Self> {
        let (&head, mut rest) = record.split_first()?;
        let mut prefix = u64::from(head >> PREFIX_SHIFT);
        if prefix == LONG_PREFIX {
            prefix = prefix.checked_add(varint::take(&mut rest).ok()?)?;
        }
        let tail = match head & FORM_BITS {
            FORM_PLAIN => Tail::Plain(varint::take_slice(&mut rest).ok()?),
            FORM_UUID => Tail::Uuid(take_packed(&mut rest)?),
            FORM_DIGITS => Tail::Digits(take_packed(&mut rest)?),
            _ => return None,
        };
        Some(Self {
            deleted: head & DELETED_BIT != 0,
            prefix: ValueId::try_from(prefix).ok()?,
            tail,
            rest,
        })
    }

    /// What follows this key's prefix in `key`. `None` if `key` has another prefix.
    #[inline]
    pub(super) fn tail_of<'k>(&self, key: &'k [u8], prefixes: &impl Prefixes) -> Option<&'k [u8]> {
        if self.prefix == NO_PREFIX {
            return Some(key);
        }
        key.strip_prefix(prefixes.prefix(self.prefix)?)
    }

    /// Whether this is the packed form of `key`.
    #[inline]
    pub(super) fn is(&self, key: &[u8], prefixes: &impl Prefixes) -> bool {
        let Some(tail) = self.tail_of(key, prefixes) else {
            return false;
        };
        match &self.tail {
            Tail::Plain(bytes) => *bytes == tail,
            Tail::Uuid(packed) => match tail.split_first() {
                Some((&UUID_LENGTH, text)) => {
                    text.try_into().is_ok_and(|text| is_uuid(packed, text))
                }
                _ => false,
            },
            Tail::Digits(packed) => match tail.split_first() {
                Some((&DIGITS_LENGTH, text)) => {
                    text.try_into().is_ok_and(|text| is_digits(packed, text))
                }
                _ => false,
            },
        }
    }

    /// The bytes of this key in the record that it was read from.
    pub(super) fn bytes<'r>(&self, record: &'r [u8]) -> &'r [u8] {
        record.get(..record.len().saturating_sub(self.rest.len())).unwrap_or_default()
    }

    /// Appends the unpacked key.
    #[cfg(test)]
    pub(super) fn unpack(&self, prefixes: &Values, out: &mut Vec<u8>) {
        if self.prefix != NO_PREFIX
            && let Some(prefix) = prefixes.get(self.prefix)
        {
            out.extend_from_slice(prefix);
        }
        match &self.tail {
            Tail::Plain(bytes) => out.extend_from_slice(bytes),
            Tail::Uuid(packed) => {
                out.push(UUID_LENGTH);
                out.extend_from_slice(&unpack_uuid(packed));
            }
            Tail::Digits(packed) => {
                out.push(DIGITS_LENGTH);
                out.extend_from_slice(&unpack_digits(packed));
            }
        }
    }
}

#[inline]
fn take_packed<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8; 16]> {
    let (packed, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(packed)
}

/// The 32 digits of a text.
type Digits = [u8; 32];

/// The groups of a UUID's digits: start in the text, start in the digits, length.
const UUID_GROUPS: [(usize, usize, usize); 5] =
    [(0, 0, 8), (9, 8, 4), (14, 12, 4), (19, 16, 4), (24, 20, 12)];

/// The positions of the dashes in a UUID's text.
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

/// Packs 32 lower-case hexadecimal digits. `None` if any byte is not one.
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

/// The value of eight valid digits, the first in the highest byte.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is the number")]
#[inline]
fn pack_eight(digits: u64) -> u32 {
    // Letters have bit 6 set, and their lower bits start at 1.
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

/// The digits of 16 packed bytes, eight per number, the first in the highest byte.
#[inline]
fn unpacked(packed: &[u8; 16]) -> [u64; 4] {
    let mut digits = [0u64; 4];
    for (digits, bytes) in digits.iter_mut().zip(packed.as_chunks::<4>().0) {
        *digits = unpack_eight(u32::from_be_bytes(*bytes));
    }
    digits
}

/// Whether [`pack_digits`] packs `digits` into `packed`.
#[inline]
pub(super) fn is_digits(packed: &[u8; 16], digits: &Digits) -> bool {
    let mut equal = true;
    for (unpacked, digits) in unpacked(packed).into_iter().zip(digits.as_chunks::<8>().0) {
        equal &= unpacked == u64::from_be_bytes(*digits);
    }
    equal
}

/// Whether [`pack_uuid`] packs `text` into `packed`.
///
/// It does not assemble the text to compare it: reading back small writes stalls the processor.
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

/// Packs the canonical lower-case text of a UUID. `None` if `text` is not one.
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
    use proptest::prelude::*;

    use super::*;

    fn string(text: &[u8]) -> Vec<u8> {
        let mut column = Vec::new();
        varint::write_slice(text, &mut column);
        column
    }

    fn packed(tail: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        pack(NO_PREFIX, tail, false, &mut record);
        record
    }

    #[test]
    fn canonical_texts_take_17_bytes() {
        assert_eq!(packed(&string(b"0123abcd-4567-89ef-0123-456789abcdef")).len(), 17);
        assert_eq!(packed(&string(b"0123abcd456789ef0123456789abcdef")).len(), 17);
        assert_eq!(packed(&string(b"0123ABCD-4567-89ef-0123-456789abcdef")).len(), 39);
        assert_eq!(packed(&string(b"0123abcd45-67-89ef-0123-456789abcdef")).len(), 39);
    }

    #[test]
    fn similar_texts_stay_apart() {
        let texts: [&[u8]; 6] = [
            b"0123abcd-4567-89ef-0123-456789abcdef",
            b"0123abcd456789ef0123456789abcdef",
            b"0123ABCD-4567-89EF-0123-456789ABCDEF",
            b"0123ABCD456789EF0123456789ABCDEF",
            b"\x01\x23\xab\xcd\x45\x67\x89\xef\x01\x23\x45\x67\x89\xab\xcd\xef",
            b"",
        ];
        let prefixes = Values::default();
        for one in texts {
            let record = packed(&string(one));
            let key = PackedKey::read(&record).unwrap();
            for other in texts {
                assert_eq!(key.is(&string(other), &prefixes), one == other);
            }
        }
    }

    #[test]
    fn only_the_prefix_may_stand_before_the_tail() {
        let mut prefixes = Values::default();
        for prefix in [b"".as_slice(), b"\x03one", b"\x03two"] {
            prefixes.push(prefix).unwrap();
        }
        let tail = string(b"0123abcd456789ef0123456789abcdef");
        let mut record = Vec::new();
        pack(1, &tail, false, &mut record);
        let key = PackedKey::read(&record).unwrap();
        let frozen = FrozenPrefixes::new(&prefixes);
        for (before, expected) in [
            ("\x03one", true),
            ("\x03two", false),
            ("", false),
            ("\x03on", false),
            ("\x03one\x03one", false),
        ] {
            let whole = [before.as_bytes(), &tail].concat();
            assert_eq!(key.is(&whole, &prefixes), expected, "{before:?}");
            assert_eq!(key.is(&whole, &frozen), expected, "{before:?}");
        }
    }

    fn tails() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            any::<Vec<u8>>().prop_map(|text| string(&text)),
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
                .prop_map(|text| string(text.as_bytes())),
            "[0-9a-fA-F]{8}[-_][0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-fg]{12}"
                .prop_map(|text| string(text.as_bytes())),
            "[0-9a-f]{31,33}".prop_map(|text| string(text.as_bytes())),
            "[0-9a-fA-F]{32}".prop_map(|text| string(text.as_bytes())),
        ]
    }

    proptest! {
        #[test]
        fn keys_round_trip(prefix_number in 0u32..2_000, tail in tails(), deleted: bool, after: Vec<u8>) {
            let mut prefixes = Values::default();
            prefixes.push(b"").unwrap();
            for number in 1..=prefix_number {
                prefixes.push(&string(number.to_string().as_bytes())).unwrap();
            }
            let mut record = Vec::new();
            pack(prefix_number, &tail, deleted, &mut record);
            record.extend_from_slice(&after);

            let packed = PackedKey::read(&record).unwrap();
            prop_assert_eq!(packed.deleted, deleted);
            prop_assert_eq!(packed.rest, after.as_slice());
            let mut key = Vec::new();
            packed.unpack(&prefixes, &mut key);
            let expected = [prefixes.get(prefix_number).unwrap(), tail.as_slice()].concat();
            prop_assert_eq!(&key, &expected);
            prop_assert!(packed.is(&expected, &prefixes));
        }

        #[test]
        fn a_changed_key_is_another(tail in tails(), at: prop::sample::Index, byte: u8) {
            let prefixes = Values::default();
            let record = packed(&tail);
            let key = PackedKey::read(&record).unwrap();
            let mut other = tail.clone();
            if !other.is_empty() {
                let at = at.index(other.len());
                other[at] = byte;
            }
            prop_assert_eq!(key.is(&other, &prefixes), other == tail);
            other.push(byte);
            prop_assert!(!key.is(&other, &prefixes));
        }

        #[test]
        fn any_record_is_read_without_a_panic(record: Vec<u8>, key: Vec<u8>) {
            if let Some(packed) = PackedKey::read(&record) {
                packed.is(&key, &Values::default());
            }
        }
    }

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
