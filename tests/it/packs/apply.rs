//! `pack apply`: it creates what is missing, names what differs, and changes nothing else.

use super::fixture::{SCHEMA, tool};
use crate::orders::{Orders, PARTITION};
use crate::support::{Server, assert_text_snapshot, binary};

#[test]
fn a_schema_is_created_once_and_then_equal() {
    let server = Server::shared();
    assert_text_snapshot!(tool(&server).args(&["pack", "apply", "market"]).run().everything(), @"
    exit code 0
    --- stdout
    pack market in the database default: 3 created, 0 as in the pack, 0 different
      created    sales
      created    sales_daily
      created    sales_daily_mv
    ");
    server.query("INSERT INTO sales VALUES ('2026-01-01', 'a', 2), ('2026-01-01', 'b', 3)");
    assert_text_snapshot!(tool(&server).args(&["pack", "apply", "market"]).run().everything(), @"
    exit code 0
    --- stdout
    pack market in the database default: 0 created, 3 as in the pack, 0 different
      equal      sales
      equal      sales_daily
      equal      sales_daily_mv
    ");
    assert_eq!(server.text("SELECT sum(total) FROM sales_daily"), "5");

    // Only what is missing is created; a view says what it has not seen.
    server.query("DROP TABLE sales_daily_mv");
    assert_text_snapshot!(tool(&server).args(&["pack", "apply", "market"]).run().everything(), @"
    exit code 0
    --- stdout
    pack market in the database default: 1 created, 2 as in the pack, 0 different
      equal      sales
      equal      sales_daily
      created    sales_daily_mv
        rows that sales had before are not in it: a job of the pack fills them
    ");
}

#[test]
fn what_differs_is_named_column_by_column_and_left_as_it_is() {
    let server = Server::shared();
    server.query(
        "CREATE TABLE sales (day Date, `shop; name` String DEFAULT 'a;b', amount Decimal(18, 2), note String) \
         ENGINE = MergeTree PARTITION BY day ORDER BY day SETTINGS index_granularity = 4096",
    );
    server.query(
        "CREATE TABLE sales_daily (day Date, total Float64) ENGINE = SummingMergeTree ORDER BY day",
    );
    server.query("CREATE MATERIALIZED VIEW sales_daily_mv TO sales_daily AS SELECT day, max(amount) AS total FROM sales GROUP BY day");
    let before = server.text("SELECT groupArray(create_table_query) FROM system.tables WHERE database = currentDatabase()");
    assert_text_snapshot!(tool(&server).args(&["pack", "apply", "market"]).run().everything(), @"
    exit code 4
    --- stdout
    pack market in the database default: 0 created, 0 as in the pack, 3 different
      different  sales
        column shop; name: String DEFAULT 'a;b'; the pack has LowCardinality(String) DEFAULT 'a;b'
        column amount: Decimal(18, 2); the pack has Decimal(18, 2) CODEC(ZSTD(3))
        index i_amount: nothing; the pack has amount TYPE minmax GRANULARITY 4
        column note: String; the pack has nothing
        TTL: nothing; the pack has day + toIntervalYear(5)
        engine: MergeTree; the pack has ReplacingMergeTree
        partition key: day; the pack has toYYYYMM(day)
        sorting key: day; the pack has (day, `shop; name`)
        setting non_replicated_deduplication_window: nothing; the pack has 100
      different  sales_daily
        column total: Float64; the pack has SimpleAggregateFunction(sum, Decimal(38, 2))
        engine: SummingMergeTree; the pack has AggregatingMergeTree
      different  sales_daily_mv
        column total: Decimal(18, 2); the pack has Decimal(38, 2)
        query: SELECT day, max(amount) AS total FROM sales GROUP BY day; the pack has SELECT day, sum(amount) AS total FROM sales GROUP BY day
    3 definitions left as they are: alter by hand what is to change, or correct the pack
    ");
    let after = server.text("SELECT groupArray(create_table_query) FROM system.tables WHERE database = currentDatabase()");
    assert_eq!(before, after);

    let json = tool(&server).args(&["pack", "apply", "market", "--json"]).run().expect(4).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[1]["name"], "sales_daily");
    assert_eq!(json[1]["state"], "different");
    let column = &json[1]["differences"][0];
    assert_eq!((&column["what"], &column["found"]), (&"column total".into(), &"Float64".into()));
}

#[test]
fn a_schema_that_the_server_refuses_creates_nothing() {
    let server = Server::shared();
    let binary = tool(&server);
    let broken =
        SCHEMA.replace("sum(amount) AS total FROM sales", "sum(price) AS total FROM sales");
    std::fs::write(binary.folder().join("mine/schema.sql"), broken).unwrap();
    assert_text_snapshot!(binary.args(&["pack", "apply", "market"]).run().failure(), @"
    exit code 1
    error: mine/schema.sql, line 23: trying to create sales_daily_mv failed
      because: Code: 47. [WORDS OF THE SERVER] (UNKNOWN_IDENTIFIER)
    ");
    assert_eq!(
        server.text("SELECT count() FROM system.tables WHERE database = currentDatabase()"),
        "0"
    );

    let binary = tool(&server);
    std::fs::write(binary.folder().join("mine/schema.sql"), "\nDROP TABLE sales").unwrap();
    assert_text_snapshot!(binary.args(&["pack", "apply", "market"]).run().failure(), @"
    exit code 2
    error: mine/schema.sql, line 2: a pack's schema has CREATE TABLE, VIEW, MATERIALIZED VIEW and DICTIONARY only: nothing of a pack drops or alters
    ");
    assert_text_snapshot!(tool(&server).args(&["pack", "apply", "markets"]).run().failure(), @r#"
    exit code 2
    error: there is no pack "markets"; there are finops, langfuse, optiinfra, shop, market
    hint: --pack names the folder of a pack of your own
    "#);
    assert_text_snapshot!(binary_with_server(&server, &["pack", "apply", "langfuse"]), @"
    exit code 2
    error: the pack langfuse has no schema.sql: it creates no tables
    ");
}

fn binary_with_server(server: &Server, arguments: &[&str]) -> String {
    binary().envs(&server.environment()).args(arguments).run().failure()
}

#[test]
fn packs_are_listed_and_shown() {
    let server = Server::shared();
    assert_text_snapshot!(tool(&server).args(&["pack", "list"]).run().everything(), @"
    exit code 0
    --- stdout
    finops                  Billing exports: AWS CUR 2.0 and FOCUS, delivery by delivery, and what they cost
    langfuse                Langfuse: the tables events and events_full from observations and traces
    optiinfra               Metrics of LLM infrastructure: cost, performance, resources, quality; raw and by the hour
    shop                    Orders of a shop: deliveries in CSV by month, items with their products, daily sales
    market                  sales of shops
    ");
    let shown = tool(&server).args(&["pack", "show", "market"]).run().expect(0).stdout;
    let (head, schema) = shown.split_once("\n\n").unwrap();
    assert_eq!(schema, SCHEMA);
    assert_text_snapshot!(head, @"
    market: sales of shops
      schema    sales
                sales_daily
                sales_daily_mv
      jobs      market/shipments: shipments from orders and customers
      queries   market/echo text=String when=DateTime('UTC') count=UInt64
                market/fails
    ");
}

#[test]
fn a_job_of_a_pack_is_found_by_its_name_or_its_folder() {
    let orders = Orders::on(Server::shared(), 200);
    let plan = |job: &str| {
        tool(&orders.server)
            .args(&["plan", "--measure", "0s", "--partition", PARTITION, "--job", job])
            .run()
            .expect(0)
            .stdout
    };
    assert!(plan("market/shipments").contains("shipments"));
    assert!(plan("mine/shipments").contains("shipments"));
    let shown =
        tool(&orders.server).args(&["job", "show", "mine/shipments"]).run().expect(0).stdout;
    assert!(shown.contains("name = \"shipments\""), "{shown}");
    let status = tool(&orders.server)
        .args(&["status", "--partition", PARTITION, "--job", "market/shipments"])
        .run()
        .expect(0)
        .stdout;
    assert!(status.contains("run --job mine/jobs/shipments.toml"), "{status}");
    let wrong = tool(&orders.server)
        .args(&["plan", "--partition", PARTITION, "--job", "market/shipment"])
        .run();
    assert_text_snapshot!(wrong.failure(), @r#"
    exit code 2
    error: there is no built-in job "mine/jobs/shipment.toml" and no file of that name (No such file or directory (os error 2))
    hint: `clickhouse-backfill job list` lists the built-in jobs
    "#);
}
