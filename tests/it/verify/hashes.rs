//! Sums of hashes: the same for equal values, wherever they come from, and others for other values.

use std::collections::HashMap;
use std::fmt::Write;

use super::fixture::questions;
use crate::jobs::fixture::{JobFile, UNUSUAL_TYPES, make};
use crate::support::Server;

/// Types, each with values that are not equal. Those of JSON are the texts of values.
const VALUES: &[(&str, &[&str])] = &[
    ("UInt8", &["0", "1", "255"]),
    ("Int64", &["0", "-1", "1"]),
    ("UInt256", &["0", "1", "toUInt256(1) * 1000000007 * 1000000009 * 1000000021"]),
    ("Float64", &["0.", "-0.", "nan", "inf", "1.5"]),
    ("BFloat16", &["0.", "1.5"]),
    ("Bool", &["false", "true"]),
    ("Decimal(38, 10)", &["0", "0.01", "-1"]),
    ("String", &["''", "'a'", "'\\0'", "'a\\0'", "repeat('x', 100)"]),
    ("FixedString(3)", &["''", "'a'", "'abc'"]),
    (
        "UUID",
        &[
            "toUUID('00000000-0000-0000-0000-000000000000')",
            "toUUID('10000000-0000-0000-0000-000000000001')",
        ],
    ),
    ("IPv6", &["'::'", "'::1'", "'1::'"]),
    ("Date32", &["'1970-01-01'", "'1900-01-01'"]),
    ("DateTime64(6)", &["0", "1", "-1"]),
    ("Time", &["'00:00:00'", "'00:00:01'"]),
    ("Enum8('a' = 0, 'b' = 2)", &["'a'", "'b'"]),
    ("Nullable(UInt8)", &["NULL", "0", "1"]),
    ("Nullable(String)", &["NULL", "''", "'a'", "'\\0'"]),
    ("Nullable(Float64)", &["NULL", "0.", "-0.", "nan"]),
    ("Nullable(DateTime64(3))", &["NULL", "0", "1"]),
    ("Nullable(UUID)", &["NULL", "toUUID('00000000-0000-0000-0000-000000000000')"]),
    ("LowCardinality(String)", &["''", "'a'", "'b'"]),
    ("LowCardinality(Nullable(String))", &["NULL", "''", "'a'"]),
    ("LowCardinality(UInt32)", &["0", "1"]),
    ("Array(String)", &["[]", "['']", "['', '']", "['a', 'b']", "['b', 'a']", "['ab']"]),
    ("Array(Nullable(String))", &["[]", "[NULL]", "['']", "[NULL, '']", "['', NULL]"]),
    (
        "Array(Array(String))",
        &["[]", "[[]]", "[[], []]", "[['a'], ['b']]", "[['a', 'b'], []]", "[['a', 'b']]"],
    ),
    (
        "Array(LowCardinality(Nullable(String)))",
        &["[]", "[NULL]", "['']", "['a', NULL]", "[NULL, 'a']"],
    ),
    ("Array(Nullable(Float32))", &["[]", "[0.]", "[-0.]", "[NULL]", "[nan]"]),
    (
        "Array(Tuple(Nullable(String), UInt8))",
        &["[]", "[('', 0)]", "[(NULL, 0)]", "[('', 0), (NULL, 0)]", "[(NULL, 0), ('', 0)]"],
    ),
    (
        "Map(LowCardinality(String), UInt64)",
        &["map()", "map('', 0)", "map('a', 1, 'b', 2)", "map('a', 2, 'b', 1)"],
    ),
    ("Map(String, Nullable(String))", &["map()", "map('', NULL)", "map('', '')", "map('a', NULL)"]),
    (
        "Map(String, Array(String))",
        &[
            "map()",
            "map('', [])",
            "map('', [''])",
            "map('a', ['b'], 'c', [])",
            "map('a', [], 'c', ['b'])",
        ],
    ),
    (
        "Map(String, Map(String, UInt8))",
        &["map()", "map('', map())", "map('', map('', 0))", "map('a', map('b', 1))"],
    ),
    ("Tuple(a String, b Nullable(UInt8))", &["('', 0)", "('', NULL)", "('a', 0)", "('a', NULL)"]),
    (
        "Tuple(a Array(String), b Array(String))",
        &["([], [])", "(['a'], ['b'])", "(['a', 'b'], [])", "([], ['a', 'b'])"],
    ),
    ("Nested(a String, b UInt8)", &["[]", "[('', 0)]", "[('a', 1), ('b', 2)]"]),
    ("Variant(String, UInt64)", &["NULL", "''", "toUInt64(0)", "'x'"]),
    (
        "JSON",
        &[
            "'{}'",
            "PATHS",
            "'{\"a\": 1}'",
            "'{\"a\": \"1\"}'",
            "'{\"b\": 1}'",
            "'{\"a\": {\"b\": 1}}'",
            "'{\"a\": [{\"y\": 1, \"x\": [2, \"z\"]}, {\"x\": 1}]}'",
        ],
    ),
    (
        "JSON(max_dynamic_paths=2)",
        &["'{}'", "PATHS", "'{\"a\": 1, \"q\": 1.5}'", "'{\"a\": 1, \"q\": \"1.5\"}'"],
    ),
    ("JSON(max_dynamic_paths=0)", &["'{}'", "PATHS", "'{\"a\": 1}'", "'{\"a\": true}'"]),
    (
        "JSON(max_dynamic_types=1, a Int64, SKIP c)",
        &["'{}'", "PATHS", "'{\"a\": 1, \"d\": 1}'", "'{\"a\": 1, \"d\": [1]}'"],
    ),
    (
        "Array(JSON)",
        &["'[]'", r#"'[\'{"b": 1, "a": 2}\', \'{}\']'"#, r#"'[\'{}\', \'{"b": 1, "a": 2}\']'"#],
    ),
];

/// A JSON text with other paths in each row, in other orders.
const PATHS: &str = "concat('{', arrayStringConcat(arrayMap(i -> concat('\"p', toString(i), '\": ', [toString(i), '\"x\"', 'null', '[1, \"y\"]', '{\"k\": 1}'][1 + (i + id) % 5]), arraySort(i -> intHash32(i + id), range(id % 7))), ', '), '}')";
/// Rows, and the number of different rows.
const ROWS: usize = 480;
const KINDS: usize = 8;

fn value(type_name: &str, values: &[&str]) -> String {
    let is_json = type_name.contains("JSON");
    let case = |value: &str| {
        if is_json { value.to_owned() } else { format!("CAST({value} AS {type_name})") }
    };
    let mut cases: Vec<_> = values.iter().map(|value| case(value)).collect();
    let last = cases.remove(0);
    let mut text = "multiIf(".to_owned();
    for (number, value) in cases.iter().enumerate() {
        write!(text, "id % {KINDS} = {}, {value}, ", number + 1).unwrap();
    }
    write!(text, "{last})").unwrap();
    if is_json { format!("CAST({} AS {type_name})", text.replace("PATHS", PATHS)) } else { text }
}

struct Tables {
    server: Server,
    job: JobFile,
}

impl Tables {
    fn filled() -> Self {
        let server = Server::shared();
        let (mut columns, mut values, mut job) = (String::new(), String::new(), String::new());
        for (number, (type_name, of_type)) in VALUES.iter().enumerate() {
            write!(columns, ", c{number} {type_name}").unwrap();
            write!(values, ", {} AS c{number}", value(type_name, of_type)).unwrap();
            writeln!(job, "c{number} = 'source.c{number}'").unwrap();
        }
        let table = |name: &str, engine: &str| {
            format!(
                "CREATE TABLE {name} (id UInt32{columns}) ENGINE = {engine} ORDER BY id SETTINGS min_bytes_for_wide_part = 0, ratio_of_defaults_for_sparse_serialization = 0.1"
            )
        };
        let rows = |part: u32| {
            format!(
                "INSERT INTO stored SELECT id{values} FROM (SELECT toUInt32(number) AS id FROM numbers({ROWS}) WHERE number % 2 = {part}) ORDER BY intHash32(id)"
            )
        };
        make(
            &server,
            &[
                table("stored", "MergeTree"),
                table("copies", "ReplacingMergeTree"),
                rows(0),
                rows(1),
            ],
        );
        let job = JobFile::new(&format!(
            "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n[columns]\nid = 'source.id'\n{job}"
        ));
        job.tool(&server, "run").run().expect(0);
        Self { server, job }
    }

    /// Compares, and holds that no rows were looked at.
    #[track_caller]
    fn assert_equal_by_sums(&self, what: &str) {
        let begun = questions(&self.server);
        let output = self.job.tool(&self.server, "verify").run();
        assert_eq!(
            (output.status, questions(&self.server) - begun),
            (Some(0), 1),
            "{what}\n{output}"
        );
    }

    /// Gives one row of each group of keys, or less, another value in one column, and holds that each
    /// is found: a group has no other difference by which it could be.
    #[track_caller]
    fn assert_each_found(&self, changes: &[(usize, usize)]) {
        let groups = self.server.text(&format!(
            "SELECT groupArray((bucket, kind, least)) FROM (SELECT sipHash64(formatRow('RowBinary', id)) % 16 AS bucket, id % {KINDS} AS kind, min(id) AS least FROM copies GROUP BY bucket, kind)"
        ));
        let groups: Vec<(usize, usize, u32)> =
            serde_json::from_str(&groups.replace('(', "[").replace(')', "]")).unwrap();
        let ids: HashMap<_, _> =
            groups.into_iter().map(|(bucket, kind, id)| ((bucket, kind), id)).collect();
        for changes in changes.chunks(16) {
            let mut expected = Vec::new();
            for (bucket, &(column, kind)) in changes.iter().enumerate() {
                let Some(id) = ids.get(&(bucket, kind)) else { continue };
                let (type_name, values) = VALUES[column];
                let other = values[(kind + 1) % values.len()].replace("PATHS", "'{\"paths\": 1}'");
                // Of equal versions, the later insert wins.
                let insert = format!(
                    "INSERT INTO copies SELECT * REPLACE (CAST({other} AS {type_name}) AS c{column}) FROM copies FINAL WHERE id = {id}"
                );
                self.server.query_with(&insert, UNUSUAL_TYPES);
                expected.push((id.to_string(), format!("c{column}")));
            }
            assert!(expected.len() > changes.len() / 2, "{expected:?}");
            let output = self.job.tool(&self.server, "verify").arg("--json").run().expect(4);
            let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let rows = report["rows"].as_array().unwrap().iter();
            let mut named: Vec<_> =
                rows.map(|row| (text(&row["key"]["id"]), text(&row["columns"][0]))).collect();
            named.sort();
            expected.sort();
            assert_eq!(named, expected, "{changes:?}\n{output}");
            // As the job fills them.
            let ids: Vec<_> = expected.iter().map(|(id, _)| id.as_str()).collect();
            let back =
                format!("INSERT INTO copies SELECT * FROM stored WHERE id IN ({})", ids.join(", "));
            self.server.query_with(&back, UNUSUAL_TYPES);
        }
    }
}

/// Each value of each type with the kind of the rows that have it.
fn all_changes() -> Vec<(usize, usize)> {
    let columns = VALUES.iter().enumerate();
    columns
        .flat_map(|(column, (_, values))| (0..values.len()).map(move |kind| (column, kind)))
        .collect()
}

#[test]
#[ignore = "slow: about 11 s"]
fn equal_values_have_equal_sums_wherever_they_come_from() {
    let tables = Tables::filled();
    tables.assert_equal_by_sums("as filled");
    let sparse = "SELECT count() > 0 FROM system.parts_columns WHERE database = currentDatabase() AND table = 'copies' AND active AND serialization_kind = 'Sparse'";
    assert_eq!(tables.server.text(sparse), "1");
    // Other parts, in other orders: JSON keeps other paths in columns of their own.
    for part in 0..3 {
        let sql = format!(
            "INSERT INTO copies SELECT * FROM copies WHERE id % 3 = {part} ORDER BY id DESC"
        );
        tables.server.query_with(&sql, UNUSUAL_TYPES);
    }
    tables.assert_equal_by_sums("as inserted in other parts");
    tables.server.query("OPTIMIZE TABLE copies FINAL");
    tables.assert_equal_by_sums("as merged");
    tables.server.query("OPTIMIZE TABLE stored FINAL");
    tables.assert_equal_by_sums("as merged on both sides");
}

#[test]
#[ignore = "slow: every value of each type"]
fn all_other_values_have_other_sums() {
    Tables::filled().assert_each_found(&all_changes());
}
