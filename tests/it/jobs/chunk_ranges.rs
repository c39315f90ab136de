//! The ranges into which a partition is cut: every row must lie in exactly one. The server
//! evaluates the predicates that `plan` prints, so that many rows cost little.

use super::fixture::JobFile;
use crate::support::Server;

/// What is stored, how it is sorted, and how many chunks that must give.
struct Case {
    what: &'static str,
    /// Columns and what comes after them.
    table: &'static str,
    /// Values over `number` and `strange`, an array of strings that are hard to quote.
    values: &'static str,
    rows: u64,
    chunks: std::ops::RangeInclusive<usize>,
}

const CASES: &[Case] = &[
    Case {
        what: "strings that are hard to quote, at every bound",
        table: "(id UInt32, key String) ENGINE = MergeTree ORDER BY key",
        values: "number, strange[1 + number % 10]",
        rows: 525_000,
        chunks: 3..=6,
    },
    Case {
        what: "several columns and expressions",
        table: "(id UInt32, project String, type LowCardinality(String), time DateTime64(3)) ENGINE = MergeTree PRIMARY KEY (project, type, toDate(time)) ORDER BY (project, type, toDate(time), id)",
        values: "number, strange[1 + number % 3], strange[1 + number % 7], toDateTime64('1969-12-01 00:00:00.001', 3) + toIntervalHour(number % 1440)",
        rows: 400_000,
        chunks: 3..=6,
    },
    Case {
        what: "a key that nearly all rows share",
        table: "(id UInt32, key String) ENGINE = MergeTree ORDER BY key",
        values: "number, if(number < 1000, toString(number), 'the same')",
        rows: 400_000,
        chunks: 1..=3,
    },
    Case {
        what: "types that are written as text",
        table: "(id UInt32, day Date, e Enum8('a' = 1, 'it\\'s' = 2), u UUID, d Decimal(18, 4), f FixedString(3), i IPv6, b Int256) ENGINE = MergeTree ORDER BY (day, e, f, d, b, i, u)",
        values: "number, toDate('2025-11-01') + number % 2, 1 + intDiv(number, 2) % 2, reinterpretAsUUID(sipHash128(number)), (toInt64(number % 7) - 3) / 8,
            ['', 'a', '\\0\\'\\\\'][1 + number % 3], toIPv6('::1'), toInt256(number % 5) - 2",
        rows: 400_000,
        chunks: 3..=6,
    },
    Case {
        what: "times with a zone and with a fraction",
        table: "(id UInt32, time DateTime('America/New_York'), fine DateTime64(6, 'Asia/Tokyo')) ENGINE = MergeTree ORDER BY (time, fine)",
        // The hour that New York has twice.
        values: "number, toDateTime(1762059600 + number % 4 * 1800, 'America/New_York'), fromUnixTimestamp64Micro(toInt64(number) - 200000, 'Asia/Tokyo')",
        rows: 400_000,
        chunks: 3..=6,
    },
    Case {
        what: "many parts",
        table: "(id UInt32, key UInt32) ENGINE = MergeTree ORDER BY key SETTINGS index_granularity = 125",
        values: "number, intHash32(number) % 12500",
        rows: 400_000,
        chunks: 2..=4,
    },
    Case {
        what: "a key that can be NULL comes second",
        table: "(id UInt32, key UInt8, more Nullable(Int32)) ENGINE = MergeTree ORDER BY (key, more) SETTINGS allow_nullable_key = 1",
        values: "number, number % 7, if(number % 3 = 0, NULL, toInt32(number))",
        rows: 400_000,
        chunks: 2..=6,
    },
    Case {
        what: "a key that can be NULL",
        table: "(id UInt32, key Nullable(String)) ENGINE = MergeTree ORDER BY key SETTINGS allow_nullable_key = 1",
        values: "number, if(number % 3 = 0, NULL, toString(number % 1000))",
        rows: 275_000,
        chunks: 1..=1,
    },
    Case {
        what: "a key with NaN",
        table: "(id UInt32, key Float64) ENGINE = MergeTree ORDER BY key",
        values: "number, [nan, -0., 0., inf][1 + number % 4]",
        rows: 275_000,
        chunks: 1..=1,
    },
    Case {
        what: "a descending key",
        table: "(id UInt32, key UInt32, more String) ENGINE = MergeTree ORDER BY (key DESC, more) SETTINGS allow_experimental_reverse_key = 1",
        values: "number, number % 100, toString(number)",
        rows: 275_000,
        chunks: 1..=4,
    },
    Case { what: "no key", table: "(id UInt32) ENGINE = MergeTree ORDER BY tuple()", values: "number", rows: 275_000, chunks: 1..=1 },
    Case {
        what: "low cardinality, and an expression of an expression",
        table: "(id UInt32, key LowCardinality(String), time DateTime) ENGINE = MergeTree ORDER BY (key, toStartOfHour(time), intDiv(id, 100), id)",
        values: "number, strange[1 + number % 2], toDateTime('2025-03-30 00:00:00', 'UTC') + number % 10000",
        rows: 400_000,
        chunks: 3..=6,
    },
    Case {
        what: "names that must be quoted",
        table: "(id UInt32, `a b` UInt32, `select` String, `x``y` String) ENGINE = MergeTree ORDER BY (`a b`, cityHash64(`select`), `x``y`)",
        values: "number, number % 10, strange[1 + number % 10], toString(number % 1000)",
        rows: 400_000,
        chunks: 3..=6,
    },
];

const STRANGE: &str =
    "['', '\\'', '\\\\', '\\0', 'a\\0b', '\\xFF\\xFE', 'a`b', '\\n\\t\\r', 'ä', '{x:String}?']";

#[test]
#[ignore = "slow: hundreds of thousands of rows under every kind of key"]
fn every_row_lies_in_one_range() {
    let server = Server::shared();
    server.query("CREATE TABLE copies (id UInt32) ENGINE = ReplacingMergeTree ORDER BY id");
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n[columns]\nid = 'source.id'\n",
    );
    let failures: Vec<_> = CASES
        .iter()
        .filter_map(|case| {
            check(&server, &job, case).err().map(|why| format!("{}: {why}", case.what))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Stores the rows and asks the server in how many of the printed ranges each of them lies.
fn check(server: &Server, job: &JobFile, case: &Case) -> Result<(), String> {
    let Case { what, table, values, rows, chunks } = case;
    let granules = match (table.contains("index_granularity"), table.contains(" SETTINGS ")) {
        (true, _) => "",
        (false, true) => ", index_granularity = 1024",
        (false, false) => " SETTINGS index_granularity = 1024",
    };
    server.query(&format!("CREATE OR REPLACE TABLE stored {table}{granules}"));
    server.query("SYSTEM STOP MERGES stored");
    let block = if *what == "many parts" { rows / 10 } else { *rows }.to_string();
    let insert = format!(
        "INSERT INTO stored SELECT {values} FROM (SELECT number, {STRANGE} AS strange FROM numbers({rows}))"
    );
    server.query_with(
        &insert,
        &[
            ("max_block_size", &block),
            ("min_insert_block_size_rows", &block),
            ("max_insert_threads", "1"),
        ],
    );

    let output = job
        .tool(server, "plan")
        .args(&["--measure", "0s", "--json", "--chunk-rows", "125000"])
        .run()
        .expect(0);
    let plan: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let list = serde_json::to_string_pretty(&plan["chunks"]).unwrap();
    let ranges: Vec<_> = plan["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| chunk["range"].as_str().unwrap_or("1").to_owned())
        .collect();
    if !chunks.contains(&ranges.len()) {
        return Err(format!("{} chunks\n{list}", ranges.len()));
    }
    let sum = ranges
        .iter()
        .map(|range| format!("ifNull(toUInt8(({range})), 0)"))
        .collect::<Vec<_>>()
        .join("\n + ");
    let outside = number(server, &format!("SELECT countIf({sum} != 1) FROM stored"));
    if outside != 0 {
        return Err(format!("{outside} of {rows} rows lie in no range or in several\n{list}"));
    }
    // The same with the ranges as filters: the primary index may not skip rows either.
    let filtered = |range: &String| {
        number(
            server,
            &format!("SELECT count() FROM stored WHERE _partition_id = 'all' AND ({range})"),
        )
    };
    let counts: Vec<_> = ranges.iter().map(filtered).collect();
    if counts.iter().sum::<u64>() != *rows {
        return Err(format!("the ranges give {counts:?} of {rows} rows\n{list}"));
    }
    if *chunks.start() > 2 && counts.iter().filter(|count| **count > 0).count() < 3 {
        return Err(format!("the rows are not spread: {counts:?}\n{list}"));
    }
    Ok(())
}

fn number(server: &Server, sql: &str) -> u64 {
    server.text(sql).parse().unwrap()
}
