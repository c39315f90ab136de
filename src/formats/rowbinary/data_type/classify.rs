//! Questions that other rooms ask of a type, answered without looking at values.

use super::{DataType, Field};

impl DataType {
    /// Whether a value may be a NULL in the sense of `Nullable`, also inside `LowCardinality`.
    ///
    /// A `Variant` can be NULL as well, but it is not a `Nullable`: ClickHouse converts the two
    /// differently.
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

    /// Whether values hold floating-point numbers, at any depth: equal numbers may then differ in
    /// their bytes (0 and −0), and NaN is equal to nothing.
    ///
    /// A `JSON` is a string here, whatever numbers stand in it.
    #[must_use]
    pub fn contains_float(&self) -> bool {
        self.any(&|data_type| {
            matches!(data_type, Self::BFloat16 | Self::Float32 | Self::Float64 | Self::Geo(_))
        })
    }

    /// Whether values hold a `JSON`, at any depth.
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

    /// The type inside a `Nullable`, or the type itself. It looks through a `LowCardinality` first.
    #[must_use]
    pub fn strip_nullable(&self) -> &Self {
        match self.strip_low_cardinality() {
            Self::Nullable(inner) => inner,
            other => other,
        }
    }

    /// Whether the predicate holds for this type or for one that is part of it.
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
