//! ClickHouse data types, as far as their names describe them.
//!
//! [`DataType`] is a plain tree. It knows how many bytes its values take in RowBinary, and writes
//! its name as the server does. `type_name` parses names.

use std::fmt;

/// A ClickHouse data type whose values can be framed in RowBinary.
///
/// Types that cannot be framed (`AggregateFunction`, `Dynamic`, `Object`) have no variant; the
/// parser rejects them. See the [list of data
/// types](https://clickhouse.com/docs/sql-reference/data-types).
///
/// `Display` writes the name as the server does. Quoted names and strings keep their spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    /// `Int8` to `Int256`, `UInt8` to `UInt256`: little-endian, `bits / 8` bytes.
    Integer {
        /// `true` for `Int…`, `false` for `UInt…`.
        signed: bool,
        /// 8, 16, 32, 64, 128 or 256.
        bits: u16,
    },
    /// `BFloat16`: 2 bytes.
    BFloat16,
    /// `Float32`: 4 bytes.
    Float32,
    /// `Float64`: 8 bytes.
    Float64,
    /// `Bool`: 1 byte.
    Bool,
    /// `Decimal(P, S)`: 4, 8, 16 or 32 bytes, depending on the precision.
    Decimal {
        /// Number of decimal digits, 1 to 76.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
    /// `String`: its length as a varuint, then its bytes.
    String,
    /// `FixedString(N)`: N bytes.
    FixedString(u32),
    /// `UUID`: 16 bytes.
    Uuid,
    /// `IPv4`: 4 bytes.
    Ipv4,
    /// `IPv6`: 16 bytes.
    Ipv6,
    /// `Date`: days as 2 unsigned bytes.
    Date,
    /// `Date32`: days as 4 signed bytes.
    Date32,
    /// `DateTime`: seconds as 4 unsigned bytes, with the time zone as written (with its quotes).
    DateTime(Option<String>),
    /// `DateTime64(P)`: ticks as 8 signed bytes.
    DateTime64 {
        /// Decimal digits of a second, 0 to 9.
        precision: u8,
        /// The time zone as written, with its quotes.
        time_zone: Option<String>,
    },
    /// `Time`: seconds as 4 signed bytes.
    Time,
    /// `Time64(P)`: ticks as 8 signed bytes; P is 0 to 9.
    Time64(u8),
    /// `IntervalDay` and the like: a count as 8 signed bytes.
    Interval(IntervalUnit),
    /// `Enum8`: 1 byte.
    Enum8(Vec<EnumValue>),
    /// `Enum16`: 2 bytes.
    Enum16(Vec<EnumValue>),
    /// `Nothing`: no bytes. `NULL` is of type `Nullable(Nothing)`, `[]` of type `Array(Nothing)`.
    Nothing,
    /// `JSON`, with its parameters as written apart from white space. It is encoded as a string.
    Json(Option<String>),
    /// `Nullable(T)`: the byte 1 for NULL, or the byte 0 and then the value.
    Nullable(Box<DataType>),
    /// `LowCardinality(T)`: encoded as T.
    LowCardinality(Box<DataType>),
    /// `SimpleAggregateFunction(function, T)`: encoded as T.
    SimpleAggregateFunction {
        /// The function with its parameters, as written apart from white space.
        function: String,
        /// The type of the values.
        value: Box<DataType>,
    },
    /// `Array(T)`: the number of elements as a varuint, then the elements.
    Array(Box<DataType>),
    /// `Map(K, V)`: the number of entries as a varuint, then key and value of each.
    Map(Box<DataType>, Box<DataType>),
    /// `Tuple(…)`, its elements one after the other. `Tuple()` takes no bytes.
    Tuple(Vec<Field>),
    /// `Nested(…)`: encoded as an array of tuples.
    Nested(Vec<Field>),
    /// `Variant(…)`: the index of the value's type as one byte (255 for NULL), then the value.
    ///
    /// Indexes follow the order of the types' names. The parser sorts the types; code that builds
    /// a `Variant` must sort them too.
    Variant(Vec<DataType>),
    /// `QBit(T, N)`: the number of elements as a varuint, then the elements.
    QBit {
        /// A fixed-width number type, such as `Float32`.
        element: Box<DataType>,
        /// The declared number of elements.
        dimension: u64,
    },
    /// `Point`, `Ring`, `Geometry` and the other [geo
    /// types](https://clickhouse.com/docs/sql-reference/data-types/geo).
    Geo(GeoType),
}

