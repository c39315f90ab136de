//! What a shard keeps of a row.
//!
//! ```text
//! while loading    key, deleted flag (packed_key) │ varint: version │ tokens (attributes), none if deleted
//! when frozen      key │ tokens
//! ```
//! The version is the difference to the first version that the map saw, with its sign in the lowest
//! bit.

use super::attributes;
use super::packed_key::{self, PackedKey};
use super::values::{ValueAddresses, ValueId};
use super::varint;

/// A record, taken apart.
pub(super) struct Stored<'a> {
    pub(super) key: PackedKey<'a>,
    pub(super) version: u64,
    /// The tokens of the attributes, none if the row is deleted.
    pub(super) tokens: &'a [u8],
    /// Bytes of the whole record.
    pub(super) length: usize,
}

impl<'a> Stored<'a> {
    /// Reads the record at the front of `bytes`; `base` is the first version that the map saw.
    pub(super) fn read(bytes: &'a [u8], base: u64) -> Option<Self> {
        let key = PackedKey::read(bytes)?;
        let mut rest = key.rest;
        let version = base.wrapping_add_signed(varint::unfold_sign(varint::read(&mut rest)?));
        let token_bytes = if key.deleted { 0 } else { attributes::encoded_length(rest)? };
        let tokens = rest.get(..token_bytes)?;
        Some(Self { version, tokens, length: bytes.len() - rest.len() + token_bytes, key })
    }
}

/// Appends all of a record but its tokens.
#[inline]
pub(super) fn write_head(
    prefix: ValueId,
    tail: &[u8],
    deleted: bool,
    version: u64,
    base: u64,
    out: &mut Vec<u8>,
) {
    packed_key::pack(prefix, tail, deleted, out);
    varint::write(varint::fold_sign(version.wrapping_sub(base).cast_signed()), out);
}

/// Appends the frozen form of a record: its key and tokens. False for a deleted row.
pub(super) fn freeze(
    bytes: &[u8],
    base: u64,
    addresses: &ValueAddresses,
    out: &mut Vec<u8>,
) -> Option<bool> {
    let stored = Stored::read(bytes, base)?;
    if stored.key.deleted {
        return Some(false);
    }
    out.extend_from_slice(stored.key.bytes(bytes));
    attributes::rewrite(stored.tokens, |id| addresses.get(id), out)?;
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back(version: u64, base: u64, deleted: bool, key: Vec<u8>, after: Vec<u8>) {
            let mut bytes = Vec::new();
            write_head(packed_key::NO_PREFIX, &key, deleted, version, base, &mut bytes);
            if !deleted {
                bytes.extend_from_slice(&[4, 7, 8, 0]);
            }
            let length = bytes.len();
            bytes.extend_from_slice(&after);
            let stored = Stored::read(&bytes, base).unwrap();
            prop_assert_eq!((stored.version, stored.key.deleted, stored.length), (version, deleted, length));
            prop_assert_eq!(stored.tokens.len(), if deleted { 0 } else { 4 });
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, base: u64) {
            let _ = Stored::read(&bytes, base);
        }
    }

    #[test]
    fn versions_of_one_month_in_milliseconds_take_five_bytes() {
        let mut bytes = Vec::new();
        let base = 1_750_000_000_000;
        write_head(packed_key::NO_PREFIX, &[], false, base - 31 * 86_400_000, base, &mut bytes);
        assert_eq!(bytes.len(), 2 + 5);
    }
}
