//! The types that are not made of other types.

use super::arguments::{list, optional, parenthesized};
use super::cursor::Cursor;
use super::error::{Problem, TypeNameErrorKind};
use crate::formats::rowbinary::{DataType, EnumValue, GeoType, IntervalUnit};

/// The longest `FixedString` that the server allows, in bytes.
const LONGEST_FIXED_STRING: i64 = 0xFF_FFFF;

/// Parses the rest of such a type, whose family has been read at `offset`.
pub(super) fn of_family(
    cursor: &mut Cursor<'_>,
    family: &str,
    offset: usize,
) -> Result<DataType, Problem> {
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

/// The types whose names are a word and nothing else.
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

/// `(S)` of a decimal type with a precision of its own.
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
