//! The leading columns of the source's primary key that can bound a chunk.

use serde::{Deserialize, Serialize};

use crate::clickhouse::quote_literal_bytes;
use crate::formats::rowbinary::DataType;

/// A column or an expression of the primary key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Its name in `mergeTreeIndex`.
    pub name: String,
    /// SQL for it in a predicate.
    pub expression: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
}

impl KeyColumn {
    /// SQL that gives a value of this column as text; `value` is SQL for the value.
    ///
    /// Times are written in UTC, because local times are ambiguous when clocks are set back.
    pub(super) fn text_of(&self, value: &str) -> String {
        if self.utc_type().is_some() {
            format!("toString(toTimeZone({value}, 'UTC'))")
        } else {
            format!("toString({value})")
        }
    }

    /// SQL for the value that this text stands for.
    pub(super) fn literal(&self, text: &[u8]) -> String {
        let text = quote_literal_bytes(text);
        match self.utc_type() {
            Some(utc) => format!("CAST({text} AS {utc})"),
            None if self.type_name == "String" => text.to_string(),
            None => format!("CAST({text} AS {})", self.type_name),
        }
    }

    /// For times: the same type in UTC. Times of two zones compare as instants.
    fn utc_type(&self) -> Option<String> {
        let parsed = DataType::parse(&self.type_name).ok()?;
        match parsed.strip_low_cardinality() {
            DataType::DateTime(_) => Some("DateTime('UTC')".to_owned()),
            DataType::DateTime64 { precision, .. } => {
                Some(format!("DateTime64({precision}, 'UTC')"))
            }
            _ => None,
        }
    }
}

/// The leading key columns by which the table can be cut into ranges such that every row lies in
/// exactly one.
///
/// NULL and NaN lie in no range, so the prefix ends before a column that can hold one. Descending
/// columns need no special case: a range says which values it holds, not where they are stored.
pub(super) fn bounding_prefix(key: Vec<KeyColumn>) -> Vec<KeyColumn> {
    let fits = |column: &KeyColumn| {
        DataType::parse(&column.type_name).is_ok_and(|parsed| {
            !parsed.is_nullable()
                && !parsed.contains_float()
                && !parsed.contains_json()
                && is_plain(&parsed)
        })
    };
    key.into_iter().take_while(fits).collect()
}

/// Types whose text form, cast back, gives the same value.
fn is_plain(parsed: &DataType) -> bool {
    !matches!(
        parsed.strip_low_cardinality(),
        DataType::Array(_)
            | DataType::Map { .. }
            | DataType::Tuple(_)
            | DataType::Nested(_)
            | DataType::Variant(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(types: &[&str]) -> usize {
        let column = |name: &&str| KeyColumn {
            name: "x".to_owned(),
            expression: "x".to_owned(),
            type_name: (*name).to_owned(),
        };
        bounding_prefix(types.iter().map(column).collect()).len()
    }

    #[test]
    fn the_prefix_ends_where_a_value_can_lie_outside_of_every_range() {
        assert_eq!(prefix(&["String", "LowCardinality(String)", "Date"]), 3);
        assert_eq!(prefix(&["String", "Nullable(Int32)", "Date"]), 1);
        assert_eq!(prefix(&["LowCardinality(Nullable(String))", "Date"]), 0);
        assert_eq!(prefix(&["Float64", "Date"]), 0);
    }

    #[test]
    fn times_travel_in_utc() {
        let column = |type_name: &str| KeyColumn {
            name: "t".to_owned(),
            expression: "t".to_owned(),
            type_name: type_name.to_owned(),
        };
        let zoned = column("DateTime64(3, 'America/New_York')");
        assert_eq!(zoned.text_of("t"), "toString(toTimeZone(t, 'UTC'))");
        assert_eq!(zoned.literal(b"x"), "CAST('x' AS DateTime64(3, 'UTC'))");
        assert_eq!(column("Date").literal(b"x"), "CAST('x' AS Date)");
    }
}
