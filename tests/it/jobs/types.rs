//! Values of every type on their way through: as a source column, and as an attribute that is found
//! or not. A miss gives what a join gives that finds nothing, which is not always what a table's
//! default would be.

use super::fixture::{JobFile, UNUSUAL_TYPES, assert_fills_with, make};
use crate::support::{Output, Server};

/// Types that `generateRandom` can fill.
const RANDOM: &[&str] = &[
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "Int256",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt128",
    "UInt256",
    "Float32",
    "Float64",
    "Bool",
    "Decimal(9, 3)",
    "Decimal(18, 12)",
    "Decimal(38, 10)",
    "Decimal(76, 20)",
    "String",
    "FixedString(7)",
    "UUID",
    "IPv4",
    "IPv6",
    "Date",
    "Date32",
    "DateTime",
    "DateTime('Asia/Tokyo')",
    "DateTime64(3)",
    "DateTime64(9, 'UTC')",
    "Enum8('a' = -5, 'b' = 7)",
    "Enum16('it\\'s' = 300, '\\\\' = 400)",
    "LowCardinality(String)",
    "LowCardinality(Nullable(String))",
    "LowCardinality(FixedString(3))",
    "LowCardinality(UInt16)",
    "Nullable(String)",
    "Nullable(Decimal(76, 20))",
    "Nullable(UUID)",
    "Nullable(Date32)",
    "Nullable(Enum8('x' = 1))",
    "Array(String)",
    "Array(Nullable(Int64))",
    "Array(Array(LowCardinality(String)))",
    "Array(Tuple(UInt8, String))",
    "Map(String, String)",
    "Map(LowCardinality(String), Array(UInt64))",
    "Map(String, Map(UInt8, Decimal(18, 2)))",
    "Tuple(UInt8, Nullable(String))",
    "Tuple(first Date32, `second one` Array(Int256))",
    "Point",
    "Ring",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "Nested(x UInt8, y Array(String))",
];

/// Types that it cannot, with an expression over `number`.
const MADE: &[(&str, &str)] = &[
    ("Time", "toInt32(number) - 200"),
    ("Time64(6)", "CAST(toInt32(number) - 200 AS Time64(6))"),
    ("BFloat16", "toFloat32(number) / 3"),
    (
        "JSON",
        "concat('{\"a\":', toString(number), ',\"b\":{\"c\":[1,null,{\"d\":\"\\\\u00e4\"}]},\"e.f\":\"', hex(number), '\"}')",
    ),
    (
        "JSON(a UInt32, b.c String, SKIP d)",
        "concat('{\"a\":', toString(number), ',\"b\":{\"c\":\"x\"},\"d\":1,\"e\":true}')",
    ),
    ("Array(JSON)", "[concat('{\"a\":', toString(number), '}'), '{}']"),
    (
        "Variant(Array(String), String, UInt64)",
        "CAST([NULL, 'text', number, ['a', 'b']][1 + number % 4] AS Variant(Array(String), String, UInt64))",
    ),
    (
        "Geometry",
        "if(number % 2 = 0, CAST(CAST((number, 1.5) AS Point) AS Geometry), CAST(NULL AS Geometry))",
    ),
    ("QBit(Float32, 8)", "arrayMap(i -> toFloat32(i + number), range(8))"),
    ("Array(Tuple())", "arrayMap(i -> tuple(), range(number % 3))"),
    ("Nullable(Tuple(UInt8, String))", "if(number % 2 = 0, NULL, tuple(number, 'x'))"),
    ("SimpleAggregateFunction(max, UInt64)", "number"),
    ("SimpleAggregateFunction(groupArrayArray, Array(String))", "[toString(number)]"),
];

#[test]
fn values_of_every_type_pass_and_misses_are_those_of_the_join() {
    let output = assert_values_pass(MADE, &[]);
    assert!(output.stderr.contains("JSON travels as text"), "{output}");
}

#[test]
fn values_of_every_type_pass_in_blocks() {
    // These have another form there.
    let made: Vec<_> = MADE
        .iter()
        .copied()
        .filter(|(name, _)| !["QBit(Float32, 8)", "Array(Tuple())"].contains(name))
        .collect();
    let output =
        assert_values_pass(&made, &["--engine", "stream", "--read-format", "native", "-v"]);
    let reads = "reads       native blocks, whose columns are passed on";
    assert!(output.stderr.contains(reads), "{output}");
}

#[test]
fn types_with_another_form_in_blocks_are_read_as_rows_and_the_run_says_so() {
    let server = Server::shared();
    make(
        &server,
        &[
            "CREATE TABLE rows (id UInt64, value QBit(Float32, 8)) ENGINE = MergeTree ORDER BY id",
            "CREATE TABLE copies (id UInt64, value QBit(Float32, 8)) ENGINE = ReplacingMergeTree ORDER BY id",
            "INSERT INTO rows SELECT number, arrayMap(i -> toFloat32(i + number), range(8)) FROM numbers(100)",
        ]
        .map(str::to_owned),
    );
    let job = "name = 'x'\n[source]\ntable = 'rows'\n[target]\ntable = 'copies'\n[columns]\nid = 'source.id'\nvalue = 'source.value'\n";
    let expected = "SELECT id, value FROM rows";
    let native = ["--engine", "stream", "--read-format", "native", "-v"];
    let output = assert_fills_with(&server, job, &native, "copies", &["id"], expected);
    let note = "note        the source is read as RowBinary: column `value` of type QBit(Float32, 8) cannot be sent in Native";
    assert!(output.stderr.contains(note), "{output}");
    assert!(!output.stderr.contains("reads       "), "{output}");
}

