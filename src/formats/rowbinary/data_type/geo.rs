//! The geo types, which are other names for arrays, tuples and a variant.

use super::{DataType, Field};

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
    /// A `Variant` of the six others.
    Geometry,
}

impl GeoType {
    /// The type that this one is another name for; it may name further geo types.
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
