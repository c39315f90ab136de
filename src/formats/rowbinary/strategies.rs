//! Random types and random values of them, for tests.

use proptest::prelude::*;

use super::fuzzing::Random;
use super::{DataType, Field};
use crate::formats::varint;

const LEAVES: &[&str] = &[
    "UInt8",
    "Int16",
    "UInt32",
    "Int64",
    "UInt128",
    "Int256",
    "BFloat16",
    "Float32",
    "Float64",
    "Bool",
    "Decimal(9, 2)",
    "Decimal(18, 12)",
    "Decimal(38, 0)",
    "Decimal(76, 76)",
    "String",
    "FixedString(5)",
    "UUID",
    "IPv4",
    "IPv6",
    "Date",
    "Date32",
    "DateTime",
    "DateTime('Europe/Berlin')",
    "DateTime64(3)",
    "DateTime64(9, 'UTC')",
    "Time",
    "Time64(6)",
    "IntervalWeek",
    "Enum8('a' = -1, 'it\\'s (b), `c`' = 2)",
    "Enum16('' = 300, '\\\\' = 301)",
    "JSON",
    "JSON(max_dynamic_paths=4, a.b UInt8, SKIP c)",
    "LowCardinality(Nullable(String))",
    "Nullable(Nothing)",
    "SimpleAggregateFunction(groupArrayArray(3), Array(UInt8))",
    "Point",
    "Ring",
    "MultiPolygon",
    "Geometry",
    "QBit(Float64, 3)",
    "Tuple()",
];

/// Random types, nested up to five deep.
pub(super) fn data_type() -> impl Strategy<Value = DataType> {
    let leaf = prop::sample::select(LEAVES).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|inner| format!("Array({inner})")),
            inner.clone().prop_map(|inner| format!("Nullable({inner})")),
            (inner.clone(), inner).prop_map(|(key, value)| format!("Map({key}, {value})")),
            some.clone().prop_map(|types| format!("Tuple({})", types.join(", "))),
            some.clone().prop_map(|types| format!("Tuple(a {})", types.join(", `b, ``c` "))),
            some.clone().prop_map(|types| format!("Nested(Array {})", types.join(", Tuple "))),
            some.prop_map(|types| format!("Variant({})", types.join(", "))),
        ]
    })
    .prop_map(|name| DataType::parse(&name).unwrap())
}

/// Columns of random types that take bytes.
pub(super) fn columns() -> impl Strategy<Value = Vec<(String, DataType)>> {
    prop::collection::vec(data_type(), 1..6)
        .prop_filter("rows take bytes", |types| {
            types.iter().any(|data_type| data_type.minimum_width() > 0)
        })
        .prop_map(|types| {
            types
                .into_iter()
                .enumerate()
                .map(|(index, data_type)| (format!("c{index}"), data_type))
                .collect()
        })
}

/// Appends a random value of the type.
pub(super) fn write_value(data_type: &DataType, random: &mut Random, out: &mut Vec<u8>) {
    match data_type {
        DataType::String | DataType::Json(_) => {
            let length = [0, 1, 20, 127, 128, 300][random.below(6)];
            varint::write(length as u64, out);
            write_bytes(length, random, out);
        }
        DataType::Nullable(inner) => {
            let is_null = random.below(2);
            varint::write(is_null as u64, out);
            if is_null == 0 {
                write_value(inner, random, out);
            }
        }
        DataType::LowCardinality(inner)
        | DataType::SimpleAggregateFunction { value: inner, .. } => {
            write_value(inner, random, out);
        }
        DataType::Array(element) | DataType::QBit { element, .. } => {
            write_elements(random, out, |random, out| write_value(element, random, out));
        }
        DataType::Map(key, value) => write_elements(random, out, |random, out| {
            write_value(key, random, out);
            write_value(value, random, out);
        }),
        DataType::Nested(fields) => {
            write_elements(random, out, |random, out| write_fields(fields, random, out));
        }
        DataType::Tuple(fields) => write_fields(fields, random, out),
        DataType::Variant(types) => match random.below(types.len() + 1) {
            index if index == types.len() => out.push(255),
            index => {
                out.push(u8::try_from(index).unwrap());
                write_value(&types[index], random, out);
            }
        },
        DataType::Geo(geo) => write_value(&geo.structure(), random, out),
        fixed => write_bytes(usize::try_from(fixed.fixed_width().unwrap()).unwrap(), random, out),
    }
}

fn write_fields(fields: &[Field], random: &mut Random, out: &mut Vec<u8>) {
    for field in fields {
        write_value(&field.data_type, random, out);
    }
}

fn write_elements(
    random: &mut Random,
    out: &mut Vec<u8>,
    mut element: impl FnMut(&mut Random, &mut Vec<u8>),
) {
    let elements = random.below(4);
    varint::write(elements as u64, out);
    for _ in 0..elements {
        element(random, out);
    }
}

fn write_bytes(count: usize, random: &mut Random, out: &mut Vec<u8>) {
    out.extend((0..count).map(|_| u8::try_from(random.below(256)).unwrap()));
}
