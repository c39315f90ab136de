//! The bodies of fuzz targets: properties that hold for any bytes. The targets in `fuzz/` and the
//! tests that replay the corpus call them; they panic if a property does not hold. Not part of the
//! crate's interface.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "code for tests, which panics on failure"
)]

use std::sync::Arc;

use super::{DataType, Field, Frame, FramingError, RowFramer, RowGroup, RowLayout};

/// Column types for rows: at least one for each kind of framing, and nested ones.
pub(crate) const TYPES: [&str; 32] = [
    "UInt8",
    "Int256",
    "FixedString(3)",
    "String",
    "JSON",
    "Tuple()",
    "Tuple(UInt8, DateTime64(3))",
    "Tuple(a String, b UInt16)",
    "Nullable(String)",
    "Nullable(UInt64)",
    "Nullable(Nothing)",
    "LowCardinality(Nullable(String))",
    "Nullable(Tuple(String, UInt8))",
    "Array(UInt8)",
    "Array(Tuple())",
    "Array(Nothing)",
    "Array(String)",
    "Array(FixedString(16777215))",
    "Array(Array(String))",
    "Array(Nullable(UInt16))",
    "Array(Array(Tuple()))",
    "Array(Tuple(a Array(String), b Nullable(Array(UInt8))))",
    "Map(String, UInt64)",
    "Map(UInt8, UInt16)",
    "Map(LowCardinality(String), Array(Nullable(String)))",
    "Nested(a String, b Array(Tuple(c UInt8, d String)))",
    "Variant(String, UInt64)",
    "Variant(Array(Variant(Date, String)), Tuple(), Tuple(UInt8, String), UInt8)",
    "Geometry",
    "QBit(Float32, 4)",
    "Array(Map(String, Nullable(Variant(String, UInt8))))",
    "SimpleAggregateFunction(any, Nullable(String))",
];

