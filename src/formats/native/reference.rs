//! Values as trees, and both formats in the plainest way: a check on the fast one.

use crate::formats::rowbinary::fuzzing::Random;
use crate::formats::rowbinary::{DataType, Field};
use crate::formats::varint;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// The bytes of a value without parts, a string's length in front of them.
    Plain(Vec<u8>),
    Null,
    List(Vec<Value>),
    Fields(Vec<Value>),
    /// The value of a `Variant`, with the number of its type.
    Choice(usize, Box<Value>),
}

use Value::{Choice, Fields, List, Null, Plain};

/// What a type is another name for.
fn structure(data_type: &DataType) -> Option<DataType> {
    let tuples = |fields: Vec<Field>| DataType::Array(Box::new(DataType::Tuple(fields)));
    let field = |data_type: &DataType| Field { name: None, data_type: data_type.clone() };
    match data_type {
        DataType::Map(key, value) => Some(tuples(vec![field(key), field(value)])),
        DataType::Nested(fields) => Some(tuples(fields.clone())),
        DataType::Geo(geo) => Some(geo.structure()),
        DataType::SimpleAggregateFunction { value, .. } => Some((**value).clone()),
        _ => None,
    }
}

fn width(data_type: &DataType) -> usize {
    usize::try_from(data_type.fixed_width().unwrap()).unwrap()
}

/// A random value of the type.
pub(super) fn value(data_type: &DataType, random: &mut Random) -> Value {
    if let Some(structure) = structure(data_type) {
        return value(&structure, random);
    }
    match data_type {
        DataType::String | DataType::Json(_) => {
            let mut bytes = Vec::new();
            let length = [0_u64, 1, 2, 20, 31, 32, 127, 128, 300, 20_000][random.below(10)];
            varint::write(length, &mut bytes);
            bytes.extend((0..length).map(|_| u8::try_from(random.below(3)).unwrap()));
            Plain(bytes)
        }
        DataType::Nullable(_) if random.below(2) == 0 => Null,
        DataType::Nullable(inner) | DataType::LowCardinality(inner) => value(inner, random),
        DataType::Array(element) => {
            List((0..random.below(4)).map(|_| value(element, random)).collect())
        }
        DataType::Tuple(fields) => {
            Fields(fields.iter().map(|field| value(&field.data_type, random)).collect())
        }
        DataType::Variant(types) => match random.below(types.len() + 1) {
            number if number < types.len() => {
                Choice(number, Box::new(value(&types[number], random)))
            }
            _ => Null,
        },
        fixed => Plain((0..width(fixed)).map(|_| u8::try_from(random.below(3)).unwrap()).collect()),
    }
}

/// What a NULL of this type has in the place of its value.
fn default(data_type: &DataType) -> Value {
    if let Some(structure) = structure(data_type) {
        return default(&structure);
    }
    match data_type {
        DataType::String => Plain(vec![0]),
        DataType::Json(_) => Plain(b"\x02{}".to_vec()),
        DataType::Nullable(_) | DataType::Variant(_) => Null,
        DataType::LowCardinality(inner) => default(inner),
        DataType::Array(_) => List(vec![]),
        DataType::Tuple(fields) => {
            Fields(fields.iter().map(|field| default(&field.data_type)).collect())
        }
        fixed => Plain(vec![0; width(fixed)]),
    }
}

/// Appends the value as it is in a row.
pub(super) fn write_row_binary(data_type: &DataType, value: &Value, out: &mut Vec<u8>) {
    if let Some(structure) = structure(data_type) {
        return write_row_binary(&structure, value, out);
    }
    match (data_type, value) {
        (DataType::Nullable(_), Null) => out.push(1),
        (DataType::Variant(_), Null) => out.push(255),
        (DataType::Nullable(inner), value) => {
            out.push(0);
            write_row_binary(inner, value, out);
        }
        (DataType::LowCardinality(inner), value) => write_row_binary(inner, value, out),
        (DataType::Array(element), List(values)) => {
            varint::write(values.len() as u64, out);
            for value in values {
                write_row_binary(element, value, out);
            }
        }
        (DataType::Tuple(fields), Fields(values)) => {
            fields
                .iter()
                .zip(values)
                .for_each(|(field, value)| write_row_binary(&field.data_type, value, out));
        }
        (DataType::Variant(types), Choice(number, value)) => {
            out.push(u8::try_from(*number).unwrap());
            write_row_binary(&types[*number], value, out);
        }
        (_, Plain(bytes)) => out.extend_from_slice(bytes),
        other => unreachable!("{other:?}"),
    }
}

