//! Tables that do not fit the job.

use super::{changed, few_orders, refuses};
use crate::orders::{JOB, Orders};
use crate::support::Binary;

fn with(orders: &Orders, text: &str) -> Binary {
    orders.tool().file("job.toml", text)
}

#[test]
fn tables_and_columns_that_are_not_there() {
    let orders = few_orders();
    let missing = "does not exist, or the user has no right to see it";
    refuses(
        &orders,
        with(&orders, &changed("\"orders\"", "\"orderz\"")),
        3,
        &["the source table", "orderz", missing, "--clickhouse-db"],
    );
    refuses(
        &orders,
        with(&orders, &changed("\"customers\"", "\"nobody\"")),
        3,
        &["the lookup table", "nobody", missing],
    );
    refuses(
        &orders,
        orders.tool().args(&["--target-table", "nowhere"]),
        3,
        &["the target table", "nowhere", missing, "--target-table"],
    );
    refuses(
        &orders,
        orders.tool().args(&["--target-table", "nodb.nowhere"]),
        3,
        &["nodb.nowhere", missing],
    );
    for (from, to, table) in [
        ("join_key = [\"customer\"]", "join_key = [\"absent\"]", "source"),
        ("join_key = [\"id\"]", "join_key = [\"absent\"]", "lookup"),
        ("time = \"placed\"", "time = \"absent\"", "source"),
        (
            "table = \"customers\"",
            "table = \"customers\"\nwindow = { column = \"absent\", days_before = 1, days_after = 1 }",
            "lookup",
        ),
    ] {
        let table = format!("the {table} table");
        refuses(
            &orders,
            with(&orders, &changed(from, to)),
            3,
            &[&table, "it has no column absent, which the job names"],
        );
    }
    for (key, value) in [("version", "version"), ("deleted", "is_deleted")] {
        let line = format!("{key} = \"{value}\"");
        let (source, rest) = JOB.split_once("[lookup]").unwrap();
        let source =
            format!("{}[lookup]{rest}", source.replacen(&line, &format!("{key} = \"absent\""), 1));
        refuses(
            &orders,
            with(&orders, &source),
            3,
            &["the source table", "it has no column absent"],
        );
        let (head, lookup) = JOB.split_once("[lookup]").unwrap();
        let lookup =
            format!("{head}[lookup]{}", lookup.replacen(&line, &format!("{key} = \"absent\""), 1));
        refuses(
            &orders,
            with(&orders, &lookup),
            3,
            &["the lookup table", "it has no column absent"],
        );
    }
}

#[test]
fn types_that_do_not_fit() {
    let orders = few_orders();
    let cases = [
        (
            "\"source.amount * 2\"",
            "\"lookup.tags\"",
            "its column amount is Decimal(18, 2), and Array(String) cannot be converted",
        ),
        (
            "order_id = \"source.id\"",
            "order_id = \"source.id::Nullable(UInt64)\"",
            "gives Nullable(UInt64)",
        ),
        ("coalesce(lookup.city, 'nowhere')", "lookup.city", "its column note is String"),
        ("letter = \"lookup.letter\"\n", "", "no expression fills its column letter"),
    ];
    for (from, to, part) in cases {
        refuses(&orders, with(&orders, &changed(from, to)), 3, &["the target table", part]);
    }
    // Two of them at once, and none where the table says what becomes of it.
    let text = changed("letter = \"lookup.letter\"\n", "").replace("tags = \"lookup.tags\"\n", "");
    refuses(&orders, with(&orders, &text), 3, &["no expression fills its columns tags, letter"]);
    orders.server.query("ALTER TABLE shipments MODIFY COLUMN letter String DEFAULT 'none'");
    with(&orders, &changed("letter = \"lookup.letter\"\n", "")).run().expect(0);
    assert_eq!(orders.server.text("SELECT DISTINCT letter FROM shipments"), "none");
}

#[test]
fn engines_that_do_not_fit() {
    let orders = few_orders();
    let server = &orders.server;
    server.query("CREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY order_id");
    let plain = || orders.tool().args(&["--target-table", "plain"]);
    refuses(
        &orders,
        plain(),
        3,
        &["plain has the engine MergeTree", "twice", "ReplacingMergeTree"],
    );
    assert_eq!(server.text("SELECT count() FROM plain"), "0");
    plain().arg("--dry-run").run().expect(0);
    server.query("CREATE VIEW orders_view AS SELECT * FROM orders");
    refuses(
        &orders,
        with(&orders, &changed("\"orders\"", "\"orders_view\"")),
        3,
        &["the source table", "orders_view", "its engine is View"],
    );
    server.query("CREATE TABLE orders_memory AS orders ENGINE = Memory");
    refuses(
        &orders,
        with(&orders, &changed("\"orders\"", "\"orders_memory\"")),
        3,
        &["its engine is Memory"],
    );
    server.query("CREATE TABLE orders_by_day AS orders ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMMDD(placed) ORDER BY id");
    refuses(
        &orders,
        with(&orders, &changed("\"orders\"", "\"orders_by_day\"")),
        2,
        &["is partitioned by toYYYYMMDD(placed)", "id:ID"],
    );
    let empty = orders.tool().args(&["--partition", "202507"]).run().expect(0);
    assert!(empty.stderr.contains("has no rows: there is nothing to do"), "{empty}");
    assert_eq!(orders.summary()["status"], "completed");
    assert_eq!(orders.target_rows(), 0);
}

#[test]
fn keys_that_cannot_be_compared() {
    let orders = few_orders();
    for (column, type_name, part) in [
        ("key", "Float64", "cannot be joined"),
        ("key", "Array(String)", "cannot be joined"),
        ("key", "UInt64", "cannot be joined"),
        ("key", "JSON", "JSON"),
    ] {
        let table = format!("customers_{}", type_name.split('(').next().unwrap().to_lowercase());
        orders.server.query(&format!("CREATE TABLE {table} (id String, city Nullable(String), tags Array(String), letter String, version UInt32, is_deleted UInt8, {column} {type_name}) ENGINE = MergeTree ORDER BY id"));
        let text = changed("table = \"customers\"", &format!("table = \"{table}\""))
            .replace("join_key = [\"id\"]", "join_key = [\"key\"]");
        refuses(&orders, with(&orders, &text), 3, &["the lookup table", &table, part]);
    }
    // Both sides alike, which the server would join.
    orders.server.query("ALTER TABLE orders ADD COLUMN weight Float64");
    let text = JOB
        .replace("\"customers\"", "\"customers_float64\"")
        .replace("join_key = [\"customer\"]", "join_key = [\"weight\"]")
        .replace("join_key = [\"id\"]", "join_key = [\"key\"]");
    refuses(&orders, with(&orders, &text), 3, &["floating-point keys"]);
}

#[test]
fn types_that_cannot_be_framed_are_refused_where_they_are_used() {
    let orders = few_orders();
    orders.server.query("ALTER TABLE orders ADD COLUMN state AggregateFunction(sum, UInt64), ADD COLUMN anything Dynamic");
    for (column, expression, type_name) in [
        ("state", "finalizeAggregation(source.state)", "AggregateFunction"),
        ("anything", "toDecimal64OrZero(toString(source.anything), 2)", "Dynamic"),
    ] {
        let text = changed("\"source.amount * 2\"", &format!("\"{expression}\""));
        refuses(
            &orders,
            with(&orders, &text),
            3,
            &["the source table", &format!("its column {column} cannot be streamed"), type_name],
        );
    }
    orders.tool().run().expect(0);
    orders.assert_complete();
}
