//! Type names as the server writes them, on one line.

use std::fmt;

use super::{DataType, EnumValue, Field, GeoType, IntervalUnit};

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
