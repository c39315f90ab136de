//! Columns of types.

use super::{Column, Dictionary, Pieces};
use crate::formats::native::error::UnsupportedReason;
use crate::formats::rowbinary::{DataType, Field};

/// The widest NULL, in bytes. It takes one byte in a row, and must not make a block of a moderate
/// batch a huge one.
const WIDEST_NULL: u64 = 256;

impl Column {
    /// A column without values.
    pub(in crate::formats::native) fn new(data_type: &DataType) -> Result<Self, UnsupportedReason> {
        let another_form = || UnsupportedReason::AnotherForm(data_type.to_string());
        Ok(match data_type {
            DataType::String => Self::String(Pieces::default()),
            DataType::Json(_) => Self::Json(Pieces::default()),
            DataType::Nothing => Self::Empty { values: 0 },
            DataType::Nullable(inner) => {
                let bytes = null_bytes(inner);
                if bytes > WIDEST_NULL {
                    return Err(UnsupportedReason::WideNull { bytes });
                }
                Self::Nullable { flags: Pieces::default(), values: Box::new(Self::new(inner)?) }
            }
            DataType::LowCardinality(inner) => {
                Self::LowCardinality(Box::new(Dictionary::new(inner).ok_or_else(another_form)?))
            }
            DataType::SimpleAggregateFunction { value, .. } => Self::new(value)?,
            DataType::Array(element) => {
                Self::array(element.minimum_width(), Self::new(element)?, data_type)?
            }
            DataType::Map(key, value) => {
                let entry = Self::Tuple([Self::new(key)?, Self::new(value)?].into());
                Self::array(
                    key.minimum_width().saturating_add(value.minimum_width()),
                    entry,
                    data_type,
                )?
            }
            DataType::Nested(fields) => {
                let minimum = fields
                    .iter()
                    .fold(0, |sum: u64, field| sum.saturating_add(field.data_type.minimum_width()));
                Self::array(minimum, Self::tuple(fields)?, data_type)?
            }
            DataType::Tuple(fields) => Self::tuple(fields)?,
            DataType::Variant(types) => Self::Variant {
                discriminators: Pieces::default(),
                types: types.iter().map(Self::new).collect::<Result<_, _>>()?,
            },
            DataType::Geo(geo) => Self::new(&geo.structure())?,
            // `QBit` has no fixed width either.
            other => {
                let width = other
                    .fixed_width()
                    .and_then(|width| usize::try_from(width).ok())
                    .ok_or_else(another_form)?;
                Self::Fixed { width, values: Pieces::default() }
            }
        })
    }

    fn array(minimum: u64, element: Self, data_type: &DataType) -> Result<Self, UnsupportedReason> {
        if minimum == 0 {
            return Err(UnsupportedReason::ElementsWithoutBytes(data_type.to_string()));
        }
        Ok(Self::Array {
            ends: Pieces::default(),
            elements: 0,
            minimum,
            element: Box::new(element),
        })
    }

    fn tuple(fields: &[Field]) -> Result<Self, UnsupportedReason> {
        if fields.is_empty() {
            return Ok(Self::Empty { values: 0 });
        }
        Ok(Self::Tuple(
            fields.iter().map(|field| Self::new(&field.data_type)).collect::<Result<_, _>>()?,
        ))
    }
}

/// The bytes that a block has for a NULL.
fn null_bytes(data_type: &DataType) -> u64 {
    match data_type {
        DataType::Tuple(fields) => fields
            .iter()
            .fold(1, |sum: u64, field| sum.saturating_add(null_bytes(&field.data_type))),
        DataType::Nullable(inner) | DataType::SimpleAggregateFunction { value: inner, .. } => {
            null_bytes(inner).saturating_add(1)
        }
        // Eight bytes are the end of an array; the other values are shorter.
        other => other.fixed_width().unwrap_or(8),
    }
}
