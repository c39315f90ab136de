//! A parser of [ClickHouse type names](https://clickhouse.com/docs/sql-reference/data-types), as
//! `DESCRIBE`, `system.columns` and `toTypeName` print them.
//!
//! It accepts the names that the server prints; aliases such as `INT` or `VARCHAR` are unknown.
//! White space between words is ignored, since `DESCRIBE` breaks long names into lines.

mod cursor;
#[cfg(test)]
mod tests;

pub(crate) use cursor::MAX_NESTING;
use cursor::{Cursor, Problem};
pub use cursor::{TypeNameError, TypeNameErrorKind};

use super::{DataType, EnumValue, Field, GeoType, IntervalUnit};

/// The longest `FixedString` that the server allows, in bytes.
const LONGEST_FIXED_STRING: i64 = 0xFF_FFFF;

impl DataType {
    /// Parses a type name, in time linear in its length.
    ///
    /// # Errors
    ///
    /// If the name is malformed, names an unknown type, nests types deeper than [`MAX_NESTING`], or
    /// names a type whose values cannot be framed in RowBinary (`AggregateFunction`, `Dynamic`,
    /// `Object`). The error has the position and the reason.
    pub fn parse(type_name: &str) -> Result<Self, TypeNameError> {
        let mut cursor = Cursor::new(type_name);
        data_type(&mut cursor, 1)
            .and_then(|data_type| cursor.expect_end().map(|()| data_type))
            .map_err(|problem| TypeNameError::new(type_name, problem))
    }
}

impl std::str::FromStr for DataType {
    type Err = TypeNameError;

    fn from_str(type_name: &str) -> Result<Self, TypeNameError> {
        Self::parse(type_name)
    }
}

/// Parses a type at nesting level `depth`; the outermost is 1. Recursion ends at [`MAX_NESTING`].
fn data_type(cursor: &mut Cursor<'_>, depth: usize) -> Result<DataType, Problem> {
    let offset = cursor.offset();
    let family = cursor.word("a type")?;
    rest_of_type(cursor, family, offset, depth)
}