/// Parsing never panics, and the canonical name of a parsed type is a name of the same type.
pub fn type_name(data: &[u8]) {
    let name = String::from_utf8_lossy(data);
    match DataType::parse(&name) {
        Ok(data_type) => {
            let canonical = data_type.to_string();
            let again = DataType::parse(&canonical).expect("the canonical name is a type's");
            assert_eq!(again, data_type, "{canonical}");
            assert_eq!(again.to_string(), canonical);
            if let Some(width) = data_type.fixed_width() {
                assert_eq!(data_type.minimum_width(), width, "{canonical}");
            } else {
                assert!(data_type.minimum_width() > 0, "{canonical}");
            }
            _ = RowLayout::new(&[("column".to_owned(), data_type)], 1);
        }
        Err(error) => {
            assert!(error.offset() <= name.len(), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Framing any bytes in one piece, in several pieces and by the recursive [`Reference`] gives the
/// same result.
///
/// The first bytes choose the number of columns, their types, the number of marked columns, the
/// row limit, and how the rest is cut.
pub fn row_framing(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut choose = |below: usize| usize::from(bytes.next().unwrap_or(0)) % below;
    let names: Vec<_> = (0..=choose(8)).filter_map(|_| TYPES.get(choose(TYPES.len()))).collect();
    let marked = choose(names.len() + 1);
    let max_row_bytes = [1 << 20, 4096, 64, 7][choose(4)];
    let mut random = Random(choose(256) as u64);
    let data: Vec<u8> = bytes.collect();

    let columns: Vec<_> = names
        .iter()
        .map(|name| {
            ((**name).to_owned(), DataType::parse(name).expect("the names above are types'"))
        })
        .collect();
    let Ok(layout) = RowLayout::new(&columns, marked) else {
        return;
    };
    agrees_with_reference(&columns, &layout, &data);

    let layout = Arc::new(layout);
    let whole = Outcome::of(&layout, max_row_bytes, [&data[..]]);
    let longest_piece = [1, 3, 40, 5000][random.below(4)];
    let pieces = cut(&data, || 1 + random.below(longest_piece));
    assert_eq!(Outcome::of(&layout, max_row_bytes, pieces), whole, "{names:?}");
}

/// The result of framing a stream: its rows and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// For each row, the bytes of each marked column, and the payload.
    pub rows: Vec<(Vec<Vec<u8>>, Vec<u8>)>,
    /// The first error, of a push or of the end.
    pub end: Result<(), FramingError>,
}

impl Outcome {
    /// Frames a stream that arrives in the given pieces.
    pub(crate) fn of<'a>(
        layout: &Arc<RowLayout>,
        max_row_bytes: usize,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let mut framer = RowFramer::new(Arc::clone(layout), max_row_bytes);
        let mut rows = Vec::new();
        let mut on_rows = |group: RowGroup<'_>| {
            assert_eq!(
                group.iter().map(|row| row.bytes().len()).sum::<usize>(),
                group.bytes().len()
            );
            for row in group {
                let marked: Vec<_> =
                    (0..layout.marked()).map(|index| row.marked_column(index).to_vec()).collect();
                assert_eq!(marked.concat(), row.marked_columns());
                assert_eq!([row.marked_columns(), row.payload()].concat(), row.bytes());
                rows.push((marked, row.payload().to_vec()));
            }
            Ok(())
        };
        let pushed = pieces.into_iter().try_for_each(|piece| framer.push(piece, &mut on_rows));
        let end = pushed.and_then(|()| framer.finish());
        let bytes: usize =
            rows.iter().map(|(marked, payload)| marked.concat().len() + payload.len()).sum();
        assert_eq!((framer.rows(), framer.bytes()), (rows.len() as u64, bytes as u64));
        Self { rows, end }
    }
}

/// Cuts bytes into pieces of the sizes that `next_size` returns.
pub(crate) fn cut(mut bytes: &[u8], mut next_size: impl FnMut() -> usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(next_size().clamp(1, bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Compares the layout with the reference on the first row.
fn agrees_with_reference(columns: &[(String, DataType)], layout: &RowLayout, data: &[u8]) {
    let fields: Vec<_> = columns
        .iter()
        .map(|(_, data_type)| Field { name: None, data_type: data_type.clone() })
        .collect();
    let reference = Reference::of(&DataType::Tuple(fields), data);
    match layout.frame(data, &mut []) {
        Frame::Complete(length) => assert_eq!(reference, Reference::Complete(length)),
        Frame::Incomplete { at_least } => {
            assert!(at_least > data.len());
            // The reference may find a malformed element where the layout still waits for all
            // elements.
            assert!(!matches!(reference, Reference::Complete(_)), "{reference:?}");
        }
        Frame::Malformed(malformed) => {
            assert_eq!(reference, Reference::Malformed, "{malformed}");
            assert!(columns.iter().any(|(name, _)| *name == malformed.column));
        }
    }
}

/// A random number generator ([SplitMix64](https://prng.di.unimi.it/splitmix64.c)): the seed
/// determines the case.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub u64);

impl Random {
    /// A number below `limit`, which must not be 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// A decoder to compare the framer with: it recurses over the type, from the beginning, and shares
/// no code with the framer, not even the decoder of varints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A value of this many bytes.
    Complete(usize),
    /// The beginning of a value.
    Incomplete,
    /// Bytes that no value begins with.
    Malformed,
}

/// The bytes after a value, or why there is no value.
type After<'a> = Result<&'a [u8], Reference>;

impl Reference {
    /// Frames one value.
    #[must_use]
    pub(crate) fn of(data_type: &DataType, bytes: &[u8]) -> Self {
        match skip(data_type, bytes) {
            Ok(rest) => Self::Complete(bytes.len() - rest.len()),
            Err(failure) => failure,
        }
    }
}

fn skip<'a>(data_type: &DataType, bytes: &'a [u8]) -> After<'a> {
    match data_type {
        DataType::String | DataType::Json(_) => {
            let (length, rest) = number(bytes)?;
            skip_bytes(rest, length)
        }
        DataType::Nullable(inner) => match first(bytes)? {
            (0, rest) => skip(inner, rest),
            (1, rest) => Ok(rest),
            _ => Err(Reference::Malformed),
        },
        DataType::LowCardinality(inner)
        | DataType::SimpleAggregateFunction { value: inner, .. } => skip(inner, bytes),
        DataType::Array(element) | DataType::QBit { element, .. } => {
            skip_elements(bytes, |bytes| skip(element, bytes))
        }
        DataType::Map(key, value) => skip_elements(bytes, |bytes| skip(value, skip(key, bytes)?)),
        DataType::Nested(fields) => skip_elements(bytes, |bytes| skip_fields(fields, bytes)),
        DataType::Tuple(fields) => skip_fields(fields, bytes),
        DataType::Variant(types) => match first(bytes)? {
            (255, rest) if types.len() <= 255 => Ok(rest),
            (index, rest) => skip(types.get(usize::from(index)).ok_or(Reference::Malformed)?, rest),
        },
        DataType::Geo(geo) => skip(&geo.structure(), bytes),
        fixed => skip_bytes(bytes, fixed.fixed_width().ok_or(Reference::Malformed)?),
    }
}

fn skip_fields<'a>(fields: &[Field], bytes: &'a [u8]) -> After<'a> {
    fields.iter().try_fold(bytes, |bytes, field| skip(&field.data_type, bytes))
}

