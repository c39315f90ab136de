//! Deferred look-ups: the lookup rows of given keys, inside the window or not.
//!
//! The keys are part of the statement, as the bytes that the source query sent, and compared as
//! such: that is exact for every type, and needs no right but to read the table, which a table
//! function would. Scanning the key columns costs the server the same for a hundred keys as for
//! fifty thousand, so batches should be large. Where a column of the key has few different values
//! in the batch, it is compared by itself as well, which the primary index and bloom filters can
//! use.

use std::collections::BTreeSet;

use super::lookup::{self, lookup_settings, newest_rows};
use super::source::LookupTimes;
use crate::clickhouse::{Settings, quote_identifier, quote_literal, quote_literal_bytes};
use crate::formats::rowbinary::DataType;
use crate::formats::varint;
use crate::job::bound::{BoundJob, BoundKey, BoundLookup};

/// More different values than this are of no use to an index: nearly every granule would have one,
/// or seem to.
const INDEXED_VALUES: usize = 1000;

/// A key without NULLs, as the source query sends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyBytes<'a> {
    /// Its columns in RowBinary, one after the other.
    pub bytes: &'a [u8],
    /// Where each of them ends.
    pub ends: &'a [usize],
}

impl<'a> KeyBytes<'a> {
    fn column(&self, position: usize) -> Option<&'a [u8]> {
        let start = match position.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(position)?)
    }
}

/// The newest rows of these keys, in the window or outside of it, as the join would find them;
/// nothing for a key whose row is deleted. Framed as [`BoundLookup::deferred_layout`] says.
pub(crate) fn deferred_lookup(
    lookup: &BoundLookup,
    window: LookupTimes,
    keys: &[KeyBytes<'_>],
) -> String {
    let hints = lookup.keys.iter().enumerate().filter_map(|(position, key)| {
        let values = few_values(keys, position)?;
        indexed(lookup, key, &values)
    });
    let list: Vec<_> = keys.iter().map(|key| quote_literal_bytes(key.bytes).to_string()).collect();
    let exact = format!("{} IN [{}]", lookup::key_bytes(lookup::keys(lookup)), list.join(", "));
    newest_rows(lookup, window, &hints.chain([exact]).collect::<Vec<_>>().join("\n    AND "))
}

/// A key, for people.
pub(crate) fn named_key(lookup: &BoundLookup, key: KeyBytes<'_>) -> String {
    let named = lookup.keys.iter().enumerate().map(|(position, column)| {
        let value = key.column(position).unwrap_or_default();
        // What is not NULL has a zero in front.
        let value = if column.nullable { value.get(1..).unwrap_or_default() } else { value };
        format!("{} = {}", column.lookup, shown(&column.type_name, value))
    });
    named.collect::<Vec<_>>().join(" and ")
}

/// A value in RowBinary: a text, a number of at most 128 bits, or its bytes.
fn shown(type_name: &str, value: &[u8]) -> String {
    let number =
        |value: &[u8]| value.iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte));
    let parsed = DataType::parse(type_name).ok();
    match parsed.as_ref().map(|parsed| parsed.strip_low_cardinality().strip_nullable()) {
        Some(DataType::String) => quote_literal_bytes(text(value)).to_string(),
        Some(&DataType::Integer { signed, bits: bits @ 8..=128 }) => {
            let (number, unused) = (number(value), 128 - u32::from(bits));
            if signed {
                (number.cast_signed() << unused >> unused).to_string()
            } else {
                number.to_string()
            }
        }
        _ => format!("{} in RowBinary", quote_literal_bytes(value)),
    }
}

/// The settings of the deferred look-up, for a statement of this size in bytes.
pub(crate) fn deferred_lookup_settings(job: &BoundJob, statement_bytes: usize) -> Settings {
    let limit = statement_bytes.saturating_add(1024).to_string();
    lookup_settings(job).with("max_query_size", &limit)
}

/// The different values that a column of the key has, unless there are too many.
fn few_values<'a>(keys: &[KeyBytes<'a>], position: usize) -> Option<BTreeSet<&'a [u8]>> {
    let mut values = BTreeSet::new();
    for key in keys {
        values.insert(key.column(position)?);
        if values.len() > INDEXED_VALUES {
            return None;
        }
    }
    Some(values)
}

/// The predicate that a column of the lookup has one of these values, where a literal can be made
/// of them without knowing more of the type than that it is a text or a number.
fn indexed(lookup: &BoundLookup, key: &BoundKey, values: &BTreeSet<&[u8]>) -> Option<String> {
    let plain = |type_name: &str| {
        DataType::parse(type_name)
            .ok()
            .map(|parsed| parsed.strip_low_cardinality().strip_nullable().clone())
    };
    let data_type = plain(&key.type_name)?;
    if plain(&lookup.table.column(&key.lookup)?.type_name)? != data_type {
        return None;
    }
    let literals = |of: fn(&[u8]) -> &[u8]| {
        let literal = |value: &&[u8]| {
            // What is not NULL has a zero in front.
            let value = if key.nullable { value.get(1..)? } else { value };
            Some(quote_literal_bytes(of(value)).to_string())
        };
        values.iter().map(literal).collect::<Option<Vec<_>>>().map(|list| list.join(", "))
    };
    let column = quote_identifier(&key.lookup);
    match &data_type {
        DataType::String => Some(format!("{column} IN [{}]", literals(text)?)),
        DataType::Integer { .. } | DataType::Uuid => {
            let type_name = quote_literal(&data_type.to_string());
            Some(format!(
                "{column} IN (arrayMap(value -> reinterpret(value, {type_name}), [{}]))",
                literals(|bytes| bytes)?
            ))
        }
        _ => None,
    }
}

/// The bytes of a string, without the length in front of it.
fn text(value: &[u8]) -> &[u8] {
    let length = varint::decode(value).map_or(value.len(), |(_, length)| length);
    value.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_write_them() {
        assert_eq!(shown("UInt64", &[3, 1, 0, 0, 0, 0, 0, 0]), "259");
        assert_eq!(shown("Nullable(Int16)", &[0xFE, 0xFF]), "-2");
        assert_eq!(shown("LowCardinality(String)", b"\x02it"), "'it'");
        assert_eq!(shown("Date", b"ab"), "'ab' in RowBinary");
    }

    #[test]
    fn columns_of_a_key_and_texts() {
        let keys = [&b"\x01a\x02bc"[..], b"\x01a\x00", b"\x00\x01c"];
        let ends = [[2, 5], [2, 3], [1, 3]];
        let keys: Vec<_> =
            keys.iter().zip(&ends).map(|(bytes, ends)| KeyBytes { bytes, ends }).collect();
        let values = |position| {
            few_values(&keys, position).unwrap().into_iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(values(0), [&b""[..], b"a"]);
        assert_eq!(values(1), [&b""[..], b"c", b"bc"]);
        assert_eq!(few_values(&keys, 2), None);
        let long = [&[0x80, 0x01][..], &[b'x'; 128]].concat();
        assert_eq!(text(&long), [b'x'; 128]);
    }
}
