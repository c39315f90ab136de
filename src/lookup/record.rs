//! What a shard stores for a row: its key, version and attributes.
//!
//! ```text
//! while loading    key and deleted flag (packed_key) │ varint: version │ attribute tokens, none if deleted
//! when frozen      key │ attribute tokens
//! ```
//! The version is stored as the zigzag difference to the first version of the map. Attribute tokens
//! are
//!
//! ```text
//! varint 2 n, n bytes   n > 0 bytes in place: one or more short columns
//! varint 2 n + 1        the value with id n (while loading) or address n (when frozen)
//! 0                     the end
//! ```
//!
//! Columns only determine where a value begins and ends. Decoding yields the bytes of all columns,
//! exactly as they were given.

use super::LookupError;
use super::dictionary::{Dictionary, ValueAddresses, ValueId};
use super::packed_key::{self, PackedKey};
use crate::formats::varint;

/// A decoded record.
pub(super) struct Stored<'a> {
    pub(super) key: PackedKey<'a>,
    pub(super) version: u64,
    /// The attribute tokens, empty if the row is deleted.
    pub(super) tokens: &'a [u8],
    /// The length of the record.
    pub(super) length: usize,
}

impl<'a> Stored<'a> {
    /// Reads the record at the front of `bytes`. `base` is the first version of the map.
    pub(super) fn read(bytes: &'a [u8], base: u64) -> Option<Self> {
        let key = PackedKey::read(bytes)?;
        let mut rest = key.rest;
        let version = base.wrapping_add_signed(varint::unzigzag(varint::take(&mut rest).ok()?));
        let token_bytes = if key.deleted { 0 } else { encoded_length(rest)? };
        let tokens = rest.get(..token_bytes)?;
        Some(Self { version, tokens, length: bytes.len() - rest.len() + token_bytes, key })
    }
}

/// Appends the part of a record before its tokens.
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
    varint::write(varint::zigzag(version.wrapping_sub(base).cast_signed()), out);
}

/// Appends the frozen form of a record. Returns `false`, and appends nothing, for a deleted row.
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
    rewrite(stored.tokens, |id| addresses.get(id), out)?;
    Some(true)
}

/// The token that ends a list of tokens.
const END: u8 = 0;

/// Columns up to this size are never looked up in the dictionary: that would cost more than storing
/// them in place.
pub(super) const INLINE_BYTES: usize = 8;

/// A token of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Bytes in place.
    Inline(&'a [u8]),
    /// The id or address of a value.
    Stored(u64),
}

/// A column that is looked up in the dictionary.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueColumn<'a> {
    /// The index of the column.
    column: usize,
    /// Where it begins in the attributes.
    start: usize,
    pub(super) bytes: &'a [u8],
}

/// What is known about a value before it is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hint {
    /// Its hash.
    pub(super) hash: u64,
    /// The id that it probably has.
    pub(super) guess: Option<ValueId>,
}

/// The columns to look up in the dictionary.
#[inline]
pub(super) fn value_columns<'a>(
    attributes: &'a [u8],
    ends: &'a [usize],
) -> impl Iterator<Item = ValueColumn<'a>> {
    let mut start = 0;
    ends.iter().enumerate().filter_map(move |(column, &end)| {
        let bytes = attributes.get(start..end).unwrap_or_default();
        let value = ValueColumn { column, start, bytes };
        start = end;
        (bytes.len() > INLINE_BYTES).then_some(value)
    })
}

/// Appends the tokens of all columns to a record. Each stored value gains a user.
///
/// `hints` belong to the [`value_columns`].
#[inline]
pub(super) fn encode(
    attributes: &[u8],
    ends: &[usize],
    hints: &[Hint],
    dictionary: &mut Dictionary,
    out: &mut Vec<u8>,
) -> Result<(), LookupError> {
    let mut written = 0;
    for (value, hint) in value_columns(attributes, ends).zip(hints) {
        if let Some(id) = dictionary.intern(hint.hash, hint.guess, value.bytes, value.column)? {
            write_inline(attributes.get(written..value.start).unwrap_or_default(), out);
            write_stored(u64::from(id), out);
            written = value.start + value.bytes.len();
        }
    }
    write_inline(attributes.get(written..).unwrap_or_default(), out);
    write_end(out);
    Ok(())
}

#[inline]
fn write_inline(bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        varint::write((bytes.len() as u64) << 1, out);
        out.extend_from_slice(bytes);
    }
}

#[inline]
fn write_stored(value: u64, out: &mut Vec<u8>) {
    varint::write((value << 1) | 1, out);
}

#[inline]
fn write_end(out: &mut Vec<u8>) {
    out.push(END);
}

/// An iterator over tokens. It stops at malformed bytes; [`Tokens::is_complete`] tells.
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
    complete: bool,
}

