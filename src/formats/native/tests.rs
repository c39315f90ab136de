use std::sync::Arc;

use proptest::prelude::*;

use super::block::UnsupportedNative;
use super::column::UnsupportedReason;
use super::read::MalformedRowKind;
use super::reference::{block, value, write_row_binary};
use super::*;
use crate::formats::rowbinary::fuzzing::Random;
use crate::formats::rowbinary::{DataType, Frame, MalformedKind, RowLayout};

pub(super) fn columns(types: &[&str]) -> Vec<(String, DataType)> {
    types
        .iter()
        .enumerate()
        .map(|(index, name)| (format!("c{index}"), DataType::parse(name).unwrap()))
        .collect()
}

fn builder(columns: &[(String, DataType)]) -> BlockBuilder {
    BlockBuilder::new(Arc::new(NativeLayout::new(columns).unwrap()))
}

/// Blocks of columns of these types, from rows that are given with their parts.
fn build(types: &[&str], rows: &[[&[u8]; 2]]) -> Vec<u8> {
    let mut builder = builder(&columns(types));
    for parts in rows {
        builder.append(*parts).unwrap();
    }
    assert_eq!(builder.rows(), rows.len() as u64);
    builder.finish().unwrap().concat()
}

#[test]
fn a_block_has_the_bytes_that_the_format_says() {
    assert_eq!(
        build(&["UInt16", "String"], &[[b"\x01\x02\x02ab", b""], [b"\x03\x04", b"\x00"]]),
        b"\x02\x02\x02c0\x06UInt16\x01\x02\x03\x04\x02c1\x06String\x02ab\x00"
    );
    let block = build(&["Nullable(UInt8)"], &[[b"\x00\x07", b""], [b"", b"\x01"]]);
    assert_eq!(block, b"\x01\x02\x02c0\x0fNullable(UInt8)\x00\x01\x07\x00");
    let block =
        build(&["Array(UInt8)"], &[[b"\x02\x07\x08", b""], [b"\x00", b""], [b"\x01\x09", b""]]);
    assert_eq!(block, b"\x01\x03\x02c0\x0cArray(UInt8)\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x07\x08\x09");
    // Two tuples without bytes, and the flag, the different values and the numbers of a
    // LowCardinality.
    let block = build(&["Tuple()", "LowCardinality(String)"], &[[b"\x02ab", b""], [b"\x00", b""]]);
    let end =
        b"\x02c1\x16LowCardinality(String)\x01\0\0\0\0\0\0\0\x00\x06\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x00\x02ab\x02\0\0\0\0\0\0\0\x01\x00";
    assert_eq!(block, [&b"\x02\x02\x02c0\x07Tuple()00"[..], end].concat());
}

#[test]
fn no_rows_are_no_block() {
    let mut builder = builder(&columns(&["LowCardinality(String)", "UInt8"]));
    for _ in 0..2 {
        assert!(builder.is_empty());
        assert!(builder.finish().unwrap().is_empty());
    }
}

#[test]
fn what_a_block_cannot_hold_is_refused_by_name() {
    for (name, reason) in [
        ("QBit(Float32, 8)", UnsupportedReason::AnotherForm("QBit(Float32, 8)".into())),
        ("Array(QBit(Float32, 8))", UnsupportedReason::AnotherForm("QBit(Float32, 8)".into())),
        (
            "Map(String, Array(Tuple()))",
            UnsupportedReason::ElementsWithoutBytes("Array(Tuple())".into()),
        ),
        ("Nullable(FixedString(257))", UnsupportedReason::WideNull { bytes: 257 }),
    ] {
        let error = NativeLayout::new(&columns(&["UInt8", name])).unwrap_err();
        assert_eq!(
            error,
            UnsupportedNative { column: "c1".into(), type_name: name.into(), reason }
        );
        assert!(
            error.to_string().starts_with(&format!("column `c1` of type {name} cannot be sent")),
            "{error}"
        );
    }
}

