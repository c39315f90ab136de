//! Type names that the server prints, and what is wrong with others.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::formats::rowbinary::strategies;

/// Names that are written back as they are.
const CANONICAL: &[&str] = &[
    "UInt8",
    "UInt256",
    "Int128",
    "BFloat16",
    "Float32",
    "Float64",
    "Bool",
    "Decimal(9, 2)",
    "Decimal(76, 0)",
    "String",
    "FixedString(16777215)",
    "UUID",
    "IPv4",
    "IPv6",
    "Date",
    "Date32",
    "DateTime",
    "DateTime('Asia/Istanbul')",
    "DateTime64(0)",
    "DateTime64(3, 'UTC')",
    "Time",
    "Time64(9)",
    "IntervalNanosecond",
    "IntervalQuarter",
    "Nothing",
    "Nullable(Nothing)",
    "Enum8('a' = -128, 'b' = 127)",
    r#"Enum16('a\'b' = 1, 'x\\' = 2, 'nl\nx' = -4, 'é,)(' = 1000, '"`' = 9)"#,
    "Tuple()",
    "Array(Tuple())",
    "Tuple(UInt8, String)",
    "Tuple(a UInt8, `b c` String, `d\\`e` UInt8, `1` Date)",
    "Tuple(Array UInt8, Nullable String)",
    "Nested(a UInt8, `b.c` Array(String))",
    "Map(LowCardinality(String), Array(Nullable(UInt8)))",
    "LowCardinality(Nullable(FixedString(3)))",
    "JSON",
    "Nullable(JSON)",
    "JSON(max_dynamic_paths=10, `a.b` UInt32, `x y.z` Array(Tuple(q UInt8)), SKIP q.r, SKIP REGEXP 'a.*\\'(')",
    "JSON(a Enum8('x)' = 1))",
    "SimpleAggregateFunction(sum, UInt64)",
    "SimpleAggregateFunction(groupArrayArray(3), Array(UInt8))",
    "Variant(Array(UInt8), DateTime64(3, 'UTC'), Decimal(18, 3), Decimal(9, 3), Enum8('z' = 1), LowCardinality(String), Tuple(UInt8), Tuple(a UInt8), UInt64)",
    "QBit(BFloat16, 1536)",
    "Point",
    "Ring",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "Geometry",
];

#[test]
fn the_servers_names_are_written_back_as_they_are() {
    for name in CANONICAL {
        assert_eq!(
            DataType::parse(name).map(|data_type| data_type.to_string()).as_deref(),
            Ok(*name)
        );
    }
}

#[test]
fn other_spellings_become_the_servers() {
    for (name, canonical) in [
        (
            "  Tuple (\n    a UInt8,\n    `b` Array( String )\n)\t",
            "Tuple(a UInt8, `b` Array(String))",
        ),
        ("Decimal(5)", "Decimal(5, 0)"),
        ("Decimal32(3)", "Decimal(9, 3)"),
        ("Decimal64(3)", "Decimal(18, 3)"),
        ("Decimal128(3)", "Decimal(38, 3)"),
        ("Decimal256(3)", "Decimal(76, 3)"),
        ("DateTime64", "DateTime64(3)"),
        ("Time64", "Time64(3)"),
        ("Enum8('a'=1)", "Enum8('a' = 1)"),
        ("JSON()", "JSON"),
        ("JSON(\n    a.b UInt32,\n    SKIP  c\n)", "JSON(a.b UInt32, SKIP c)"),
        ("Variant(UInt8, String, Array(UInt8), String)", "Variant(Array(UInt8), String, UInt8)"),
        (
            "SimpleAggregateFunction( max , Nullable(Date))",
            "SimpleAggregateFunction(max, Nullable(Date))",
        ),
    ] {
        assert_eq!(
            DataType::parse(name).map(|data_type| data_type.to_string()).as_deref(),
            Ok(canonical),
            "{name}"
        );
    }
}