impl<'a> Tokens<'a> {
    /// The tokens at the front of `bytes`.
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, complete: false }
    }

    /// Whether the iterator has reached the end of the tokens.
    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The bytes after the tokens read so far.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    #[inline]
    fn next(&mut self) -> Option<Token<'a>> {
        let head = varint::take(&mut self.rest).ok()?;
        if head & 1 == 1 {
            return Some(Token::Stored(head >> 1));
        }
        if head == u64::from(END) {
            self.complete = true;
            return None;
        }
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(head >> 1).ok()?)?;
        self.rest = rest;
        Some(Token::Inline(bytes))
    }
}

/// Appends the bytes of all tokens. Returns `None`, and appends nothing, if the tokens are malformed
/// or a value is missing.
#[inline]
pub(super) fn decode<'v>(
    tokens: &[u8],
    value: impl Fn(u64) -> Option<&'v [u8]>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let start = out.len();
    let mut tokens = Tokens::new(tokens);
    for token in &mut tokens {
        match token {
            Token::Inline(bytes) => out.extend_from_slice(bytes),
            Token::Stored(id) => {
                let Some(bytes) = value(id) else {
                    out.truncate(start);
                    return None;
                };
                out.extend_from_slice(bytes);
            }
        }
    }
    if tokens.is_complete() {
        return Some(());
    }
    out.truncate(start);
    None
}

/// The number of bytes that [`decode`] would append.
pub(super) fn decoded_length<'v>(
    tokens: &[u8],
    value: impl Fn(u64) -> Option<&'v [u8]>,
) -> Option<usize> {
    let mut length = 0;
    let mut tokens = Tokens::new(tokens);
    for token in &mut tokens {
        length += match token {
            Token::Inline(bytes) => bytes.len(),
            Token::Stored(id) => value(id)?.len(),
        };
    }
    tokens.is_complete().then_some(length)
}

/// Appends the tokens with every id mapped by `address`.
pub(super) fn rewrite(
    tokens: &[u8],
    address: impl Fn(u64) -> Option<u64>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut tokens = Tokens::new(tokens);
    for token in &mut tokens {
        match token {
            Token::Inline(bytes) => write_inline(bytes, out),
            Token::Stored(id) => write_stored(address(id)?, out),
        }
    }
    write_end(out);
    tokens.is_complete().then_some(())
}

/// The length of the tokens at the front of `bytes`.
pub(super) fn encoded_length(bytes: &[u8]) -> Option<usize> {
    let mut tokens = Tokens::new(bytes);
    tokens.by_ref().for_each(drop);
    tokens.is_complete().then(|| bytes.len() - tokens.rest().len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    fn record(attributes: &[u8], ends: &[usize], dictionary: &mut Dictionary) -> Vec<u8> {
        let hints: Vec<_> = value_columns(attributes, ends)
            .map(|value| Hint { hash: dictionary.hash(value.bytes), guess: None })
            .collect();
        let mut record = Vec::new();
        encode(attributes, ends, &hints, dictionary, &mut record).unwrap();
        record
    }

    proptest! {
        #[test]
        fn columns_come_back(
            rows in prop::collection::vec(
                prop::collection::vec(
                    prop_oneof![prop::collection::vec(0u8..2, 0..3), prop::collection::vec(0u8..2, 6..20)], 4),
                1..20),
            limit in 0usize..6,
        ) {
            let mut dictionary = Dictionary::with_limit(4, limit);
            let mut records = Vec::new();
            for row in &rows {
                let attributes = row.concat();
                let mut end = 0;
                let ends: Vec<_> = row.iter().map(|column| { end += column.len(); end }).collect();
                let record = record(&attributes, &ends, &mut dictionary);
                records.push((attributes, record));
            }
            let value = |id| dictionary.value(id);
            for (attributes, mut record) in records {
                let length = record.len();
                record.extend_from_slice(b"after");
                let mut bytes = b"before".to_vec();
                prop_assert_eq!(decode(&record, value, &mut bytes), Some(()));
                prop_assert_eq!(&bytes[6..], attributes.as_slice());
                prop_assert_eq!(decoded_length(&record, value), Some(attributes.len()));
                prop_assert_eq!(encoded_length(&record), Some(length));
                let mut rewritten = Vec::new();
                prop_assert_eq!(rewrite(&record, |id| Some(id + 1000), &mut rewritten), Some(()));
                bytes.clear();
                prop_assert_eq!(decode(&rewritten, |id| value(id - 1000), &mut bytes), Some(()));
                prop_assert_eq!(&bytes, &attributes);
            }
        }

        #[test]
        fn any_tokens_are_read_without_a_panic(tokens: Vec<u8>) {
            let mut out = b"before".to_vec();
            encoded_length(&tokens);
            if decode(&tokens, |_| None, &mut out).is_none() {
                prop_assert_eq!(out, b"before");
            }
        }
    }

    #[test]
    fn short_columns_share_one_token() {
        let mut dictionary = Dictionary::with_limit(4, usize::MAX);
        let long = [7u8; 40];
        let attributes = [&[1, 0, 2], long.as_slice(), &[5, 6]].concat();
        let tokens = record(&attributes, &[1, 3, 43, 45], &mut dictionary);
        assert_eq!(tokens, [6, 1, 0, 2, 1, 4, 5, 6, 0]);
    }
}
