//! A pack of the tests' own.

use std::path::Path;

use crate::orders::JOB;
use crate::support::{Binary, Server, binary};

pub const SCHEMA: &str = "-- a table; and its daily sum
CREATE TABLE sales
(
    day Date,
    `shop; name` LowCardinality(String) DEFAULT 'a;b',
    amount Decimal(18, 2) CODEC(ZSTD(3)),
    INDEX i_amount amount TYPE minmax GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, `shop; name`)
TTL day + INTERVAL 5 YEAR
SETTINGS non_replicated_deduplication_window = 100;

CREATE TABLE IF NOT EXISTS sales_daily
(
    day Date,
    total SimpleAggregateFunction(sum, Decimal(38, 2))
)
ENGINE = AggregatingMergeTree
ORDER BY day;

CREATE MATERIALIZED VIEW sales_daily_mv TO sales_daily AS
SELECT day, sum(amount) AS total FROM sales GROUP BY day;
";

/// Writes the pack into a folder `mine`.
pub fn write(folder: &Path) {
    let pack = folder.join("mine");
    for inside in ["jobs", "queries"] {
        std::fs::create_dir_all(pack.join(inside)).unwrap();
    }
    let description = "name = \"market\"\ndescription = \"sales of shops\"\n";
    for (path, text) in [
        ("pack.toml", description),
        ("schema.sql", SCHEMA),
        ("jobs/shipments.toml", JOB),
        (
            "queries/echo.sql",
            "SELECT number AS n, {text:String} AS text, {when:DateTime('UTC')} AS moment, '{no:Int8}' AS quoted\n\
             FROM numbers({count:UInt64}) ORDER BY n",
        ),
        (
            "queries/fails.sql",
            "SELECT number, throwIf(number = 2000000, 'at last') FROM numbers(3000000)",
        ),
    ] {
        std::fs::write(pack.join(path), text).unwrap();
    }
}

/// The tool in a folder that has the pack.
pub fn tool(server: &Server) -> Binary {
    let binary = binary().envs(&server.environment()).env("PACK", "mine");
    write(binary.folder());
    binary
}