#[test]
fn a_row_that_is_not_whole_spoils_the_block() {
    let columns =
        columns(&["UInt16", "Nullable(String)", "Variant(String, UInt8)", "Array(UInt32)"]);
    let whole = b"\x01\x02\x00\x01a\x01\x07\x01abcd";
    let kind = |parts: [&[u8]; 2], column: &str, kind: MalformedRowKind| {
        let mut builder = builder(&columns);
        builder.append([whole, b""]).unwrap();
        let error = builder.append(parts).unwrap_err();
        assert_eq!(error, MalformedRow { column: column.into(), kind });
        assert_eq!(builder.append([whole, b""]), Err(error.clone()));
        assert_eq!(builder.finish(), Err(error));
        assert_eq!(builder.rows(), 1);
    };
    for end in 0..whole.len() {
        let column = ["c0", "c0", "c1", "c1", "c1", "c2", "c2", "c3", "c3", "c3", "c3", "c3"][end];
        kind([&whole[..end], b""], column, MalformedRowKind::TooShort);
    }
    // Parts end where columns do.
    kind([&whole[..1], &whole[1..]], "c0", MalformedRowKind::TooShort);
    kind([whole, b"xy"], "c3", MalformedRowKind::TooLong(2));
    kind([b"\x01\x02\x02", b""], "c1", MalformedKind::NullFlag(2).into());
    kind(
        [b"\x01\x02\x01\x02", b""],
        "c2",
        MalformedKind::Discriminator { found: 2, types: 2 }.into(),
    );
    kind(
        [b"\x01\x02\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", b""],
        "c1",
        MalformedKind::VarUintTooLong.into(),
    );
    kind(
        [b"\x01\x02\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b""],
        "c3",
        MalformedRowKind::TooShort,
    );
}

#[test]
fn large_columns_are_handed_over_in_pieces() {
    let mut builder = builder(&columns(&["String", "UInt64", "String"]));
    let long = [b"\xff\xff\x03".to_vec(), vec![7; 65_535]].concat();
    for _ in 0..2 {
        let mut expected =
            [b"\x03\x64\x02c0\x06String".to_vec(), Vec::new(), b"\x02c2\x06String".to_vec()];
        expected[1].extend(b"\x02c1\x06UInt64");
        for row in 0..100_u64 {
            let number = row.to_le_bytes();
            builder.append([&[&long[..], &number].concat(), b"\x00"]).unwrap();
            expected[0].extend(&long);
            expected[1].extend(number);
            expected[2].push(0);
        }
        let pieces = builder.finish().unwrap();
        assert!(
            pieces.len() < 20 && pieces.iter().all(|piece| piece.len() <= 1 << 20),
            "{}",
            pieces.len()
        );
        assert!(pieces.concat() == expected.concat());
    }
}

const LEAVES: &[&str] = &[
    "UInt8",
    "Int16",
    "Decimal(9, 2)",
    "DateTime64(3)",
    "UUID",
    "Int256",
    "FixedString(5)",
    "String",
    "JSON",
    "Bool",
    "Enum8('a' = -1, 'b' = 2)",
    "LowCardinality(String)",
    "LowCardinality(Nullable(String))",
    "LowCardinality(FixedString(1))",
    "LowCardinality(Nullable(UInt16))",
    "Nullable(Nothing)",
    "SimpleAggregateFunction(anyLast, Nullable(String))",
    "Point",
    "Ring",
    "Geometry",
    "Tuple()",
];

/// Random types, nested up to five deep.
fn data_type() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(LEAVES).prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|inner| format!("Array({inner})")),
            inner.clone().prop_map(|inner| format!("Nullable({inner})")),
            (inner.clone(), inner).prop_map(|(key, value)| format!("Map({key}, {value})")),
            some.clone().prop_map(|types| format!("Tuple({})", types.join(", "))),
            some.clone().prop_map(|types| format!("Nested(a {})", types.join(", b "))),
            some.prop_map(|types| format!("Variant({})", types.join(", "))),
        ]
    })
}

