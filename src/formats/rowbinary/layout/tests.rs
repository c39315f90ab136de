//! Rows and their lengths, written out by hand, and random ones against the plain way.

use proptest::prelude::*;

use super::*;
use crate::formats::rowbinary::Frame;
use crate::formats::rowbinary::fuzzing::Random;
use crate::formats::rowbinary::strategies;

fn layout(type_names: &[&str], marked: usize) -> RowLayout {
    let columns: Vec<_> = type_names
        .iter()
        .enumerate()
        .map(|(index, name)| (format!("c{index}"), DataType::parse(name).unwrap()))
        .collect();
    RowLayout::new(&columns, marked).unwrap()
}

fn frame(type_names: &[&str], bytes: &[u8]) -> Frame {
    layout(type_names, 0).frame(bytes, &mut [])
}

#[test]
fn values_take_as_many_bytes_as_the_server_writes() {
    // Bytes that a server has written with `SELECT value FORMAT RowBinary`.
    for (type_name, bytes) in [
        ("Int256", &[7; 32][..]),
        ("BFloat16", b"\x80\x3f"),
        ("Decimal(9, 2)", b"\x64\0\0\0"),
        ("Decimal(19, 2)", &[7; 16]),
        ("Decimal(39, 2)", &[7; 32]),
        ("FixedString(3)", b"ab\0"),
        ("Date32", b"\x29\x51\0\0"),
        ("Time", b"\xc0\xa8\0\0"),
        ("Time64(3)", b"\0\x2e\x93\x02\0\0\0\0"),
        ("IntervalDay", b"\x03\0\0\0\0\0\0\0"),
        ("LowCardinality(Nullable(String))", b"\0\x03abc"),
        ("LowCardinality(Nullable(String))", b"\x01"),
        ("Nullable(Nothing)", b"\x01"),
        ("Array(Nothing)", b"\0"),
        ("Array(Nullable(Nothing))", b"\x01\x01"),
        ("Array(Tuple())", b"\x02"),
        ("Map(String, UInt8)", b"\x01\x01a\x01"),
        ("Tuple(UInt8, String)", b"\x01\x01a"),
        ("Point", &[7; 16]),
        ("MultiPolygon", b"\x01\x01\x01\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40"),
        ("Geometry", b"\x05\x01\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40"),
        ("Geometry", b"\x02\x01\x01\x01\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40"),
        ("Geometry", b"\x03\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40"),
        ("Variant(String, UInt64)", b"\x01\x01\0\0\0\0\0\0\0"),
        ("Variant(String, UInt64)", b"\0\x01x"),
        ("Variant(String, UInt64)", b"\xff"),
        ("QBit(BFloat16, 3)", b"\x03\x80\x3f\0\x40\x40\x40"),
        ("JSON", b"\x07{\"a\":1}"),
        ("Nullable(JSON)", b"\0\x02{}"),
        ("Nested(a UInt8, b String)", b"\x01\x01\x01a"),
        ("Nullable(Tuple(UInt8, UInt8))", b"\0\x01\x02"),
        ("Nullable(Tuple(UInt8, String))", b"\0\x01\x01a"),
    ] {
        // Another column follows, so that a length that is too short or too long is seen.
        let row = [bytes, b"\x02xy"].concat();
        assert_eq!(frame(&[type_name, "String"], &row), Frame::Complete(row.len()), "{type_name}");
        for end in 0..row.len() {
            let cut = frame(&[type_name, "String"], &row[..end]);
            assert!(
                matches!(cut, Frame::Incomplete { at_least } if at_least > end && at_least <= row.len()),
                "{type_name} {cut:?}"
            );
        }
    }
}

#[test]
fn adjacent_columns_of_fixed_width_are_one_step() {
    let layout =
        layout(&["UInt8", "Tuple(Date, Tuple())", "UUID", "String", "UInt8", "Float64"], 0);
    assert_eq!(*layout.steps, [Step::Fixed(19), Step::String, Step::Fixed(9)]);
}

#[test]
fn columns_after_a_jump_are_not_merged_into_what_is_jumped_over() {
    assert_eq!(
        frame(&["Nullable(Tuple(String, UInt8))", "UInt16"], b"\x01\x07\x07"),
        Frame::Complete(3)
    );
    assert_eq!(
        frame(&["Variant(Tuple(String, UInt8), UInt8)", "UInt16"], b"\xff\x07\x07"),
        Frame::Complete(3)
    );
    assert_eq!(
        frame(&["Array(Tuple(String, UInt8))", "UInt16"], b"\0\x07\x07"),
        Frame::Complete(3)
    );
}

