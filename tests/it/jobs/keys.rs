//! Join keys of two types: both sides are compared as the join compares them, and a NULL finds
//! nothing.
// What was tried is shown where a test fails.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use super::fixture::{self, JobFile, assert_fills};
use crate::support::Server;

/// Types of the source's and the lookup's key, and an expression over `number` for the values of
/// each.
struct Keys {
    source: &'static str,
    values: &'static str,
    lookup: &'static str,
    looked_up: &'static str,
}

const fn keys(
    source: &'static str,
    values: &'static str,
    lookup: &'static str,
    looked_up: &'static str,
) -> Keys {
    Keys { source, values, lookup, looked_up }
}

/// Each has hits and misses. There are 60 source rows and 40 lookup rows, in which keys may come
/// several times.
const JOINED: &[Keys] = &[
    keys(
        "Nullable(String)",
        "if(number % 3 = 0, NULL, toString(number))",
        "Nullable(String)",
        "if(number % 5 = 0, NULL, toString(number))",
    ),
    keys("Nullable(UInt32)", "if(number % 3 = 0, NULL, number)", "UInt32", "number"),
    keys("UInt32", "number % 10", "Nullable(UInt32)", "if(number % 5 = 0, NULL, number)"),
    keys("LowCardinality(String)", "toString(number % 50)", "String", "toString(number)"),
    keys(
        "String",
        "toString(number)",
        "LowCardinality(Nullable(String))",
        "if(number % 2 = 0, NULL, toString(number))",
    ),
    keys(
        "LowCardinality(Nullable(String))",
        "if(number % 4 = 0, NULL, ['', 'a'][1 + number % 2])",
        "Nullable(String)",
        "if(number % 4 = 0, NULL, ['', 'x'][1 + number % 2])",
    ),
    keys(
        "LowCardinality(Nullable(String))",
        "if(number % 4 = 0, NULL, toString(number % 7))",
        "LowCardinality(String)",
        "if(number = 0, '', toString(number))",
    ),
    keys(
        "Int32",
        "toInt32(number) - 30",
        "UInt32",
        "if(number % 2 = 0, number, toUInt32(-number))",
    ),
    keys("Int8", "toInt8(number) - 30", "UInt16", "[number, 65535 - number][1 + number % 2]"),
    keys("UInt8", "number + 200", "Int256", "toInt256(number) + 220"),
    keys(
        "UInt64",
        "18446744073709551615 - number",
        "UInt128",
        "toUInt128(18446744073709551615) - number + 20",
    ),
    keys("Int64", "toInt64(number) - 30", "Int16", "20 - toInt16(number)"),
    keys("FixedString(4)", "toString(number)", "FixedString(4)", "toString(number + 30)"),
    keys(
        "FixedString(4)",
        "toString(number)",
        "String",
        "if(number % 2 = 0, toString(number), toString(toFixedString(toString(number), 4)) || '\\0\\0')",
    ),
    keys(
        "String",
        "if(number % 2 = 0, toString(number), toString(number) || '\\0\\0')",
        "FixedString(4)",
        "toString(number)",
    ),
    keys("FixedString(4)", "toString(number)", "FixedString(6)", "toString(number)"),
    keys("Date", "toDate('2025-11-01') + number", "Date32", "toDate32('2025-11-21') + number"),
    keys("Date32", "toDate32('1960-01-01') + number", "Date32", "toDate32('1960-01-21') + number"),
    keys(
        "Date",
        "toDate('2025-11-01') + number",
        "DateTime('UTC')",
        "toDateTime('2025-11-01 00:00:00', 'UTC') + number * 43200",
    ),
    keys(
        "DateTime('Asia/Tokyo')",
        "1762000000 + number * 3600",
        "DateTime('UTC')",
        "1762000000 + number * 7200",
    ),
    keys(
        "DateTime64(3, 'UTC')",
        "fromUnixTimestamp64Milli(toInt64(number) * 500, 'UTC')",
        "DateTime64(6, 'UTC')",
        "fromUnixTimestamp64Micro(toInt64(number) * 250000, 'UTC')",
    ),
    keys(
        "DateTime('UTC')",
        "number",
        "DateTime64(3, 'UTC')",
        "fromUnixTimestamp64Milli(toInt64(number) * 500, 'UTC')",
    ),
    keys("Decimal(9, 2)", "number / 4", "Decimal(18, 4)", "number / 8"),
    keys("Decimal(76, 10)", "number / 4", "Decimal(38, 10)", "number / 8"),
    keys(
        "Enum8('a' = 1, 'b' = 2, 'c' = 3)",
        "1 + number % 3",
        "Enum8('a' = 1, 'b' = 2, 'c' = 3)",
        "1 + number % 2",
    ),
    keys("Bool", "number % 2", "Bool", "1"),
    keys("UUID", "reinterpretAsUUID(number)", "UUID", "reinterpretAsUUID(number + 30)"),
    keys("IPv4", "toIPv4(number)", "IPv4", "toIPv4(number + 30)"),
    keys(
        "IPv6",
        "toIPv6(concat('::', toString(number)))",
        "IPv6",
        "toIPv6(concat('::', toString(number + 30)))",
    ),
    keys(
        "Array(String)",
        "[toString(number), '']",
        "Array(String)",
        "[toString(number), ['', 'x'][1 + number % 2]]",
    ),
    keys(
        "Array(LowCardinality(String))",
        "[toString(number)]",
        "Array(String)",
        "[toString(number)]",
    ),
    keys(
        "Array(Nullable(String))",
        "[if(number % 2 = 0, NULL, 'x'), toString(number)]",
        "Array(Nullable(String))",
        "[if(number % 4 = 0, NULL, 'x'), toString(number)]",
    ),
    keys(
        "Tuple(UInt8, String)",
        "(number, 'x')",
        "Tuple(UInt8, String)",
        "(number, ['x', 'y'][1 + number % 2])",
    ),
    keys(
        "Tuple(a Int8, b UInt8)",
        "(toInt8(number), 200)",
        "Tuple(a Int16, b Int16)",
        "(toInt16(number), 200)",
    ),
];

