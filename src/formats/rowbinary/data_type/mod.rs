//! ClickHouse data types, as far as their names tell.
//!
//! [`DataType`] is a plain tree. `width` says how many bytes its values take, `canonical` writes
//! the name back as the server does, `classify` answers questions that other rooms ask. Parsing
//! names is the room of `type_name`.

mod canonical;
mod classify;
mod geo;
mod width;

pub use geo::GeoType;
pub(in crate::formats::rowbinary) use width::minimum_width_of_fields;

/// A ClickHouse data type whose values can be framed in RowBinary.
///
/// Types that cannot be framed (`AggregateFunction`, `Dynamic`, `Object`) have no variant here: the
/// parser refuses them by name. See the [list of data
/// types](https://clickhouse.com/docs/sql-reference/data-types).
///
/// `Display` writes the name as the server does. Quoted names and texts inside are kept as they
/// were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    /// `Int8` to `Int256`, `UInt8` to `UInt256`: little-endian, `bits / 8` bytes.
    Integer {
        /// Whether the type is one of `Int…` rather than `UInt…`.
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
    /// `Decimal(P, S)`: 4, 8, 16 or 32 bytes by its precision.
    Decimal {
        /// Decimal digits, 1 to 76.
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
    /// `IntervalDay` and the others: a count as 8 signed bytes.
    Interval(IntervalUnit),
    /// `Enum8`: 1 byte.
    Enum8(Vec<EnumValue>),
    /// `Enum16`: 2 bytes.
    Enum16(Vec<EnumValue>),
    /// `Nothing`: no bytes. `NULL` is of type `Nullable(Nothing)`, `[]` of type `Array(Nothing)`.
    Nothing,
    /// `JSON`, with its parameters as written but for white space. It travels as a string.
    Json(Option<String>),
    /// `Nullable(T)`: a byte, 1 for NULL; if it is 0, the value.
    Nullable(Box<DataType>),
    /// `LowCardinality(T)`: as T.
    LowCardinality(Box<DataType>),
    /// `SimpleAggregateFunction(function, T)`: as T.
    SimpleAggregateFunction {
        /// The function with its parameters, as written but for white space.
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
    /// `Nested(…)`: as an array of tuples.
    Nested(Vec<Field>),
    /// `Variant(…)`: a byte that numbers the types in the order of their names (255 for NULL), then
    /// the value.
    ///
    /// The parser brings the types into that order; so must whoever builds one by hand.
    Variant(Vec<DataType>),
    /// `QBit(T, N)`: the number of elements as a varuint, then the elements.
    QBit {
        /// A number of fixed width, such as `Float32`.
        element: Box<DataType>,
        /// The number of elements that the type declares.
        dimension: u64,
    },
    /// `Point`, `Ring`, `Geometry` and the other [geo
    /// types](https://clickhouse.com/docs/sql-reference/data-types/geo).
    Geo(GeoType),
}

/// An element of a `Tuple`, or a column of a `Nested`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The name as written, with its quotes if it has any. Elements of a tuple need no name.
    pub name: Option<String>,
    /// The type of the element.
    pub data_type: DataType,
}

/// One name of an `Enum8` or `Enum16`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnumValue {
    /// The name as written, with its quotes and escapes.
    pub name: String,
    /// The number that stands for it.
    pub value: i16,
}

/// The unit of an `Interval…` type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all there is to say")]
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