/// An element of a `Tuple`, or a column of a `Nested`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The name as written, including quotes. Elements of a tuple may have none.
    pub name: Option<String>,
    /// The type of the element.
    pub data_type: DataType,
}

/// One name of an `Enum8` or `Enum16`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnumValue {
    /// The name as written, with its quotes and escapes.
    pub name: String,
    /// The number that encodes it.
    pub value: i16,
}

/// The unit of an `Interval…` type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntervalUnit {
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// A [geo type](https://clickhouse.com/docs/sql-reference/data-types/geo).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GeoType {
    /// `Tuple(Float64, Float64)`.
    Point,
    /// `Array(Point)`.
    Ring,
    /// `Array(Point)`.
    LineString,
    /// `Array(LineString)`.
    MultiLineString,
    /// `Array(Ring)`.
    Polygon,
    /// `Array(Polygon)`.
    MultiPolygon,
    /// A `Variant` of the six other types.
    Geometry,
}

impl GeoType {
    /// The type that this one is an alias of. It may contain other geo types.
    #[must_use]
    pub fn structure(self) -> DataType {
        let array = |element| DataType::Array(Box::new(DataType::Geo(element)));
        match self {
            Self::Point => DataType::Tuple(
                [DataType::Float64, DataType::Float64]
                    .map(|data_type| Field { name: None, data_type })
                    .into(),
            ),
            Self::Ring | Self::LineString => array(Self::Point),
            Self::MultiLineString => array(Self::LineString),
            Self::Polygon => array(Self::Ring),
            Self::MultiPolygon => array(Self::Polygon),
            Self::Geometry => DataType::Variant(
                [
                    Self::LineString,
                    Self::MultiLineString,
                    Self::MultiPolygon,
                    Self::Point,
                    Self::Polygon,
                    Self::Ring,
                ]
                .map(DataType::Geo)
                .into(),
            ),
        }
    }
}

impl DataType {
    /// The number of bytes of every value of this type, or `None` if it depends on the value.
    ///
    /// Sums saturate: no row can be `u64::MAX` bytes wide.
    #[must_use]
    pub fn fixed_width(&self) -> Option<u64> {
        match self {
            Self::Nothing => Some(0),
            Self::Bool | Self::Enum8(_) => Some(1),
            Self::BFloat16 | Self::Date | Self::Enum16(_) => Some(2),
            Self::Float32 | Self::Ipv4 | Self::Date32 | Self::DateTime(_) | Self::Time => Some(4),
            Self::Float64 | Self::DateTime64 { .. } | Self::Time64(_) | Self::Interval(_) => {
                Some(8)
            }
            Self::Uuid | Self::Ipv6 | Self::Geo(GeoType::Point) => Some(16),
            Self::Integer { bits, .. } => Some(u64::from(bits / 8)),
            Self::Decimal { precision, .. } => Some(match precision {
                0..=9 => 4,
                10..=18 => 8,
                19..=38 => 16,
                _ => 32,
            }),
            Self::FixedString(bytes) => Some(u64::from(*bytes)),
            Self::LowCardinality(inner) | Self::SimpleAggregateFunction { value: inner, .. } => {
                inner.fixed_width()
            }
            Self::Tuple(fields) => fields.iter().try_fold(0, |sum: u64, field| {
                Some(sum.saturating_add(field.data_type.fixed_width()?))
            }),
            Self::String
            | Self::Json(_)
            | Self::Nullable(_)
            | Self::Array(_)
            | Self::Map(..)
            | Self::Nested(_)
            | Self::Variant(_)
            | Self::QBit { .. }
            | Self::Geo(_) => None,
        }
    }

    /// The minimum number of bytes of a value. It is 0 only for types whose values are always
    /// empty, such as `Tuple()`.
    #[must_use]
    pub fn minimum_width(&self) -> u64 {
        match self {
            Self::LowCardinality(inner) | Self::SimpleAggregateFunction { value: inner, .. } => {
                inner.minimum_width()
            }
            Self::Tuple(fields) => minimum_width_of_fields(fields),
            // At least a flag, a length or a discriminator.
            other => other.fixed_width().unwrap_or(1),
        }
    }
}