/// Pairs that the program may refuse, but must not join otherwise than the server does.
const JOINED_OR_REFUSED: &[Keys] = &[
    keys(
        "Tuple(UInt8, Nullable(String))",
        "(number, if(number % 2 = 0, NULL, 'x'))",
        "Tuple(UInt8, Nullable(String))",
        "(number, if(number % 4 = 0, NULL, 'x'))",
    ),
    keys("Enum8('a' = 1, 'b' = 2)", "1 + number % 2", "Enum8('a' = 2, 'b' = 1)", "1 + number % 2"),
    keys("Enum8('a' = 1, 'b' = 2)", "1 + number % 2", "Enum16('b' = 2, 'c' = 3)", "2 + number % 2"),
    keys("Enum8('a' = 1, 'b' = 2)", "1 + number % 2", "String", "['a', 'x'][1 + number % 2]"),
    keys("String", "['a', 'x'][1 + number % 2]", "Enum8('a' = 1, 'b' = 2)", "1 + number % 2"),
    keys("IPv4", "toIPv4(number)", "IPv6", "toIPv6(toIPv4(number))"),
    keys("IPv4", "toIPv4(number)", "UInt32", "number"),
    keys("UUID", "reinterpretAsUUID(number)", "String", "toString(reinterpretAsUUID(number))"),
    keys(
        "Date",
        "toDate('2025-11-01') + number",
        "UInt16",
        "toUInt16(toDate('2025-11-21')) + number",
    ),
    keys("DateTime('UTC')", "number", "UInt32", "number * 2"),
    keys(
        "Date",
        "toDate('2025-11-01') + number",
        "String",
        "toString(toDate('2025-11-01') + number)",
    ),
    keys("Bool", "number % 2", "UInt8", "number % 3"),
    keys(
        "Int8",
        "toInt8(number) - 30",
        "UInt64",
        "[number, 18446744073709551615 - number][1 + number % 2]",
    ),
    keys("Int64", "toInt64(number) - 30", "UInt64", "number"),
    keys(
        "Float64",
        "[0, -0., nan, number][1 + number % 4]",
        "Float64",
        "[0., nan, number / 2][1 + number % 3]",
    ),
    keys("Float32", "number / 10", "UInt8", "number"),
    keys("Decimal(9, 2)", "number / 4", "Int32", "number"),
    keys("Map(String, UInt8)", "map('a', number)", "Map(String, UInt8)", "map('a', number)"),
    keys("Point", "(number, 0.)", "Point", "(number, 0.)"),
    keys("Time", "number", "Time", "number * 2"),
    keys("Time64(3)", "CAST(number AS Time64(3))", "Time64(6)", "CAST(number * 2 AS Time64(6))"),
    keys(
        "JSON",
        "concat('{\"a\":', toString(number), '}')",
        "JSON",
        "concat('{\"a\":', toString(number), '}')",
    ),
    keys(
        "Variant(String, UInt8)",
        "toString(number)",
        "Variant(String, UInt8)",
        "toString(number)",
    ),
];