/// Parses what follows the family of a type, which was read at `offset`.
fn rest_of_type(
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
        _ => scalar_type(cursor, family, offset),
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

/// `(T, …)`, sorted by name, as discriminators are numbered, and without duplicates.
fn variant(cursor: &mut Cursor<'_>, offset: usize, depth: usize) -> Result<DataType, Problem> {
    // The discriminator is one byte, and 255 is NULL.
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

/// `T` or `name T`. Any word that a type follows is a name.
fn field(cursor: &mut Cursor<'_>, depth: usize) -> Result<Field, Problem> {
    let name = if let Some(quote @ (b'`' | b'"')) = cursor.peek() {
        cursor.quoted(quote, "a name")?
    } else {
        let offset = cursor.offset();
        let word = cursor.word("a type or a name")?;
        if matches!(cursor.peek(), None | Some(b',' | b'(' | b')')) {
            return Ok(Field { name: None, data_type: rest_of_type(cursor, word, offset, depth)? });
        }
        word
    };
    Ok(Field { name: Some(name.to_owned()), data_type: data_type(cursor, depth)? })
}

/// Parses what follows the family of a type that is not made of other types.
fn scalar_type(cursor: &mut Cursor<'_>, family: &str, offset: usize) -> Result<DataType, Problem> {
    if let Some(data_type) = without_parameters(family) {
        return Ok(data_type);
    }
    match family {
        "JSON" => {
            let parameters = optional(cursor, |cursor| {
                parenthesized(cursor, |cursor, opened| cursor.raw_arguments(opened, false))
            })?;
            Ok(DataType::Json(parameters.filter(|parameters| !parameters.is_empty())))
        }
        "Enum8" => {
            let range = (i64::from(i8::MIN), i64::from(i8::MAX));
            list(cursor, false, |cursor| enum_value(cursor, range)).map(DataType::Enum8)
        }
        "Enum16" => {
            let range = (i64::from(i16::MIN), i64::from(i16::MAX));
            list(cursor, false, |cursor| enum_value(cursor, range)).map(DataType::Enum16)
        }
        "FixedString" => parenthesized(cursor, |cursor, _| {
            let bytes = cursor.number("the length", 1, LONGEST_FIXED_STRING)?;
            Ok(DataType::FixedString(u32::try_from(bytes).unwrap_or(u32::MAX)))
        }),
        "DateTime" => {
            optional(cursor, |cursor| parenthesized(cursor, |cursor, _| time_zone(cursor)))
                .map(DataType::DateTime)
        }
        "DateTime64" => {
            let parameters = optional(cursor, |cursor| {
                parenthesized(cursor, |cursor, _| {
                    let precision = digits(cursor, "the precision", 0, 9)?;
                    let zone = if cursor.take(b',') { Some(time_zone(cursor)?) } else { None };
                    Ok((precision, zone))
                })
            })?;
            let (precision, time_zone) = parameters.unwrap_or((3, None));
            Ok(DataType::DateTime64 { precision, time_zone })
        }
        "Time64" => {
            let precision = optional(cursor, |cursor| {
                parenthesized(cursor, |cursor, _| digits(cursor, "the precision", 0, 9))
            })?;
            Ok(DataType::Time64(precision.unwrap_or(3)))
        }
        "Decimal" => parenthesized(cursor, |cursor, _| {
            let precision = digits(cursor, "the precision", 1, 76)?;
            let scale =
                if cursor.take(b',') { digits(cursor, "the scale", 0, precision)? } else { 0 };
            Ok(DataType::Decimal { precision, scale })
        }),
        "Decimal32" => decimal(cursor, 9),
        "Decimal64" => decimal(cursor, 18),
        "Decimal128" => decimal(cursor, 38),
        "Decimal256" => decimal(cursor, 76),
        "AggregateFunction" | "Dynamic" | "Object" => {
            Err((offset, TypeNameErrorKind::CannotBeFramed(family.to_owned())))
        }
        _ => Err(Cursor::unknown_type(offset, family)),
    }
}

/// The types whose names are a single word.
fn without_parameters(family: &str) -> Option<DataType> {
    let integer = |signed, bits| DataType::Integer { signed, bits };
    Some(match family {
        "Int8" => integer(true, 8),
        "Int16" => integer(true, 16),
        "Int32" => integer(true, 32),
        "Int64" => integer(true, 64),
        "Int128" => integer(true, 128),
        "Int256" => integer(true, 256),
        "UInt8" => integer(false, 8),
        "UInt16" => integer(false, 16),
        "UInt32" => integer(false, 32),
        "UInt64" => integer(false, 64),
        "UInt128" => integer(false, 128),
        "UInt256" => integer(false, 256),
        "BFloat16" => DataType::BFloat16,
        "Float32" => DataType::Float32,
        "Float64" => DataType::Float64,
        "Bool" => DataType::Bool,
        "String" => DataType::String,
        "UUID" => DataType::Uuid,
        "IPv4" => DataType::Ipv4,
        "IPv6" => DataType::Ipv6,
        "Date" => DataType::Date,
        "Date32" => DataType::Date32,
        "Time" => DataType::Time,
        "Nothing" => DataType::Nothing,
        "IntervalNanosecond" => DataType::Interval(IntervalUnit::Nanosecond),
        "IntervalMicrosecond" => DataType::Interval(IntervalUnit::Microsecond),
        "IntervalMillisecond" => DataType::Interval(IntervalUnit::Millisecond),
        "IntervalSecond" => DataType::Interval(IntervalUnit::Second),
        "IntervalMinute" => DataType::Interval(IntervalUnit::Minute),
        "IntervalHour" => DataType::Interval(IntervalUnit::Hour),
        "IntervalDay" => DataType::Interval(IntervalUnit::Day),
        "IntervalWeek" => DataType::Interval(IntervalUnit::Week),
        "IntervalMonth" => DataType::Interval(IntervalUnit::Month),
        "IntervalQuarter" => DataType::Interval(IntervalUnit::Quarter),
        "IntervalYear" => DataType::Interval(IntervalUnit::Year),
        "Point" => DataType::Geo(GeoType::Point),
        "Ring" => DataType::Geo(GeoType::Ring),
        "LineString" => DataType::Geo(GeoType::LineString),
        "MultiLineString" => DataType::Geo(GeoType::MultiLineString),
        "Polygon" => DataType::Geo(GeoType::Polygon),
        "MultiPolygon" => DataType::Geo(GeoType::MultiPolygon),
        "Geometry" => DataType::Geo(GeoType::Geometry),
        _ => return None,
    })
}

/// `'name' = number`.
fn enum_value(
    cursor: &mut Cursor<'_>,
    (minimum, maximum): (i64, i64),
) -> Result<EnumValue, Problem> {
    let name = cursor.quoted(b'\'', "a quoted name")?.to_owned();
    cursor.expect(b'=', "`=`")?;
    let value = cursor.number("the number of the name", minimum, maximum)?;
    Ok(EnumValue { name, value: i16::try_from(value).unwrap_or_default() })
}

/// `(S)` of a decimal type whose name implies the precision.
fn decimal(cursor: &mut Cursor<'_>, precision: u8) -> Result<DataType, Problem> {
    parenthesized(cursor, |cursor, _| {
        Ok(DataType::Decimal { precision, scale: digits(cursor, "the scale", 0, precision)? })
    })
}

fn time_zone(cursor: &mut Cursor<'_>) -> Result<String, Problem> {
    cursor.quoted(b'\'', "a quoted time zone").map(str::to_owned)
}

fn digits(
    cursor: &mut Cursor<'_>,
    what: &'static str,
    minimum: u8,
    maximum: u8,
) -> Result<u8, Problem> {
    let digits = cursor.number(what, i64::from(minimum), i64::from(maximum))?;
    Ok(u8::try_from(digits).unwrap_or(maximum))
}

fn comma(cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    cursor.expect(b',', "`,`")
}

/// Parentheses around what `inner` parses. `inner` receives the offset of the opening one.
fn parenthesized<'a, T>(
    cursor: &mut Cursor<'a>,
    inner: impl FnOnce(&mut Cursor<'a>, usize) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let opened = cursor.offset();
    cursor.expect(b'(', "`(`")?;
    let parsed = inner(cursor, opened)?;
    cursor.expect(b')', "`)`")?;
    Ok(parsed)
}

/// What `inner` parses, if a parenthesis opens here.
fn optional<'a, T>(
    cursor: &mut Cursor<'a>,
    inner: impl FnOnce(&mut Cursor<'a>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    if cursor.peek() == Some(b'(') { inner(cursor).map(Some) } else { Ok(None) }
}

/// Comma-separated items in parentheses.
fn list<'a, T>(
    cursor: &mut Cursor<'a>,
    may_be_empty: bool,
    item: impl Fn(&mut Cursor<'a>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    parenthesized(cursor, |cursor, _| {
        let mut items = Vec::new();
        if may_be_empty && cursor.peek() == Some(b')') {
            return Ok(items);
        }
        loop {
            items.push(item(cursor)?);
            if !cursor.take(b',') {
                return Ok(items);
            }
        }
    })
}
