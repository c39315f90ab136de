//! A record's key, in fewer bytes than it came with.
//!
//! A key is the RowBinary bytes of its columns, one after the other. All columns but the last are
//! the **prefix** (a project id), which few keys do not share, and which gets a number. The last
//! column is the **tail**: a String that is the text of a lower-case UUID, or of 32 lower-case
//! hexadecimal digits, takes 16 bytes; anything else is kept as it is. The form is a part of the
//! head byte, so that different texts never have the same packed bytes.
//!
//! ```text
//! head byte                    bits 0-1: form of the tail, bit 2: deleted, bits 3-7: prefix number, 31 = see below
//! [varint]                     prefix number - 31
//! 16 bytes | varint, bytes     the tail
//! ```
//!
//! Two keys are the same if and only if their unpacked bytes are: [`PackedKey::is`] compares all of
//! them.

use super::hex_text;
use super::values::{ValueId, Values};
use super::varint;

/// The prefix number of the empty prefix: the tail is the whole key.
pub(super) const NO_PREFIX: ValueId = 0;

/// Prefix numbers from here on do not fit the head byte.
const LONG_PREFIX: u64 = 31;
const PREFIX_SHIFT: u32 = 3;
const DELETED_BIT: u8 = 0b100;
const FORM_BITS: u8 = 0b011;

const FORM_PLAIN: u8 = 0;
const FORM_UUID: u8 = 1;
const FORM_DIGITS: u8 = 2;

/// A RowBinary String of a UUID's text: its length and the text.
const UUID_COLUMN: usize = 37;
const UUID_LENGTH: u8 = 36;
/// A RowBinary String of 32 digits.
const DIGITS_COLUMN: usize = 33;
const DIGITS_LENGTH: u8 = 32;

/// The prefixes by number.
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

/// The prefixes of a map that no longer changes: few, small, and looked at by every lookup.
#[derive(Default)]
pub(super) struct FrozenPrefixes {
    bytes: Vec<u8>,
    ranges: Vec<(usize, usize)>,
}

impl FrozenPrefixes {
    /// The same prefixes under the same numbers.
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

    /// Bytes that the allocator gave.
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
            (FORM_UUID, text.try_into().ok().and_then(hex_text::pack_uuid))
        }
        Some((&DIGITS_LENGTH, text)) if tail.len() == DIGITS_COLUMN => {
            (FORM_DIGITS, text.try_into().ok().and_then(hex_text::pack_digits))
        }
        _ => (FORM_PLAIN, None),
    };
    (if packed.is_some() { form } else { FORM_PLAIN }, packed)
}

/// A packed key in a record.
pub(super) struct PackedKey<'a> {
    /// Whether the record says that the row was deleted.
    pub(super) deleted: bool,
    /// The number of the key's prefix.
    pub(super) prefix: ValueId,
    tail: Tail<'a>,
    /// What follows the key in the record.
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
            prefix += varint::read(&mut rest)?;
        }
        let tail = match head & FORM_BITS {
            FORM_PLAIN => Tail::Plain(varint::read_slice(&mut rest)?),
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

    /// What follows this key's prefix in `key`; `None` if `key` does not begin with it.
    #[inline]
    pub(super) fn tail_of<'k>(&self, key: &'k [u8], prefixes: &impl Prefixes) -> Option<&'k [u8]> {
        if self.prefix == NO_PREFIX {
            return Some(key);
        }
        key.strip_prefix(prefixes.prefix(self.prefix)?)
    }

    /// Whether this is `key`, byte for byte.
    #[inline]
    pub(super) fn is(&self, key: &[u8], prefixes: &impl Prefixes) -> bool {
        let Some(tail) = self.tail_of(key, prefixes) else {
            return false;
        };
        match &self.tail {
            Tail::Plain(bytes) => *bytes == tail,
            Tail::Uuid(packed) => match tail.split_first() {
                Some((&UUID_LENGTH, text)) => {
                    text.try_into().is_ok_and(|text| hex_text::is_uuid(packed, text))
                }
                _ => false,
            },
            Tail::Digits(packed) => match tail.split_first() {
                Some((&DIGITS_LENGTH, text)) => {
                    text.try_into().is_ok_and(|text| hex_text::is_digits(packed, text))
                }
                _ => false,
            },
        }
    }

    /// The packed form, taken from the front of the record that was read.
    pub(super) fn bytes<'r>(&self, record: &'r [u8]) -> &'r [u8] {
        record.get(..record.len().saturating_sub(self.rest.len())).unwrap_or_default()
    }

    /// Appends the key as it was given.
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
                out.extend_from_slice(&hex_text::unpack_uuid(packed));
            }
            Tail::Digits(packed) => {
                out.push(DIGITS_LENGTH);
                out.extend_from_slice(&hex_text::unpack_digits(packed));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        fn keys_come_back(prefix_number in 0u32..2_000, tail in tails(), deleted: bool, after: Vec<u8>) {
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
}