/// The minimum number of bytes of a tuple with these elements.
pub(super) fn minimum_width_of_fields(fields: &[Field]) -> u64 {
    fields.iter().fold(0, |sum: u64, field| sum.saturating_add(field.data_type.minimum_width()))
}

impl DataType {
    /// Whether the type is `Nullable`, directly or inside `LowCardinality`.
    ///
    /// A `Variant` can be NULL too, but ClickHouse converts it differently from a `Nullable`.
    #[must_use]
    pub fn is_nullable(&self) -> bool {
        match self {
            Self::Nullable(_) => true,
            Self::LowCardinality(inner) | Self::SimpleAggregateFunction { value: inner, .. } => {
                inner.is_nullable()
            }
            _ => false,
        }
    }

    /// Whether values contain floating-point numbers at any depth. Equal floats may differ in
    /// their bytes (0 and −0), and NaN equals nothing.
    ///
    /// A `JSON` counts as a string, whatever it contains.
    #[must_use]
    pub fn contains_float(&self) -> bool {
        self.any(&|data_type| {
            matches!(data_type, Self::BFloat16 | Self::Float32 | Self::Float64 | Self::Geo(_))
        })
    }

    /// Whether values contain a `JSON` at any depth.
    #[must_use]
    pub fn contains_json(&self) -> bool {
        self.any(&|data_type| matches!(data_type, Self::Json(_)))
    }

    /// The type inside a `LowCardinality`, or the type itself.
    #[must_use]
    pub fn strip_low_cardinality(&self) -> &Self {
        match self {
            Self::LowCardinality(inner) => inner,
            other => other,
        }
    }

    /// The type inside a `Nullable`, or the type itself. A `LowCardinality` is removed first.
    #[must_use]
    pub fn strip_nullable(&self) -> &Self {
        match self.strip_low_cardinality() {
            Self::Nullable(inner) => inner,
            other => other,
        }
    }

    /// Whether each value of this type is one of the other as well: the same type, or a wider one of
    /// integers, dates or times.
    pub(crate) fn is_within(&self, wider: &Self) -> bool {
        match (self, wider) {
            (
                Self::Integer { signed: false, bits: from },
                Self::Integer { signed: true, bits: to },
            ) => to > from,
            (Self::Integer { signed: from, bits: less }, Self::Integer { signed: to, bits }) => {
                from == to && bits >= less
            }
            (Self::Date, Self::Date32 | Self::DateTime(_) | Self::DateTime64 { .. })
            | (Self::DateTime(_), Self::DateTime(_) | Self::DateTime64 { .. }) => true,
            (Self::DateTime64 { precision: from, .. }, Self::DateTime64 { precision: to, .. }) => {
                to >= from
            }
            (from, to) => from == to,
        }
    }

