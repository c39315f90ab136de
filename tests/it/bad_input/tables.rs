//! Tables that do not fit the job.

use super::{changed, few_orders, refuses};
use crate::orders::{JOB, Orders};
use crate::support::shown::{from_line, titled};
use crate::support::{Binary, assert_text_snapshot, binary};

fn with(orders: &Orders, text: &str) -> Binary {
    orders.tool().file("job.toml", text)
}

#[test]
fn tables_and_columns_that_are_not_there() {
    let orders = few_orders();
    let target = |table: &str| orders.tool().args(&["--target-table", table]);
    assert_text_snapshot!(titled([
        ("source", refuses(&orders, with(&orders, &changed("\"orders\"", "\"orderz\"")), 3)),
        ("lookup", refuses(&orders, with(&orders, &changed("\"customers\"", "\"nobody\"")), 3)),
        ("target", refuses(&orders, target("nowhere"), 3)),
        ("target of another database", refuses(&orders, target("nodb.nowhere"), 3)),
    ]), @"
    # source
    exit code 3
    error: the source table default.orderz does not exist, or the user has no right to see it
    hint: --clickhouse-db names the database of the tables, --source-db that of source and lookup
    hint: the user needs SELECT ON default.orderz

    # lookup
    exit code 3
    error: the lookup table default.nobody does not exist, or the user has no right to see it
    hint: --clickhouse-db names the database of the tables, --source-db that of source and lookup
    hint: the user needs SELECT ON default.nobody

    # target
    exit code 3
    error: the target table default.nowhere does not exist, or the user has no right to see it
    hint: --target-table names another target, --clickhouse-db another database
    hint: the user needs INSERT ON default.nowhere; to compare, SELECT ON default.nowhere

    # target of another database
    exit code 3
    error: the target table nodb.nowhere does not exist, or the user has no right to see it
    hint: --target-table names another target, --clickhouse-db another database
    hint: the user needs INSERT ON nodb.nowhere; to compare, SELECT ON nodb.nowhere
    ");
    // Without a job, another one may be meant.
    let without =
        binary().envs(&orders.server.environment()).args(&["run", "--partition", "202506"]);
    assert_text_snapshot!(refuses(&orders, without, 3), @"
    exit code 3
    error: the source table default.observations does not exist, or the user has no right to see it
    hint: --clickhouse-db names the database of the tables, --source-db that of source and lookup
    hint: the user needs SELECT ON default.observations
    hint: --job names a job for other tables than those of langfuse-events; `clickhouse-backfill init` writes one
    ");
    let window =
        "table = \"customers\"\nwindow = { column = \"absent\", days_before = 1, days_after = 1 }";
    let changes = [
        ("join_key = [\"customer\"]", "join_key = [\"absent\"]"),
        ("join_key = [\"id\"]", "join_key = [\"absent\"]"),
        ("time = \"placed\"", "time = \"absent\""),
        ("table = \"customers\"", window),
    ];
    let failures = changes.map(|(from, to)| {
        (format!("{from} -> {to}"), refuses(&orders, with(&orders, &changed(from, to)), 3))
    });
    assert_text_snapshot!(titled(failures), @r#"
    # join_key = ["customer"] -> join_key = ["absent"]
    exit code 3
    error: the source table default.orders cannot be used: it has no column absent, which the job names
    hint: DESCRIBE TABLE `default`.`orders` lists its columns

    # join_key = ["id"] -> join_key = ["absent"]
    exit code 3
    error: the lookup table default.customers cannot be used: it has no column absent, which the job names
    hint: DESCRIBE TABLE `default`.`customers` lists its columns

    # time = "placed" -> time = "absent"
    exit code 3
    error: the source table default.orders cannot be used: it has no column absent, which the job names
    hint: DESCRIBE TABLE `default`.`orders` lists its columns

    # table = "customers" -> table = "customers"
    window = { column = "absent", days_before = 1, days_after = 1 }
    exit code 3
    error: the lookup table default.customers cannot be used: it has no column absent, which the job names
    hint: DESCRIBE TABLE `default`.`customers` lists its columns
    "#);
    let (source, rest) = JOB.split_once("[lookup]").unwrap();
    for (key, value) in [("version", "version"), ("deleted", "is_deleted")] {
        let (from, to) = (format!("{key} = \"{value}\""), format!("{key} = \"absent\""));
        for (role, name, text) in [
            ("source", "orders", format!("{}[lookup]{rest}", source.replacen(&from, &to, 1))),
            ("lookup", "customers", format!("{source}[lookup]{}", rest.replacen(&from, &to, 1))),
        ] {
            let failure = refuses(&orders, with(&orders, &text), 3);
            let expected = format!(
                "exit code 3\nerror: the {role} table default.{name} cannot be used: it has no column absent, which the job names\n\
                 hint: DESCRIBE TABLE `default`.`{name}` lists its columns\n"
            );
            assert_eq!(failure.replace(orders.server.database(), "default"), expected, "{key}");
        }
    }
}

#[test]
fn types_that_do_not_fit() {
    let orders = few_orders();
    let cases = [
        ("\"source.amount * 2\"", "\"lookup.tags\""),
        ("order_id = \"source.id\"", "order_id = \"source.id::Nullable(UInt64)\""),
        ("coalesce(lookup.city, 'nowhere')", "lookup.city"),
        ("letter = \"lookup.letter\"\n", ""),
    ];
    let failures =
        cases.map(|(from, to)| (to, refuses(&orders, with(&orders, &changed(from, to)), 3)));
    assert_text_snapshot!(titled(failures), @r#"
    # "lookup.tags"
    exit code 3
    error: the target table default.shipments cannot be used: its column amount is Decimal(18, 2), and Array(String) cannot be converted into that: Code: 70. [WORDS OF THE SERVER] (CANNOT_CONVERT_TYPE)

    # order_id = "source.id::Nullable(UInt64)"
    exit code 3
    error: the target table default.shipments cannot be used: its column order_id is UInt64, and the expression in line 22 of job.toml gives Nullable(UInt64); say what a NULL becomes, as in coalesce(…, '')

    # lookup.city
    exit code 3
    error: the target table default.shipments cannot be used: its column note is String, and the expression in line 26 of job.toml gives Nullable(String); say what a NULL becomes, as in coalesce(…, '')

    # 
    exit code 3
    error: the target table default.shipments cannot be used: no expression fills its column letter, and the table declares no default; add an expression under [columns], or list it in `defaults` under [target]
    "#);
    // Two of them at once, and none where the table says what becomes of it.
    let text = changed("letter = \"lookup.letter\"\n", "").replace("tags = \"lookup.tags\"\n", "");
    assert_text_snapshot!(refuses(&orders, with(&orders, &text), 3), @"
    exit code 3
    error: the target table default.shipments cannot be used: no expression fills its columns tags, letter, and the table declares no default; add an expression under [columns], or list it in `defaults` under [target]
    ");
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
    assert_text_snapshot!(refuses(&orders, plain(), 3), @r#"
    exit code 3
    error: the target table default.plain has the engine MergeTree and no window of blocks that it recognizes: rows that are sent twice would stay twice
    hint: publish = "replace" under [target] of the job, with --engine server, builds the partition beside the target and replaces it
    hint: ALTER TABLE `default`.`plain` MODIFY SETTING non_replicated_deduplication_window = 10000 lets it recognize repeated blocks
    hint: a ReplacingMergeTree needs no window: repeated rows collapse by its sorting key
    hint: --allow-duplicates fills it anyway; repeated rows then stay
    "#);
    assert_eq!(server.text("SELECT count() FROM plain"), "0");
    plain().arg("--dry-run").run().expect(0);
    server.query("CREATE VIEW orders_view AS SELECT * FROM orders");
    server.query("CREATE TABLE orders_memory AS orders ENGINE = Memory");
    server.query("CREATE TABLE orders_by_day AS orders ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMMDD(placed) ORDER BY id");
    let of = |table: &str| with(&orders, &changed("\"orders\"", &format!("\"{table}\"")));
    assert_text_snapshot!(titled([
        ("a view", refuses(&orders, of("orders_view"), 3)),
        ("a table in memory", refuses(&orders, of("orders_memory"), 3)),
        ("partitions of days", refuses(&orders, of("orders_by_day"), 2)),
    ]), @"
    # a view
    exit code 3
    error: the source table default.orders_view cannot be used: its engine is View; only tables of the MergeTree family have partitions

    # a table in memory
    exit code 3
    error: the source table default.orders_memory cannot be used: its engine is Memory; only tables of the MergeTree family have partitions

    # partitions of days
    exit code 2
    error: the source table default.orders_by_day is partitioned by toYYYYMMDD(placed), but --partition YYYYMM names a month
    hint: --partition id:ID names a partition by its id; SELECT DISTINCT partition, partition_id FROM system.parts WHERE active AND database = 'default' AND table = 'orders_by_day' lists them
    ");
    let empty = orders.tool().args(&["--partition", "202507"]).run().expect(0);
    assert_text_snapshot!(from_line(&empty.stderr, "partition 202507 of"), @"partition 202507 of default.orders has no rows: there is nothing to do
hint: there are rows in 202506");
    assert_eq!(orders.summary()["status"], "completed");
    assert_eq!(orders.target_rows(), 0);
}

#[test]
fn keys_that_cannot_be_compared() {
    let orders = few_orders();
    let failures = ["Float64", "Array(String)", "UInt64", "JSON"].map(|type_name| {
        let table = format!("customers_{}", type_name.split('(').next().unwrap().to_lowercase());
        orders.server.query(&format!("CREATE TABLE {table} (id String, city Nullable(String), tags Array(String), letter String, version UInt32, is_deleted UInt8, key {type_name}) ENGINE = MergeTree ORDER BY id"));
        let text = changed("table = \"customers\"", &format!("table = \"{table}\""))
            .replace("join_key = [\"id\"]", "join_key = [\"key\"]");
        (type_name, refuses(&orders, with(&orders, &text), 3))
    });
    assert_text_snapshot!(titled(failures), @"
    # Float64
    exit code 3
    error: the lookup table default.customers_float64 cannot be used: source.customer (String) and lookup.key (Float64) cannot be joined: Code: 386. [WORDS OF THE SERVER] (NO_COMMON_TYPE)

    # Array(String)
    exit code 3
    error: the lookup table default.customers_array cannot be used: source.customer (String) and lookup.key (Array(String)) cannot be joined: Code: 386. [WORDS OF THE SERVER] (NO_COMMON_TYPE)

    # UInt64
    exit code 3
    error: the lookup table default.customers_uint64 cannot be used: source.customer (String) and lookup.key (UInt64) cannot be joined: Code: 386. [WORDS OF THE SERVER] (NO_COMMON_TYPE)

    # JSON
    exit code 3
    error: the lookup table default.customers_json cannot be used: source.customer (String) and lookup.key (JSON) cannot be joined: Code: 386. [WORDS OF THE SERVER] (NO_COMMON_TYPE)
    ");
    // Both sides alike, which the server would join.
    orders.server.query("ALTER TABLE orders ADD COLUMN weight Float64");
    let text = JOB
        .replace("\"customers\"", "\"customers_float64\"")
        .replace("join_key = [\"customer\"]", "join_key = [\"weight\"]")
        .replace("join_key = [\"id\"]", "join_key = [\"key\"]");
    assert_text_snapshot!(refuses(&orders, with(&orders, &text), 3), @"
    exit code 3
    error: the lookup table default.customers_float64 cannot be used: source.weight (Float64) and lookup.key (Float64) cannot be joined: floating-point keys are not supported, because equal numbers can differ in their bytes
    ");
}

#[test]
fn types_that_cannot_be_framed_are_refused_where_they_are_used() {
    let orders = few_orders();
    orders.server.query("ALTER TABLE orders ADD COLUMN state AggregateFunction(sum, UInt64), ADD COLUMN anything Dynamic");
    let expressions =
        ["finalizeAggregation(source.state)", "toDecimal64OrZero(toString(source.anything), 2)"];
    let failures = expressions.map(|expression| {
        let text = changed("\"source.amount * 2\"", &format!("\"{expression}\""));
        (expression, refuses(&orders, with(&orders, &text), 3))
    });
    assert_text_snapshot!(titled(failures), @"
    # finalizeAggregation(source.state)
    exit code 3
    error: the source table default.orders cannot be used: its column state cannot be streamed: type `AggregateFunction(sum, UInt64)`, byte 0: values of type `AggregateFunction` cannot be framed in RowBinary

    # toDecimal64OrZero(toString(source.anything), 2)
    exit code 3
    error: the source table default.orders cannot be used: its column anything cannot be streamed: type `Dynamic`, byte 0: values of type `Dynamic` cannot be framed in RowBinary
    ");
    orders.tool().run().expect(0);
    orders.assert_complete();
}
