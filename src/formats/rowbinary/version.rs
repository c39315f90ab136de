//! Comparing the encoded values of a version column.

use super::DataType;

/// The encoding of a version column: little-endian, 1 to 8 bytes, signed or unsigned.
///
/// The version of a
/// [ReplacingMergeTree](https://clickhouse.com/docs/engines/table-engines/mergetree-family/replacingmergetree)
/// is an unsigned integer, a date or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionEncoding {
    bytes: u8,
    signed: bool,
}

impl VersionEncoding {
    /// The encoding of `Int8` to `Int64`, `UInt8` to `UInt64`, `Date`, `Date32`, `DateTime` and
    /// `DateTime64`, also inside `LowCardinality` or `SimpleAggregateFunction`. `None` for every
    /// other type, including `Nullable` ones.
    #[must_use]
    pub fn of(data_type: &DataType) -> Option<Self> {
        let (bytes, signed) = match data_type {
            DataType::Integer { signed, bits: bits @ (8 | 16 | 32 | 64) } => {
                (u8::try_from(bits / 8).ok()?, *signed)
            }
            DataType::Date => (2, false),
            DataType::Date32 => (4, true),
            DataType::DateTime(_) => (4, false),
            DataType::DateTime64 { .. } => (8, true),
            DataType::LowCardinality(inner)
            | DataType::SimpleAggregateFunction { value: inner, .. } => {
                return Self::of(inner);
            }
            _ => return None,
        };
        Some(Self { bytes, signed })
    }

    /// The length of a value in bytes, 1 to 8.
    #[must_use]
    pub fn width(self) -> usize {
        usize::from(self.bytes)
    }

    /// Maps an encoded value to a number with the order of the values. `None` if the length of
    /// `bytes` is not [`width`](Self::width). Numbers of different encodings are not comparable.
    #[must_use]
    pub fn order(self, bytes: &[u8]) -> Option<u64> {
        if bytes.len() != self.width() {
            return None;
        }
        let value = bytes.iter().rev().fold(0, |value: u64, byte| (value << 8) | u64::from(*byte));
        if !self.signed {
            return Some(value);
        }
        // Flipping the sign bit moves the negative numbers below the positive ones.
        let sign_bit = 1_u64 << (u32::from(self.bytes) * 8 - 1);
        Some(value ^ sign_bit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoding(name: &str) -> Option<VersionEncoding> {
        VersionEncoding::of(&DataType::parse(name).unwrap())
    }

    #[test]
    fn only_narrow_integers_dates_and_times_are_versions() {
        for (name, width) in [
            ("UInt8", 1),
            ("Int16", 2),
            ("Date", 2),
            ("Date32", 4),
            ("DateTime('UTC')", 4),
            ("DateTime64(3)", 8),
            ("LowCardinality(UInt64)", 8),
        ] {
            assert_eq!(encoding(name).map(VersionEncoding::width), Some(width), "{name}");
        }
        for name in
            ["UInt128", "Int256", "String", "Float64", "Nullable(UInt8)", "Decimal(9, 2)", "Bool"]
        {
            assert_eq!(encoding(name), None, "{name}");
        }
    }

    #[test]
    fn a_value_of_another_length_has_no_order() {
        let encoding = encoding("UInt32").unwrap();
        assert_eq!(encoding.order(&[1, 2, 3]), None);
        assert_eq!(encoding.order(&[1, 2, 3, 4, 5]), None);
        assert_eq!(encoding.order(&[1, 2, 3, 4]), Some(0x0403_0201));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_values(a: i64, b: i64, c: i16, d: i16, e: u32, f: u32) {
            let signed = encoding("DateTime64(9)").unwrap();
            prop_assert_eq!(signed.order(&a.to_le_bytes()).cmp(&signed.order(&b.to_le_bytes())), a.cmp(&b));
            let short = encoding("Int16").unwrap();
            prop_assert_eq!(short.order(&c.to_le_bytes()).cmp(&short.order(&d.to_le_bytes())), c.cmp(&d));
            let unsigned = encoding("DateTime").unwrap();
            prop_assert_eq!(unsigned.order(&e.to_le_bytes()).cmp(&unsigned.order(&f.to_le_bytes())), e.cmp(&f));
        }
    }
}