    /// Whether the predicate holds for this type or any type nested in it.
    fn any(&self, predicate: &impl Fn(&Self) -> bool) -> bool {
        let in_fields =
            |fields: &[Field]| fields.iter().any(|field| field.data_type.any(predicate));
        predicate(self)
            || match self {
                Self::Nullable(inner)
                | Self::LowCardinality(inner)
                | Self::SimpleAggregateFunction { value: inner, .. }
                | Self::Array(inner)
                | Self::QBit { element: inner, .. } => inner.any(predicate),
                Self::Map(key, value) => key.any(predicate) || value.any(predicate),
                Self::Tuple(fields) | Self::Nested(fields) => in_fields(fields),
                Self::Variant(types) => types.iter().any(|data_type| data_type.any(predicate)),
                _ => false,
            }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { signed, bits } => {
                write!(f, "{}Int{bits}", if *signed { "" } else { "U" })
            }
            Self::BFloat16 => f.write_str("BFloat16"),
            Self::Float32 => f.write_str("Float32"),
            Self::Float64 => f.write_str("Float64"),
            Self::Bool => f.write_str("Bool"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::String => f.write_str("String"),
            Self::FixedString(bytes) => write!(f, "FixedString({bytes})"),
            Self::Uuid => f.write_str("UUID"),
            Self::Ipv4 => f.write_str("IPv4"),
            Self::Ipv6 => f.write_str("IPv6"),
            Self::Date => f.write_str("Date"),
            Self::Date32 => f.write_str("Date32"),
            Self::DateTime(None) => f.write_str("DateTime"),
            Self::DateTime(Some(time_zone)) => write!(f, "DateTime({time_zone})"),
            Self::DateTime64 { precision, time_zone: None } => write!(f, "DateTime64({precision})"),
            Self::DateTime64 { precision, time_zone: Some(zone) } => {
                write!(f, "DateTime64({precision}, {zone})")
            }
            Self::Time => f.write_str("Time"),
            Self::Time64(precision) => write!(f, "Time64({precision})"),
            Self::Interval(unit) => write!(f, "Interval{unit:?}"),
            Self::Enum8(values) => write_list(f, "Enum8", values),
            Self::Enum16(values) => write_list(f, "Enum16", values),
            Self::Nothing => f.write_str("Nothing"),
            Self::Json(None) => f.write_str("JSON"),
            Self::Json(Some(parameters)) => write!(f, "JSON({parameters})"),
            Self::Nullable(inner) => write!(f, "Nullable({inner})"),
            Self::LowCardinality(inner) => write!(f, "LowCardinality({inner})"),
            Self::SimpleAggregateFunction { function, value } => {
                write!(f, "SimpleAggregateFunction({function}, {value})")
            }
            Self::Array(element) => write!(f, "Array({element})"),
            Self::Map(key, value) => write!(f, "Map({key}, {value})"),
            Self::Tuple(fields) => write_list(f, "Tuple", fields),
            Self::Nested(fields) => write_list(f, "Nested", fields),
            Self::Variant(types) => write_list(f, "Variant", types),
            Self::QBit { element, dimension } => write!(f, "QBit({element}, {dimension})"),
            Self::Geo(geo) => geo.fmt(f),
        }
    }
}

fn write_list(
    f: &mut fmt::Formatter<'_>,
    family: &str,
    items: &[impl fmt::Display],
) -> fmt::Result {
    write!(f, "{family}(")?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    f.write_str(")")
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} {}", self.data_type),
            None => self.data_type.fmt(f),
        }
    }
}

impl fmt::Display for EnumValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name, self.value)
    }
}

impl fmt::Display for GeoType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl fmt::Display for IntervalUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> DataType {
        DataType::parse(name).unwrap()
    }

    #[test]
    fn nullable_is_seen_through_low_cardinality_but_not_inside_arrays() {
        for name in [
            "Nullable(String)",
            "LowCardinality(Nullable(String))",
            "SimpleAggregateFunction(any, Nullable(Date))",
        ] {
            assert!(parse(name).is_nullable(), "{name}");
        }
        for name in [
            "String",
            "LowCardinality(String)",
            "Array(Nullable(String))",
            "Variant(String, UInt8)",
        ] {
            assert!(!parse(name).is_nullable(), "{name}");
        }
    }

    #[test]
    fn floats_and_json_are_found_at_any_depth() {
        for name in [
            "Float64",
            "Map(String, Tuple(a Array(Nullable(Float32))))",
            "Variant(BFloat16, String)",
            "Ring",
            "QBit(Float32, 8)",
        ] {
            assert!(parse(name).contains_float(), "{name}");
            assert!(!parse(name).contains_json(), "{name}");
        }
        for name in ["JSON", "Array(Nullable(JSON(a Float32)))", "Nested(a JSON)"] {
            assert!(parse(name).contains_json(), "{name}");
            assert!(!parse(name).contains_float(), "{name}");
        }
        for name in ["Tuple(Decimal(9, 2), Date)", "QBit(Int8, 8)"] {
            assert!(!parse(name).contains_float(), "{name}");
        }
    }

    #[test]
    fn wrappers_are_stripped() {
        assert_eq!(
            *parse("LowCardinality(Nullable(String))").strip_low_cardinality(),
            parse("Nullable(String)")
        );
        assert_eq!(*parse("LowCardinality(Nullable(String))").strip_nullable(), DataType::String);
        assert_eq!(*parse("Nullable(UUID)").strip_nullable(), DataType::Uuid);
        assert_eq!(*parse("UUID").strip_nullable(), DataType::Uuid);
    }
}