pub(super) fn supported() -> impl Strategy<Value = Vec<(String, DataType)>> {
    prop::collection::vec(data_type(), 1..6)
        .prop_map(|types| columns(&types.iter().map(String::as_str).collect::<Vec<_>>()))
        .prop_filter("blocks can hold the columns", |columns| {
            NativeLayout::new(columns).is_ok() && RowLayout::new(columns, 0).is_ok()
        })
}

proptest! {
    #[test]
    fn blocks_are_those_of_the_reference(columns in supported(), seed: u64, sizes in prop::collection::vec(0_usize..60, 1..4)) {
        let mut random = Random(seed);
        let mut builder = builder(&columns);
        for rows in sizes {
            let rows: Vec<Vec<_>> = (0..rows).map(|_| columns.iter().map(|(_, data_type)| value(data_type, &mut random)).collect()).collect();
            for row in &rows {
                let (mut parts, first) = ([Vec::new(), Vec::new()], random.below(columns.len() + 1));
                for (index, ((_, data_type), value)) in columns.iter().zip(row).enumerate() {
                    write_row_binary(data_type, value, &mut parts[usize::from(index >= first)]);
                }
                builder.append([&parts[0], &parts[1]]).unwrap();
            }
            let built = builder.finish().unwrap().concat();
            let expected = if rows.is_empty() { Vec::new() } else { block(&columns, &rows) };
            prop_assert!(built == expected, "{:?}\n{:?}\n{:?}", columns, built, expected);
        }
    }

    #[test]
    fn what_is_a_row_and_what_is_not_is_as_for_framing(
        columns in supported(), seed: u64, wrong: u8, at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()
    ) {
        let mut row = Vec::new();
        let mut random = Random(seed);
        for (_, data_type) in &columns {
            write_row_binary(data_type, &value(data_type, &mut random), &mut row);
        }
        *at.get_mut(&mut row) = wrong;
        let layout = RowLayout::new(&columns, 0).unwrap();
        for end in [row.len(), cut.index(row.len())] {
            let bytes = &row[..end];
            let is_row = layout.frame(bytes, &mut []) == Frame::Complete(end);
            let mut builder = builder(&columns);
            prop_assert_eq!(builder.append([bytes, &[]]).is_ok(), is_row);
            prop_assert_eq!(builder.append([bytes, &[]]).is_ok(), is_row);
            prop_assert_eq!(builder.finish().is_ok(), is_row);
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(columns in supported(), first: Vec<u8>, second: Vec<u8>) {
        let mut builder = builder(&columns);
        let is_row = builder.append([&first, &second]).is_ok();
        prop_assert_eq!(builder.finish().is_ok(), is_row);
    }
}

#[test]
fn many_different_values_get_wider_numbers() {
    let columns = columns(&["LowCardinality(UInt32)", "LowCardinality(Nullable(String))"]);
    let mut builder = builder(&columns);
    for limit in [250_u32, 260, 70_000] {
        let mut expected_columns = [Vec::new(), Vec::new()];
        for number in (0..limit).chain([3, 1, 2]) {
            let text = number.to_string();
            let row = [
                &number.to_le_bytes()[..],
                &[0, u8::try_from(text.len()).unwrap()],
                text.as_bytes(),
            ]
            .concat();
            builder.append([&row, b""]).unwrap();
            expected_columns[0].push(number);
            expected_columns[1].push(number + 2);
        }
        let bytes = match limit {
            250 => 1,
            260 => 2,
            _ => 4,
        };
        let block = builder.finish().unwrap().concat();
        let numbers = |column: usize| {
            expected_columns[column]
                .iter()
                .flat_map(|number| number.to_le_bytes()[..bytes].to_vec())
                .collect::<Vec<_>>()
        };
        assert!(block.ends_with(&numbers(1)), "{limit}");
        // The default of a number is 0, which is the first value here.
        let first = numbers(0);
        assert!(block.windows(first.len()).any(|window| window == first), "{limit}");
    }
}