const JOB: &str = "
    name = 'keys'
    [source]
    table = 'rows'
    join_key = ['key']
    [lookup]
    table = 'attributes'
    join_key = ['key']
    version = 'version'
    [target]
    table = 'joined'
    [columns]
    id = 'source.id'
    text = 'lookup.text'
    number = 'lookup.number'
";

/// The newest version is chosen by argMax: no two versions of a key are alike.
const JOINED_BY_HAND: &str = "
    SELECT id, text, CAST(number, 'Nullable(UInt32)') AS number
    FROM rows
    LEFT ANY JOIN (SELECT key AS looked_up, argMax(tuple(attributes.text, attributes.number), version) AS pair, tupleElement(pair, 1) AS text, tupleElement(pair, 2) AS number FROM attributes GROUP BY key) AS newest
    ON rows.key = looked_up";

/// The same where half of the lookup lies outside of its window.
const JOINED_BY_HAND_LATE: &str = "
    SELECT id, text, CAST(number, 'Nullable(UInt32)') AS number
    FROM rows
    LEFT ANY JOIN (SELECT key AS looked_up, argMax(tuple(attributes.text, attributes.number), (time > '2025-06-08 00:00:00', version)) AS pair, tupleElement(pair, 1) AS text, tupleElement(pair, 2) AS number FROM attributes GROUP BY key) AS newest
    ON rows.key = looked_up";

fn server() -> Server {
    let server = Server::shared();
    server.query("CREATE TABLE joined (id UInt64, text String, number Nullable(UInt32)) ENGINE = ReplacingMergeTree ORDER BY id");
    server
}

fn make(server: &Server, keys: &Keys) {
    let Keys { source, values, lookup, looked_up } = keys;
    let statements = [
        format!("CREATE OR REPLACE TABLE rows (id UInt64, key {source}, time DateTime('UTC') DEFAULT '2025-06-15 00:00:00') ENGINE = MergeTree ORDER BY id"),
        format!("INSERT INTO rows (id, key) SELECT number, {values} FROM numbers(60)"),
        format!(
            "CREATE OR REPLACE TABLE attributes (key {lookup}, text String, number Nullable(UInt32), version UInt16,
                 time DateTime('UTC') DEFAULT if(intDiv(version, 3) % 2 = 0, '2025-01-01 00:00:00', '2025-06-15 00:00:00')) ENGINE = MergeTree ORDER BY version"
        ),
        format!("INSERT INTO attributes (key, text, number, version) SELECT {looked_up}, toString(number), if(number % 2 = 0, NULL, number), number FROM numbers(40)"),
        "TRUNCATE TABLE joined SYNC".to_owned(),
    ];
    fixture::make(server, &statements);
}