/// The block of these rows.
pub(super) fn block(columns: &[(String, DataType)], rows: &[Vec<Value>]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::write(columns.len() as u64, &mut out);
    varint::write(rows.len() as u64, &mut out);
    for (index, (name, data_type)) in columns.iter().enumerate() {
        for text in [name, &data_type.to_string()] {
            varint::write(text.len() as u64, &mut out);
            out.extend_from_slice(text.as_bytes());
        }
        write_prefix(data_type, &mut out);
        write_native(data_type, rows.iter().map(|row| row[index].clone()).collect(), &mut out);
    }
    out
}

fn write_prefix(data_type: &DataType, out: &mut Vec<u8>) {
    if let Some(structure) = structure(data_type) {
        return write_prefix(&structure, out);
    }
    match data_type {
        DataType::Json(_) | DataType::LowCardinality(_) => out.extend(1_u64.to_le_bytes()),
        DataType::Nullable(inner) | DataType::Array(inner) => write_prefix(inner, out),
        DataType::Tuple(fields) => {
            for field in fields {
                write_prefix(&field.data_type, out);
            }
        }
        DataType::Variant(types) => {
            out.extend(0_u64.to_le_bytes());
            for data_type in types {
                write_prefix(data_type, out);
            }
        }
        _ => {}
    }
}

fn write_native(data_type: &DataType, values: Vec<Value>, out: &mut Vec<u8>) {
    if let Some(structure) = structure(data_type) {
        return write_native(&structure, values, out);
    }
    match data_type {
        DataType::Nullable(inner) => {
            out.extend(values.iter().map(|value| u8::from(*value == Null)));
            let values =
                values.into_iter().map(|value| if value == Null { default(inner) } else { value });
            write_native(inner, values.collect(), out);
        }
        DataType::LowCardinality(inner) => write_dictionary(inner, &values, out),
        DataType::Array(element) => {
            let mut end = 0_u64;
            let mut elements = Vec::new();
            for value in values {
                let List(values) = value else { unreachable!() };
                end += values.len() as u64;
                out.extend(end.to_le_bytes());
                elements.extend(values);
            }
            write_native(element, elements, out);
        }
        DataType::Tuple(fields) if !fields.is_empty() => {
            for (index, field) in fields.iter().enumerate() {
                let part = |value: &Value| {
                    if let Fields(parts) = value { parts[index].clone() } else { unreachable!() }
                };
                write_native(&field.data_type, values.iter().map(part).collect(), out);
            }
        }
        DataType::Variant(types) => {
            let number = |value: &Value| {
                if let Choice(number, _) = value { u8::try_from(*number).unwrap() } else { 255 }
            };
            out.extend(values.iter().map(number));
            for (index, data_type) in types.iter().enumerate() {
                let chosen = values.iter().filter_map(|value| match value {
                    Choice(number, value) if *number == index => Some((**value).clone()),
                    _ => None,
                });
                write_native(data_type, chosen.collect(), out);
            }
        }
        DataType::Tuple(_) | DataType::Nothing => out.extend(values.iter().map(|_| b'0')),
        _ => {
            for value in values {
                let Plain(bytes) = value else { unreachable!("{value:?}") };
                out.extend(bytes);
            }
        }
    }
}

fn write_dictionary(inner: &DataType, values: &[Value], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let plain = default(inner.strip_nullable());
    let mut keys =
        if inner.is_nullable() { vec![Null, plain.clone()] } else { vec![plain.clone()] };
    let mut indexes = Vec::new();
    for value in values {
        let index = keys.iter().position(|key| key == value).unwrap_or_else(|| {
            keys.push(value.clone());
            keys.len() - 1
        });
        indexes.push(index);
    }
    let (code, bytes) = match keys.len() {
        0..=0x100 => (0, 1),
        0x101..=0x1_0000 => (1, 2),
        _ => (2, 4),
    };
    out.extend((0x600_u64 + code).to_le_bytes());
    out.extend((keys.len() as u64).to_le_bytes());
    for key in keys {
        let Plain(bytes) = (if key == Null { plain.clone() } else { key }) else { unreachable!() };
        out.extend(bytes);
    }
    out.extend((values.len() as u64).to_le_bytes());
    for index in indexes {
        out.extend(&index.to_le_bytes()[..bytes]);
    }
}
