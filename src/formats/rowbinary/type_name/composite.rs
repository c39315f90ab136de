//! The types that are made of other types.
//!
//! Recursive, but never deeper than [`MAX_NESTING`].

use super::MAX_NESTING;
use super::arguments::{comma, list, parenthesized};
use super::cursor::Cursor;
use super::error::{Problem, TypeNameErrorKind};
use super::scalar;
use crate::formats::rowbinary::{DataType, Field};

/// Parses a type that is itself `depth` levels deep, the outermost being 1.
pub(super) fn data_type(cursor: &mut Cursor<'_>, depth: usize) -> Result<DataType, Problem> {
    let offset = cursor.offset();
    let family = cursor.word("a type")?;
    of_family(cursor, family, offset, depth)
}

/// Parses the rest of a type whose family has been read at `offset`.
fn of_family(
    cursor: &mut Cursor<'_>,
    family: &str,
    offset: usize,
    depth: usize,
) -> Result<DataType, Problem> {
    if depth > MAX_NESTING {
        return Err((offset, TypeNameErrorKind::TooDeep));
    }
    match family {
        "Nullable" => wrapped(cursor, depth, DataType::Nullable),
        "LowCardinality" => wrapped(cursor, depth, DataType::LowCardinality),
        "Array" => wrapped(cursor, depth, DataType::Array),
        "Map" => parenthesized(cursor, |cursor, _| {
            let key = data_type(cursor, depth + 1)?;
            comma(cursor)?;
            Ok(DataType::Map(Box::new(key), Box::new(data_type(cursor, depth + 1)?)))
        }),
        "Tuple" => list(cursor, true, |cursor| field(cursor, depth + 1)).map(DataType::Tuple),
        "Nested" => list(cursor, false, |cursor| field(cursor, depth + 1)).map(DataType::Nested),
        "Variant" => variant(cursor, offset, depth),
        "QBit" => parenthesized(cursor, |cursor, _| {
            let element = Box::new(data_type(cursor, depth + 1)?);
            comma(cursor)?;
            let dimension = cursor.number("the dimension", 1, i64::MAX)?;
            Ok(DataType::QBit { element, dimension: dimension.unsigned_abs() })
        }),
        "SimpleAggregateFunction" => parenthesized(cursor, |cursor, opened| {
            let function = cursor.raw_arguments(opened, true)?;
            comma(cursor)?;
            Ok(DataType::SimpleAggregateFunction {
                function,
                value: Box::new(data_type(cursor, depth + 1)?),
            })
        }),
        _ => scalar::of_family(cursor, family, offset),
    }
}

/// `(T)`.
fn wrapped(
    cursor: &mut Cursor<'_>,
    depth: usize,
    wrap: fn(Box<DataType>) -> DataType,
) -> Result<DataType, Problem> {
    parenthesized(cursor, |cursor, _| Ok(wrap(Box::new(data_type(cursor, depth + 1)?))))
}

/// `(T, …)`, brought into the order of the types' names, which is what the discriminators count,
/// and without repetitions.
fn variant(cursor: &mut Cursor<'_>, offset: usize, depth: usize) -> Result<DataType, Problem> {
    // 255 of the 256 values of the discriminator stand for types.
    const MOST_TYPES: usize = 255;
    let types = list(cursor, false, |cursor| data_type(cursor, depth + 1))?;
    let mut named: Vec<_> =
        types.into_iter().map(|data_type| (data_type.to_string(), data_type)).collect();
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    named.dedup_by(|(a, _), (b, _)| a == b);
    if named.len() > MOST_TYPES {
        return Err((
            offset,
            TypeNameErrorKind::OutOfRange { what: "the number of types", minimum: 1, maximum: 255 },
        ));
    }
    Ok(DataType::Variant(named.into_iter().map(|(_, data_type)| data_type).collect()))
}

/// `T` or `name T`. A word is a name if a type follows it, whatever the word is.
fn field(cursor: &mut Cursor<'_>, depth: usize) -> Result<Field, Problem> {
    let name = if let Some(quote @ (b'`' | b'"')) = cursor.peek() {
        cursor.quoted(quote, "a name")?
    } else {
        let offset = cursor.offset();
        let word = cursor.word("a type or a name")?;
        if matches!(cursor.peek(), None | Some(b',' | b'(' | b')')) {
            return Ok(Field { name: None, data_type: of_family(cursor, word, offset, depth)? });
        }
        word
    };
    Ok(Field { name: Some(name.to_owned()), data_type: data_type(cursor, depth)? })
}