#[test]
#[ignore = "slow: every pair of types"]
fn keys_of_every_pair_of_types_are_compared_as_the_join_compares_them() {
    let server = server();
    for keys in JOINED {
        make(&server, keys);
        println!("{} and {}", keys.source, keys.lookup);
        let matched = server.text(&format!("SELECT countIf(text != '') FROM ({JOINED_BY_HAND})"));
        assert!(matched != "0" && matched != "60", "{matched} hits are no test");
        assert_fills(&server, JOB, "joined", &["id"], JOINED_BY_HAND);
    }
}

#[test]
#[ignore = "slow: every pair of types"]
fn keys_of_every_pair_of_types_are_compared_outside_of_the_window() {
    let server = server();
    let job = JOB.replace("table = 'rows'", "table = 'rows'\ntime = 'time'");
    let job = job.replace(
        "version = 'version'",
        "version = 'version'\nwindow = { column = 'time', days_before = 7, days_after = 1 }",
    );
    let mut found_late = 0;
    for keys in JOINED {
        make(&server, keys);
        println!("{} and {}", keys.source, keys.lookup);
        let output = assert_fills(&server, &job, "joined", &["id"], JOINED_BY_HAND_LATE);
        let figures = output
            .stderr
            .lines()
            .find(|line| line.contains("matched, late, unmatched"))
            .expect("the summary has figures");
        found_late += usize::from(!figures.contains(", 0, "));
    }
    // Of the others, each key has a row in the window.
    assert!(found_late + 4 > JOINED.len(), "{found_late} of {}", JOINED.len());
}

#[test]
#[ignore = "slow: every pair of types"]
fn keys_of_every_pair_of_types_are_refused_or_right() {
    let server = server();
    for keys in JOINED_OR_REFUSED {
        make(&server, keys);
        println!("{} and {}", keys.source, keys.lookup);
        let output = JobFile::new(JOB).tool(&server, "run").run();
        match output.status {
            Some(0) => drop(assert_fills(&server, JOB, "joined", &["id"], JOINED_BY_HAND)),
            Some(3) => assert_eq!(server.text("SELECT count() FROM joined"), "0"),
            _ => panic!("{output}"),
        }
        println!("  {:?}", output.status);
    }
}

#[test]
fn keys_of_several_columns() {
    let server = server();
    server.script(
        "CREATE TABLE rows (id UInt64, a Nullable(String), b LowCardinality(String), c Int32) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO rows SELECT number, [NULL, '', 'a', 'ab', 'a\\0'][1 + number % 5], ['', 'b', 'bc', '\\0b', 'c'][1 + intDiv(number, 5) % 5], toInt32(intDiv(number, 25) % 3) - 1
         FROM numbers(75)
         --;;
         CREATE TABLE attributes (a String, b Nullable(String), c UInt32, text String, number Nullable(UInt32), version UInt16) ENGINE = MergeTree ORDER BY version
         --;;
         INSERT INTO attributes SELECT ['', 'a', 'ab', 'a\\0'][1 + number % 4], [NULL, 'bc', 'c', '', '\\0b'][1 + intDiv(number, 4) % 5], [0, 1, 4294967295][1 + intDiv(number, 20) % 3],
             toString(number), number, number
         FROM numbers(60)",
    );
    let job = JOB.replace("join_key = ['key']", "join_key = ['a', 'b', 'c']");
    let expected = "
        SELECT id, text, CAST(number, 'Nullable(UInt32)') AS number
        FROM rows
        LEFT ANY JOIN (SELECT a AS x, b AS y, c AS z, text, number FROM attributes) AS newest
        ON rows.a = x AND rows.b = y AND rows.c = z";
    assert_eq!(
        server.text(&format!(
            "SELECT countIf(text != '') > 20, countIf(text = '') > 20 FROM ({expected})"
        )),
        "1\t1"
    );
    assert_fills(&server, &job, "joined", &["id"], expected);
    // The order of the columns in the key is that of the file.
    server.query("TRUNCATE TABLE joined SYNC");
    let job = JOB.replace("join_key = ['key']", "join_key = ['c', 'a', 'b']");
    assert_fills(&server, &job, "joined", &["id"], expected);
}
