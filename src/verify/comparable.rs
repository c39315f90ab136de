//! Values in a form in which equal ones have equal bytes.
//!
//! A value is hashed as its [RowBinary](https://clickhouse.com/docs/interfaces/formats/RowBinary)
//! bytes, which tell NULL from a default, exist for every type, and are its text for JSON. What is
//! left: a Map is a set of pairs, so pairs are sorted by key, at any depth; and NaN has many forms.

use crate::clickhouse::quote_literal;
use crate::formats::rowbinary::{DataType, Field};

/// SQL for the comparable form of `value`, SQL of this type. A type that is not known is compared
/// as it is.
pub(super) fn comparable(value: &str, type_name: &str) -> String {
    DataType::parse(type_name)
        .ok()
        .and_then(|parsed| form(value, &parsed, 0))
        .unwrap_or_else(|| value.to_owned())
}

/// `None` where the value is comparable as it is.
fn form(value: &str, data_type: &DataType, depth: usize) -> Option<String> {
    match data_type {
        DataType::Float32 | DataType::Float64 => {
            Some(format!("if(isNaN({value}), CAST('nan' AS {data_type}), {value})"))
        }
        DataType::Nullable(inner) if matches!(**inner, DataType::Float32 | DataType::Float64) => {
            Some(format!("if(ifNull(isNaN({value}), 0), CAST('nan' AS {data_type}), {value})"))
        }
        DataType::SimpleAggregateFunction { value: inner, .. } => form(value, inner, depth),
        DataType::Array(inner) => {
            let element = format!("x{depth}");
            form(&element, inner, depth + 1)
                .map(|form| format!("arrayMap({element} -> {form}, {value})"))
        }
        DataType::Map(_, inner) => {
            let (key, element) = (format!("k{depth}"), format!("x{depth}"));
            let inner = form(&element, inner, depth + 1);
            let mapped = inner.map_or_else(
                || value.to_owned(),
                |form| format!("mapApply(({key}, {element}) -> ({key}, {form}), {value})"),
            );
            Some(format!("mapSort({mapped})"))
        }
        DataType::Tuple(fields) => fields_form(value, fields, depth),
        DataType::Nested(fields) => {
            let element = format!("x{depth}");
            fields_form(&element, fields, depth + 1)
                .map(|form| format!("arrayMap({element} -> {form}, {value})"))
        }
        _ => None,
    }
}

fn fields_form(value: &str, fields: &[Field], depth: usize) -> Option<String> {
    let element = |number: usize| format!("tupleElement({value}, {})", number + 1);
    let forms: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(number, field)| form(&element(number), &field.data_type, depth))
        .collect();
    if forms.iter().all(Option::is_none) {
        return None;
    }
    let forms =
        forms.into_iter().enumerate().map(|(number, form)| form.unwrap_or_else(|| element(number)));
    Some(format!("tuple({})", forms.collect::<Vec<_>>().join(", ")))
}

/// SQL for a hash of these values' bytes.
pub(super) fn hash_of(values: &[String]) -> String {
    format!("sipHash64(formatRow({}, {}))", quote_literal("RowBinary"), values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_sorted_at_any_depth() {
        for (type_name, form) in [
            ("Map(String, UInt8)", "mapSort(v)"),
            ("Array(Map(String, UInt8))", "arrayMap(x0 -> mapSort(x0), v)"),
            (
                "Map(String, Array(Map(String, UInt8)))",
                "mapSort(mapApply((k0, x0) -> (k0, arrayMap(x1 -> mapSort(x1), x0)), v))",
            ),
            (
                "Tuple(a String, b Map(String, UInt8))",
                "tuple(tupleElement(v, 1), mapSort(tupleElement(v, 2)))",
            ),
        ] {
            assert_eq!(comparable("v", type_name), form);
        }
        for type_name in [
            "String",
            "Nullable(Decimal(9, 2))",
            "LowCardinality(String)",
            "JSON",
            "Array(Tuple(String, Date))",
            "Dynamic",
        ] {
            assert_eq!(comparable("v", type_name), "v", "{type_name}");
        }
    }
}
