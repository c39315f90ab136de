//! Random types, as expressions that the server evaluates.

use std::fmt::Write as _;

use proptest::prelude::*;

/// Types whose values `generateRandom` makes.
const GENERATED: &[&str] = &[
    "Int8",
    "UInt16",
    "Int32",
    "UInt64",
    "Int128",
    "UInt256",
    "Float32",
    "Float64",
    "Bool",
    "Decimal(9, 2)",
    "Decimal(18, 12)",
    "Decimal(38, 10)",
    "Decimal(76, 1)",
    "String",
    "FixedString(7)",
    "UUID",
    "IPv4",
    "IPv6",
    "Date",
    "Date32",
    "DateTime('Asia/Istanbul')",
    "DateTime64(3)",
    "DateTime64(9, 'UTC')",
    "Enum8('a' = -1, 'it\\'s (b), `c`\\n' = 2)",
    "Enum16('' = 300, '\\\\' = -300)",
    "LowCardinality(String)",
    "LowCardinality(Nullable(FixedString(3)))",
    "Nullable(String)",
    "Nullable(DateTime64(6))",
    "Array(UInt8)",
    "Array(Array(Nullable(String)))",
    "Array(Tuple())",
    "Map(LowCardinality(String), Decimal(18, 12))",
    "Map(String, Map(UInt8, Array(String)))",
    "Tuple(UInt8, String)",
    "Tuple(a UInt8, `b c` Nullable(Int256), Array String)",
    "Nested(a UInt8, `b.c` Array(String))",
    "SimpleAggregateFunction(sum, UInt64)",
    "SimpleAggregateFunction(groupArrayArray, Array(String))",
    "Point",
    "Ring",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
];

/// Expressions for the other types, over the generated columns `n UInt64` and `s String`.
const COMPUTED: &[&str] = &[
    "CAST(toInt32(n % 86400) AS Time)",
    "CAST(toInt64(n % 86400) AS Time64(6))",
    "CAST(n % 1000 AS BFloat16)",
    "toIntervalNanosecond(n)",
    "toIntervalMicrosecond(n)",
    "toIntervalMillisecond(n)",
    "toIntervalSecond(n)",
    "toIntervalMinute(n)",
    "toIntervalHour(n)",
    "toIntervalDay(n)",
    "toIntervalWeek(n)",
    "toIntervalMonth(n)",
    "toIntervalQuarter(n)",
    "toIntervalYear(n)",
    r#"CAST(concat('{"k": ', toString(n), ', "s": [1.5, "', hex(s), '"]}') AS JSON)"#,
    r#"CAST(concat('{"k": ', toString(n), '}') AS JSON(max_dynamic_paths = 4, k UInt64, `a b`.c Array(String), SKIP z, SKIP REGEXP '\\(\''))"#,
    "if(n % 2 = 0, NULL, CAST('{}' AS JSON))",
    "CAST([1, n % 7, 3] AS QBit(BFloat16, 3))",
    "CAST(range(16) AS QBit(Float64, 16))",
    "multiIf(n % 6 = 0, CAST((1., 2.) AS Point)::Geometry, n % 6 = 1, CAST([(1., 2.)] AS Ring)::Geometry, \
     n % 6 = 2, CAST([(1., 2.)] AS LineString)::Geometry, n % 6 = 3, CAST([[(1., 2.)]] AS Polygon)::Geometry, \
     n % 6 = 4, CAST([[(1., 2.)]] AS MultiLineString)::Geometry, CAST([[[(1., 2.)]]] AS MultiPolygon)::Geometry)",
    "NULL",
    "[]",
    "[NULL]",
    "tuple()",
    "if(n % 2 = 0, (n, s), NULL)",
    "repeat(s, n % 200)",
];

/// A column of random type.
#[derive(Debug, Clone)]
pub enum Shape {
    Generated(&'static str),
    Computed(&'static str),
    /// Up to three equal elements.
    Array(Box<Shape>),
    Map(Box<Shape>),
    Tuple(Vec<Shape>),
    /// One of the shapes or NULL; the server makes a `Variant` of it unless the types have one in
    /// common.
    Choice(Vec<Shape>),
}

impl Shape {
    /// The expression for the column; what has to be generated for it is added to the structure.
    pub fn sql(&self, structure: &mut String) -> String {
        match self {
            Self::Generated(type_name) => {
                let column = format!("g{}", structure.len());
                write!(structure, ", {column} {type_name}").unwrap();
                column
            }
            Self::Computed(sql) => (*sql).to_owned(),
            Self::Array(element) => {
                format!("arrayMap(i -> {}, range(n % 4))", element.sql(structure))
            }
            Self::Map(value) => format!("map(s, {})", value.sql(structure)),
            Self::Tuple(elements) => format!("tuple({})", join(elements, structure)),
            Self::Choice(shapes) => {
                let count = shapes.len() + 1;
                let mut cases = String::new();
                for (index, shape) in shapes.iter().enumerate() {
                    let value = shape.sql(structure);
                    write!(cases, "n % {count} = {index}, {value}, ").unwrap();
                }
                format!("multiIf({cases}NULL)")
            }
        }
    }
}

fn join(shapes: &[Shape], structure: &mut String) -> String {
    shapes.iter().map(|shape| shape.sql(structure)).collect::<Vec<_>>().join(", ")
}

/// Random types: one of those above, inside up to three others.
pub fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        3 => prop::sample::select(GENERATED).prop_map(Shape::Generated),
        2 => prop::sample::select(COMPUTED).prop_map(Shape::Computed),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|element| Shape::Array(Box::new(element))),
            inner.prop_map(|value| Shape::Map(Box::new(value))),
            some.clone().prop_map(Shape::Tuple),
            some.prop_map(Shape::Choice),
        ]
    })
}