#[test]
fn the_ends_of_marked_columns_are_found() {
    let layout = layout(&["UInt8", "Nullable(String)", "UInt16", "UInt32"], 3);
    let mut ends = [0; 3];
    assert_eq!(
        layout.frame(b"\x01\0\x02ab\x03\x03\x04\x04\x04\x04", &mut ends),
        Frame::Complete(11)
    );
    assert_eq!(ends, [1, 5, 7]);
    assert_eq!(layout.frame(b"\x01\x01\x03\x03\x04\x04\x04\x04", &mut ends), Frame::Complete(8));
    assert_eq!(ends, [1, 2, 4]);
}

#[test]
fn elements_without_bytes_take_no_time() {
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(frame(&["Array(Tuple())"], huge), Frame::Complete(huge.len()));
    assert_eq!(frame(&["Map(Tuple(), Nothing)"], huge), Frame::Complete(huge.len()));
    assert_eq!(frame(&["Nested(a Tuple(), b Tuple(Tuple()))"], huge), Frame::Complete(huge.len()));
}

#[test]
fn declared_lengths_beyond_all_memory_are_incomplete() {
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    for type_name in [
        "String",
        "Array(UInt8)",
        "Array(Int256)",
        "Array(String)",
        "Map(String, String)",
        "QBit(Float32, 2)",
    ] {
        assert_eq!(
            frame(&[type_name], huge),
            Frame::Incomplete { at_least: usize::MAX },
            "{type_name}"
        );
    }
}

#[test]
fn an_array_says_early_how_long_it_is_at_least() {
    assert_eq!(
        frame(&["Array(Tuple(String, UInt64))"], b"\x64"),
        Frame::Incomplete { at_least: 1 + 100 * 9 }
    );
}

#[test]
fn what_cannot_be_names_its_column() {
    for (types, bytes, message) in [
        (
            ["UInt8", "Nullable(UInt8)"],
            &b"\x07\x02"[..],
            "column `c1`: the flag of a Nullable is 2, neither 0 nor 1",
        ),
        (
            ["Nullable(Array(String))", "UInt8"],
            b"\xff",
            "column `c0`: the flag of a Nullable is 255, neither 0 nor 1",
        ),
        (
            ["String", "Array(Nullable(String))"],
            b"\0\x02\x01\x03",
            "column `c1`: the flag of a Nullable is 3, neither 0 nor 1",
        ),
        (
            ["String", "Variant(String, UInt8)"],
            b"\0\x02",
            "column `c1`: the discriminator of a Variant is 2, but it has 2 types",
        ),
        (
            ["UInt8", "String"],
            b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            "column `c1`: a length does not fit into 64 bits",
        ),
        (
            ["UInt8", "String"],
            b"\0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
            "column `c1`: a length does not fit into 64 bits",
        ),
    ] {
        match layout(&types, 1).frame(bytes, &mut [0]) {
            Frame::Malformed(malformed) => assert_eq!(malformed.to_string(), message),
            other => panic!("{types:?}: {other:?}"),
        }
    }
}

#[test]
fn rows_without_bytes_and_too_many_marks_are_refused() {
    let column = |name: &str| ("c".to_owned(), DataType::parse(name).unwrap());
    assert_eq!(RowLayout::new(&[], 0).unwrap_err(), LayoutError::NoBytes);
    assert_eq!(
        RowLayout::new(&[column("Tuple()"), column("Nothing")], 0).unwrap_err(),
        LayoutError::NoBytes
    );
    assert!(RowLayout::new(&[column("Tuple()"), column("UInt8")], 2).is_ok());
    assert_eq!(
        RowLayout::new(&[column("UInt8")], 2).unwrap_err(),
        LayoutError::TooManyMarked { marked: 2, columns: 1 }
    );
}

proptest! {
    #[test]
    fn random_rows_have_the_length_they_were_written_with(
        columns in strategies::columns(),
        marked in 0_usize..6,
        seed: u64,
    ) {
        let marked = marked.min(columns.len());
        let mut random = Random(seed);
        let mut row = Vec::new();
        let mut expected = Vec::new();
        for (_, data_type) in &columns {
            strategies::write_value(data_type, &mut random, &mut row);
            expected.push(row.len());
        }
        let length = row.len();
        row.extend([0; 20]);
        let mut ends = vec![0; marked];
        let layout = RowLayout::new(&columns, marked).unwrap();
        prop_assert_eq!(layout.frame(&row, &mut ends), Frame::Complete(length));
        prop_assert_eq!(&ends[..], &expected[..marked]);
    }
}
