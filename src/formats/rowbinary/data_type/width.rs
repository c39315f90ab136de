//! How many bytes the values of a type take in RowBinary.

use super::{DataType, Field, GeoType};

impl DataType {
    /// The number of bytes that every value of this type takes, or `None` if it depends on the
    /// value.
    ///
    /// Sums are saturating: a width of `u64::MAX` bytes is one that no row can have.
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

    /// The number of bytes that a value of this type takes at least. It is 0 only for types whose
    /// values never take any, such as `Tuple()`.
    #[must_use]
    pub fn minimum_width(&self) -> u64 {
        match self {
            Self::LowCardinality(inner) | Self::SimpleAggregateFunction { value: inner, .. } => {
                inner.minimum_width()
            }
            Self::Tuple(fields) => minimum_width_of_fields(fields),
            // A flag, a length or a discriminator comes first, and may be all.
            other => other.fixed_width().unwrap_or(1),
        }
    }
}

/// The number of bytes that the elements of a tuple take together at least.
pub(in crate::formats::rowbinary) fn minimum_width_of_fields(fields: &[Field]) -> u64 {
    fields.iter().fold(0, |sum: u64, field| sum.saturating_add(field.data_type.minimum_width()))
}