/// Runs a job over rows with a column of each type, `made` among them, with these arguments.
#[track_caller]
fn assert_values_pass(made: &[(&str, &str)], arguments: &[&str]) -> Output {
    let server = Server::shared();
    let types: Vec<&str> =
        RANDOM.iter().copied().chain(made.iter().map(|(name, _)| *name)).collect();
    let names: Vec<_> = (0..types.len()).map(|position| format!("c{position}")).collect();
    let columns = |prefix: &str| {
        names
            .iter()
            .zip(&types)
            .map(|(name, type_name)| format!("{prefix}{name} {type_name}"))
            .collect::<Vec<_>>()
            .join(",\n")
    };
    let random = RANDOM.len();
    let structure = names[..random]
        .iter()
        .zip(RANDOM)
        .map(|(name, type_name)| format!("{name} {type_name}"))
        .collect::<Vec<_>>()
        .join(", ");
    // It makes no Nested columns by that name.
    let structure = structure
        .replace("Nested(x UInt8, y Array(String))", "Array(Tuple(x UInt8, y Array(String)))");
    let structure = structure.replace('\\', "\\\\").replace('\'', "\\'");
    let made: Vec<_> = made.iter().map(|(_, expression)| *expression).collect();
    let fill = |table: &str, seed: u32, rows: u32| {
        format!(
            "INSERT INTO {table} SELECT number, {}, {} FROM (SELECT rowNumberInAllBlocks() AS number, * FROM generateRandom('{structure}', {seed}, 30, 4) LIMIT {rows})",
            names[..random].join(", "),
            made.join(", ")
        )
    };
    let create = |table: &str, columns: &str, engine: &str| {
        format!("CREATE TABLE {table} (id UInt64, {columns}) ENGINE = {engine} ORDER BY id")
    };
    for statement in [
        create("rows", &columns(""), "MergeTree"),
        create("attributes", &columns(""), "MergeTree"),
        create("joined", &format!("{},\n{}", columns("s_"), columns("l_")), "ReplacingMergeTree"),
        fill("rows", 1, 400),
        fill("attributes", 2, 200),
    ] {
        server.query_with(&statement, UNUSUAL_TYPES);
    }
    let lines = |prefix: &str, qualifier: &str| {
        names
            .iter()
            .map(|name| format!("{prefix}{name} = '{qualifier}.{name}'"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let job = format!(
        "name = 'types'\n[source]\ntable = 'rows'\njoin_key = ['id']\n[lookup]\ntable = 'attributes'\njoin_key = ['id']\n[target]\ntable = 'joined'\n[settings.insert]\nenable_nullable_tuple_type = 1\n[columns]\n\
         id = 'source.id'\n{}\n{}\n",
        lines("s_", "source"),
        lines("l_", "lookup")
    );
    let list = |prefix: &str, qualifier: &str| {
        names
            .iter()
            .map(|name| format!("{qualifier}.{name} AS {prefix}{name}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let expected = format!(
        "SELECT source.id AS id, {}, {} FROM rows AS source LEFT ANY JOIN attributes AS lookup ON source.id = lookup.id",
        list("s_", "source"),
        list("l_", "lookup")
    );
    assert_eq!(server.text(&format!("SELECT count() FROM ({expected})")), "400");
    assert_fills_with(&server, &job, arguments, "joined", &["id"], &expected);

    // A lookup that finds nothing at all.
    server.script("TRUNCATE TABLE joined SYNC\n--;;\nALTER TABLE attributes DELETE WHERE 1 SETTINGS mutations_sync = 2");
    assert_fills_with(&server, &job, arguments, "joined", &["id"], &expected)
}

#[test]
fn types_that_cannot_be_framed_are_refused_by_name() {
    let server = Server::shared();
    for (type_name, word) in
        [("AggregateFunction(sum, UInt64)", "AggregateFunction"), ("Dynamic", "Dynamic")]
    {
        server.script(&format!(
            "CREATE OR REPLACE TABLE rows (id UInt64, value {type_name}) ENGINE = MergeTree ORDER BY id
             --;;
             CREATE OR REPLACE TABLE copies (id UInt64, value {type_name}) ENGINE = ReplacingMergeTree ORDER BY id
             --;;
             INSERT INTO rows (id) VALUES (1)"
        ));
        let job = "name = 'x'\n[source]\ntable = 'rows'\n[target]\ntable = 'copies'\n[columns]\nid = 'source.id'\nvalue = 'source.value'\n";
        super::fixture::assert_refused(&server, job, "copies", 3, word);
    }
}

/// Once the server has compiled an expression, its conversions give another number instead of an
/// error. It compiles one at its fourth time, or, as here, at once.
#[test]
fn numbers_out_of_range_are_errors_in_compiled_expressions_too() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE rows (id UInt64, value Float64) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO rows SELECT number, number * 1e9 FROM numbers(100)
         --;;
         CREATE TABLE copies (id UInt64, value Decimal(18, 12)) ENGINE = ReplacingMergeTree ORDER BY id",
    );
    let compiled = "SELECT min(toDecimal64(value * 2 + 1, 12)) FROM rows";
    let at_once = [("compile_expressions", "1"), ("min_count_to_compile_expression", "0")];
    assert_eq!(server.query_with(compiled, &at_once), b"-9223372.036854775808\n");
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'rows'\n[target]\ntable = 'copies'\n[columns]\nid = 'source.id'\nvalue = 'toDecimal64(source.value * 2 + 1, 12)'\n[settings.insert]\nmin_count_to_compile_expression = 0\n",
    );
    for engine in ["stream", "server"] {
        let output = job.tool(&server, "run").args(&["--engine", engine]).run().expect(1);
        assert!(output.stderr.contains("DECIMAL_OVERFLOW"), "{output}");
        assert_eq!(server.text("SELECT count() FROM copies"), "0", "{output}");
    }
}
