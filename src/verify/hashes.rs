//! SQL for hashes of values, in the two forms that a comparison uses.
//!
//! The *exact* form decides whether two values are equal. It hashes the value's
//! [RowBinary](https://clickhouse.com/docs/interfaces/formats/RowBinary) bytes, which distinguish NULL
//! from a default and exist for every type; those of a JSON value are its text. Two kinds of equal
//! values have different bytes and are normalized first: the pairs of a Map are sorted by key, at any
//! depth, and every NaN becomes the same one.
//!
//! The *summed* form is computed for every row and costs a fifth of the exact one. Values that differ
//! by the exact form have different summed hashes. Equal ones need not have the same, since a group of
//! keys whose sums differ is compared by the exact form; but where they have not, every group is.

use crate::clickhouse::{quote_literal, split_list};
use crate::formats::rowbinary::{DataType, Field};

/// The setting that [`summed`] needs in a query of its own: JSON as paths and typed values.
pub(super) const JSON_AS_PATHS: &str = "output_format_binary_write_json_as_string = 0";
/// The setting under which the job's own expressions are evaluated.
pub(super) const JSON_AS_TEXT: &str = "output_format_binary_write_json_as_string = 1";

/// How JSON values are normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Json {
    /// Not at all: their texts are compared, in which paths are sorted.
    Text,
    /// Without paths of their own columns. Such a value keeps its paths in order, wherever it came
    /// from; otherwise the order is that in which a part or a block saw them first.
    SortedPaths,
}

/// SQL for the summed hash of `value`, SQL of this type, in a row with this `key`: otherwise values
/// that two rows have swapped would cancel out in a sum.
pub(super) fn summed(key: &str, value: &str, type_name: &str) -> String {
    let parsed = DataType::parse(type_name).ok();
    let form = parsed.as_ref().and_then(|parsed| form(value, parsed, 0, Json::SortedPaths));
    let form = form.unwrap_or_else(|| value.to_owned());
    // In a tuple, NULL has a hash of its own.
    match parsed {
        Some(parsed) if is_hashed_by_value(&parsed) => format!("cityHash64(tuple({key}, {form}))"),
        _ => format!("cityHash64(tuple({key}, {}))", bytes_of(&[form])),
    }
}

/// Whether a value of this type has JSON, whose summed hash needs [`JSON_AS_PATHS`].
pub(super) fn needs_json_as_paths(type_name: &str) -> bool {
    DataType::parse(type_name).map_or(true, |parsed| parsed.contains_json())
}

/// SQL for the text of a value in `TabSeparatedRaw`, without the line break.
pub(super) fn text_of(value: &str) -> String {
    let row = format!("formatRow('TabSeparatedRaw', {value})");
    format!("substring({row}, 1, length({row}) - 1)")
}

/// SQL for the form of `value`, SQL of this type, in which equal values are the same. Values of
/// unknown types are not normalized.
pub(super) fn normalized(value: &str, type_name: &str) -> String {
    DataType::parse(type_name)
        .ok()
        .and_then(|parsed| form(value, &parsed, 0, Json::Text))
        .unwrap_or_else(|| value.to_owned())
}

fn bytes_of(values: &[String]) -> String {
    format!("formatRow({}, {})", quote_literal("RowBinary"), values.join(", "))
}

/// Whether `cityHash64` of two values of this type is the same only if their bytes are, wherever the
/// values come from: constants, dictionaries, sparse columns. Tried for each of these types.
fn is_hashed_by_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::Integer { .. }
        | DataType::Float32
        | DataType::Float64
        | DataType::Bool
        | DataType::Decimal { .. }
        | DataType::String
        | DataType::FixedString(_)
        | DataType::Uuid
        | DataType::Ipv4
        | DataType::Ipv6
        | DataType::Date
        | DataType::Date32
        | DataType::DateTime(_)
        | DataType::DateTime64 { .. }
        | DataType::Enum8(_)
        | DataType::Enum16(_) => true,
        DataType::Nullable(inner) | DataType::LowCardinality(inner) | DataType::Array(inner) => {
            is_hashed_by_value(inner)
        }
        DataType::Map(key, value) => is_hashed_by_value(key) && is_hashed_by_value(value),
        DataType::Tuple(fields) | DataType::Nested(fields) => {
            !fields.is_empty() && fields.iter().all(|field| is_hashed_by_value(&field.data_type))
        }
        _ => false,
    }
}