#[test]
fn errors_say_where_and_what() {
    for (name, message) in [
        ("", "type ``, byte 0: expected a type, found the end"),
        ("Foo", "type `Foo`, byte 0: unknown type `Foo`"),
        ("Array(Foo(1))", "type `Array(Foo(1))`, byte 6: unknown type `Foo`"),
        ("Array(UInt8", "type `Array(UInt8`, byte 11: expected `)`, found the end"),
        ("UInt8)", "type `UInt8)`, byte 5: expected the end, found `)`"),
        ("Array", "type `Array`, byte 5: expected `(`, found the end"),
        ("Map(String)", "type `Map(String)`, byte 10: expected `,`, found `)`"),
        ("Tuple(a UInt8 b)", "type `Tuple(a UInt8 b)`, byte 14: expected `)`, found `b`"),
        ("Tuple(é UInt8)", "type `Tuple(é UInt8)`, byte 6: expected a type or a name, found `é`"),
        ("Tuple(`a UInt8)", "type `Tuple(`a UInt8)`, byte 6: the quote is not closed"),
        ("Variant()", "type `Variant()`, byte 8: expected a type, found `)`"),
        (
            "FixedString(0)",
            "type `FixedString(0)`, byte 12: the length must be between 1 and 16777215",
        ),
        (
            "FixedString(99999999999999999999)",
            "type `FixedString(99999999999999999999)`, byte 12: the length must be between 1 and 16777215",
        ),
        ("Decimal(9, 10)", "type `Decimal(9, 10)`, byte 11: the scale must be between 0 and 9"),
        ("DateTime64(10)", "type `DateTime64(10)`, byte 11: the precision must be between 0 and 9"),
        (
            "Enum8('a' = 128)",
            "type `Enum8('a' = 128)`, byte 12: the number of the name must be between -128 and 127",
        ),
        ("Enum8('a)", "type `Enum8('a)`, byte 6: the quote is not closed"),
        (
            "JSON(a Array(UInt8)",
            "type `JSON(a Array(UInt8)`, byte 4: the parenthesis is not closed",
        ),
        ("JSON(a Array(UInt8", "type `JSON(a Array(UInt8`, byte 12: the parenthesis is not closed"),
        (
            "AggregateFunction(sum, UInt64)",
            "type `AggregateFunction(sum, UInt64)`, byte 0: values of type `AggregateFunction` cannot be framed in RowBinary",
        ),
        (
            "Tuple(a Dynamic(max_types=3))",
            "type `Tuple(a Dynamic(max_types=3))`, byte 8: values of type `Dynamic` cannot be framed in RowBinary",
        ),
        (
            "Object('json')",
            "type `Object('json')`, byte 0: values of type `Object` cannot be framed in RowBinary",
        ),
    ] {
        assert_eq!(
            DataType::parse(name).map_err(|error| error.to_string()),
            Err(message.to_owned()),
            "{name}"
        );
    }
}

#[test]
fn nesting_is_limited() {
    let nested =
        |levels: usize| format!("{}UInt8{}", "Array(".repeat(levels - 1), ")".repeat(levels - 1));
    assert!(DataType::parse(&nested(MAX_NESTING)).is_ok());
    let error = DataType::parse(&nested(MAX_NESTING + 1)).unwrap_err();
    assert_eq!(*error.kind(), TypeNameErrorKind::TooDeep);
    assert_eq!(error.offset(), MAX_NESTING * "Array(".len());
}

#[test]
fn long_names_take_linear_time_and_give_short_messages() {
    const REPETITIONS: usize = 200_000;
    let started = Instant::now();
    for (start, repeated) in [
        ("", "Array("),
        ("", " "),
        ("JSON(", "("),
        ("JSON(", "a "),
        ("JSON(", ")"),
        ("Tuple(", "a UInt8,"),
        ("Tuple(", "`"),
        ("Enum16(", "'a' = 1, "),
        ("Enum8('", "\\"),
        ("Enum8('", "''"),
        ("SimpleAggregateFunction(", "f("),
        ("Nested(", "a Tuple(b Variant(UInt8, String)), "),
        ("UInt8", "8"),
        ("FixedString(", "1"),
    ] {
        let name = format!("{start}{}", repeated.repeat(REPETITIONS));
        let message = DataType::parse(&name).unwrap_err().to_string();
        assert!(message.len() < 1000, "{message}");
    }
    // It takes half a second without optimization; quadratic time would be hours.
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
}

#[test]
fn a_variant_has_at_most_255_types() {
    let variant = |types: usize| {
        let types: Vec<_> = (1..=types).map(|length| format!("FixedString({length})")).collect();
        DataType::parse(&format!("Variant({})", types.join(", ")))
    };
    assert!(variant(255).is_ok());
    assert!(matches!(variant(256).unwrap_err().kind(), TypeNameErrorKind::OutOfRange { .. }));
}

proptest! {
    #[test]
    fn names_round_trip(data_type in strategies::data_type()) {
        let name = data_type.to_string();
        prop_assert_eq!(DataType::parse(&name), Ok(data_type.clone()));
        let lines = name.replace('(', "(\n    ").replace(", ", ",\n    ");
        // Breaking lines inside quotes would change the texts there.
        if !name.contains(['\'', '`']) {
            prop_assert_eq!(DataType::parse(&lines), Ok(data_type));
        }
    }
}
