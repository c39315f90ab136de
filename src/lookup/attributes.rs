//! A record's attributes, as tokens.
//!
//! ```text
//! varint 2 n, n bytes   n > 0 bytes that stand here: short columns, one or several in a row
//! varint 2 n + 1        the value with number (while loading) or address (when frozen) n
//! 0                     the end
//! ```
//!
//! Columns matter only for where a value begins and ends. What comes back is all of them one after
//! the other, exactly as they were given.

use super::LookupError;
use super::dictionary::Dictionary;
use super::values::ValueId;
use super::varint;

/// The end of the tokens.
const END: u8 = 0;

/// Columns up to this many bytes are never looked for among the values: that would cost more than
/// they take.
pub(super) const INLINE_BYTES: usize = 8;

/// One token of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Bytes as they are.
    Inline(&'a [u8]),
    /// The number or address of a value.
    Stored(u64),
}

/// A column that is looked for among the values.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueColumn<'a> {
    /// The number of the column in the row.
    column: usize,
    /// Where it begins among the attributes.
    start: usize,
    pub(super) bytes: &'a [u8],
}

/// What is known of a value before it is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hint {
    /// Its hash.
    pub(super) hash: u64,
    /// The number that it may have.
    pub(super) guess: Option<ValueId>,
}

/// The columns that are looked for among the values.
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

/// Appends the tokens of all columns to a record; each stored value gets one more user.
///
/// `hints` are those of the [`value_columns`].
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

/// Tokens up to their end; what cannot be read ends them without [`Tokens::is_complete`].
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

    /// Whether the end was reached.
    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// What follows the tokens that were read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    #[inline]
    fn next(&mut self) -> Option<Token<'a>> {
        let head = varint::read(&mut self.rest)?;
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

/// Appends the bytes of all tokens; `None`, and nothing appended, if they do not fit the values.
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

/// How many bytes [`decode`] would append.
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

/// Appends the tokens with every number replaced by what `address` makes of it.
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

/// How many bytes the tokens at the front of `bytes` take.
pub(super) fn encoded_length(bytes: &[u8]) -> Option<usize> {
    let mut tokens = Tokens::new(bytes);
    tokens.by_ref().for_each(drop);
    tokens.is_complete().then(|| bytes.len() - tokens.rest().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