/// `None` if the value needs no normalization.
fn form(value: &str, data_type: &DataType, depth: usize, json: Json) -> Option<String> {
    match data_type {
        DataType::Float32 | DataType::Float64 => {
            Some(format!("if(isNaN({value}), CAST('nan' AS {data_type}), {value})"))
        }
        DataType::Nullable(inner) if matches!(**inner, DataType::Float32 | DataType::Float64) => {
            Some(format!("if(ifNull(isNaN({value}), 0), CAST('nan' AS {data_type}), {value})"))
        }
        DataType::Json(parameters) if json == Json::SortedPaths => {
            sorted_paths(parameters.as_deref())
                .map(|type_name| format!("CAST({value} AS {type_name})"))
        }
        DataType::Nullable(inner) => match &**inner {
            DataType::Json(parameters) if json == Json::SortedPaths => {
                sorted_paths(parameters.as_deref())
                    .map(|type_name| format!("CAST({value} AS Nullable({type_name}))"))
            }
            _ => None,
        },
        DataType::SimpleAggregateFunction { value: inner, .. } => form(value, inner, depth, json),
        DataType::Array(inner) => {
            let element = format!("x{depth}");
            form(&element, inner, depth + 1, json)
                .map(|form| format!("arrayMap({element} -> {form}, {value})"))
        }
        DataType::Map(_, inner) => {
            let (key, element) = (format!("k{depth}"), format!("x{depth}"));
            let inner = form(&element, inner, depth + 1, json);
            let mapped = inner.map_or_else(
                || value.to_owned(),
                |form| format!("mapApply(({key}, {element}) -> ({key}, {form}), {value})"),
            );
            Some(format!("mapSort({mapped})"))
        }
        DataType::Tuple(fields) => fields_form(value, fields, depth, json),
        DataType::Nested(fields) => {
            let element = format!("x{depth}");
            fields_form(&element, fields, depth + 1, json)
                .map(|form| format!("arrayMap({element} -> {form}, {value})"))
        }
        _ => None,
    }
}

/// The JSON type with these parameters that keeps no path in a column of its own; `None` if it is that
/// type.
fn sorted_paths(parameters: Option<&str>) -> Option<String> {
    const NONE: &str = "max_dynamic_paths=0";
    let compact = |parameter: &String| parameter.replace(' ', "");
    let parameters = split_list(parameters.unwrap_or_default());
    if parameters.iter().any(|parameter| compact(parameter) == NONE) {
        return None;
    }
    let is_limit = |parameter: &String| compact(parameter).starts_with("max_dynamic_paths=");
    let others =
        parameters.iter().filter(|parameter| !is_limit(parameter) && !parameter.is_empty());
    let all: Vec<_> = std::iter::once(NONE).chain(others.map(String::as_str)).collect();
    Some(format!("JSON({})", all.join(", ")))
}

fn fields_form(value: &str, fields: &[Field], depth: usize, json: Json) -> Option<String> {
    let element = |number: usize| format!("tupleElement({value}, {})", number + 1);
    let forms: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(number, field)| form(&element(number), &field.data_type, depth, json))
        .collect();
    if forms.iter().all(Option::is_none) {
        return None;
    }
    let forms =
        forms.into_iter().enumerate().map(|(number, form)| form.unwrap_or_else(|| element(number)));
    Some(format!("tuple({})", forms.collect::<Vec<_>>().join(", ")))
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
            assert_eq!(normalized("v", type_name), form);
        }
        for type_name in [
            "String",
            "Nullable(Decimal(9, 2))",
            "LowCardinality(String)",
            "JSON",
            "Array(Tuple(String, Date))",
            "Dynamic",
        ] {
            assert_eq!(normalized("v", type_name), "v", "{type_name}");
        }
    }

    #[test]
    fn sums_hash_values_and_of_other_types_their_bytes() {
        for (type_name, hash) in [
            ("Nullable(String)", "cityHash64(tuple(key, v))"),
            ("Map(LowCardinality(String), UInt64)", "cityHash64(tuple(key, mapSort(v)))"),
            ("Array(Tuple(a Nullable(Date), b Enum8('x' = 1)))", "cityHash64(tuple(key, v))"),
            ("Variant(Date, String)", "cityHash64(tuple(key, formatRow('RowBinary', v)))"),
            ("Array(Dynamic)", "cityHash64(tuple(key, formatRow('RowBinary', v)))"),
            ("Tuple()", "cityHash64(tuple(key, formatRow('RowBinary', v)))"),
            (
                "JSON(max_dynamic_paths=0, a.b UInt32)",
                "cityHash64(tuple(key, formatRow('RowBinary', v)))",
            ),
            (
                "JSON(max_dynamic_types=3, max_dynamic_paths = 8, a.b Tuple(x Date, y Date), SKIP c)",
                "cityHash64(tuple(key, formatRow('RowBinary', CAST(v AS JSON(max_dynamic_paths=0, max_dynamic_types=3, a.b Tuple(x Date, y Date), SKIP c)))))",
            ),
            (
                "Nullable(JSON)",
                "cityHash64(tuple(key, formatRow('RowBinary', CAST(v AS Nullable(JSON(max_dynamic_paths=0))))))",
            ),
            (
                "Array(JSON)",
                "cityHash64(tuple(key, formatRow('RowBinary', arrayMap(x0 -> CAST(x0 AS JSON(max_dynamic_paths=0)), v))))",
            ),
        ] {
            assert_eq!(summed("key", "v", type_name), hash);
        }
        assert!(needs_json_as_paths("Array(JSON)") && needs_json_as_paths("Dynamic"));
        assert!(!needs_json_as_paths("Map(String, String)"));
    }
}