fn skip_elements<'a>(bytes: &'a [u8], element: impl Fn(&'a [u8]) -> After<'a>) -> After<'a> {
    let (elements, mut rest) = number(bytes)?;
    for _ in 0..elements {
        let after = element(rest)?;
        if after.len() == rest.len() {
            // An element without bytes: the other elements have none either.
            break;
        }
        rest = after;
    }
    Ok(rest)
}

fn skip_bytes(bytes: &[u8], count: u64) -> After<'_> {
    usize::try_from(count).ok().and_then(|count| bytes.get(count..)).ok_or(Reference::Incomplete)
}

fn first(bytes: &[u8]) -> Result<(u8, &[u8]), Reference> {
    bytes.split_first().map(|(first, rest)| (*first, rest)).ok_or(Reference::Incomplete)
}

fn number(mut bytes: &[u8]) -> Result<(u64, &[u8]), Reference> {
    let mut number = 0_u128;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = first(bytes)?;
        bytes = rest;
        number |= u128::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return u64::try_from(number)
                .map(|number| (number, bytes))
                .map_err(|_| Reference::Malformed);
        }
    }
    Err(Reference::Malformed)
}

// What the fuzzer would make up, in ordinary tests.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn random_bytes_are_framed_alike(data in prop::collection::vec(prop_oneof![0_u8..6, any::<u8>()], 0..300)) {
            row_framing(&data);
        }

        #[test]
        fn random_bytes_are_no_trouble_as_type_names(data: Vec<u8>) {
            type_name(&data);
        }

        #[test]
        fn random_words_are_no_trouble_as_type_names(words in prop::collection::vec(prop::sample::select(WORDS), 0..30)) {
            type_name(words.concat().as_bytes());
        }
    }

    /// What type names are made of.
    const WORDS: &[&str] = &[
        "Array",
        "Tuple",
        "Map",
        "Nullable",
        "Variant",
        "Nested",
        "String",
        "UInt8",
        "Enum8",
        "JSON",
        "Decimal",
        "DateTime64",
        "SimpleAggregateFunction",
        "AggregateFunction",
        "QBit",
        "FixedString",
        "(",
        "(",
        "(",
        ")",
        ")",
        ")",
        ",",
        ", ",
        " ",
        "\n",
        "=",
        "-",
        "1",
        "300",
        "99999999999999999999",
        "'a'",
        "'",
        "\\",
        "`b c`",
        "`",
        "\"",
        "name",
        "é",
        "max(1)",
        ".",
    ];
}
