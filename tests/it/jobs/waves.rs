//! A partition whose attributes do not fit the memory: the result is the same, and the memory stays
//! below its ceiling.

use serde_json::Value;

use super::fixture::JobFile;
use crate::support::{Comparison, Direction, Proxy, Server};

const CUSTOMERS: u64 = 160_000;
const ORDERS: u64 = 480_000;
const MIB: u64 = 1 << 20;

/// Tables whose leading column `tenant` has these values; `key` orders the tables.
fn tables(server: &Server, tenant: &str, orders_key: &str, customers_key: &str) {
    tables_of(server, CUSTOMERS, ORDERS, tenant, orders_key, customers_key);
}

/// The same with these many customers and orders.
fn tables_of(
    server: &Server,
    customers: u64,
    orders: u64,
    tenant: &str,
    orders_key: &str,
    customers_key: &str,
) {
    server.query("DROP TABLE IF EXISTS orders");
    server.query("DROP TABLE IF EXISTS customers");
    server.query("DROP TABLE IF EXISTS shipments");
    server.query(&format!(
        "CREATE TABLE orders (tenant String, id UInt64, customer UInt64, item String) ENGINE = ReplacingMergeTree ORDER BY {orders_key}"
    ));
    server.query(&format!(
        "CREATE TABLE customers (tenant String, id UInt64, name String, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY {customers_key}"
    ));
    server.query(
        "CREATE TABLE shipments (tenant String, id UInt64, item String, name String) ENGINE = ReplacingMergeTree ORDER BY (tenant, id)",
    );
    // Names that are all different, so that none can be stored once for several.
    server.query(&format!(
        "INSERT INTO customers SELECT {tenant} AS tenant, number, concat(toString(cityHash64(number)), repeat('-', 100), toString(number)), 1 FROM numbers({customers})"
    ));
    server.query(&format!(
        "INSERT INTO customers SELECT {tenant} AS tenant, number, 'newer', 2 FROM numbers({customers}) WHERE number % 9 = 0"
    ));
    // Some orders have a customer that does not exist.
    let customers = customers + 1000;
    let tenant = tenant.replace("(number)", &format!("(number % {customers})"));
    server.query(&format!(
        "INSERT INTO orders SELECT {tenant} AS tenant, number, number % {customers}, toString(number) FROM numbers({orders})"
    ));
}

const JOB: &str = "name = \"waves\"
[source]
table = \"orders\"
join_key = [\"tenant\", \"customer\"]
[lookup]
table = \"customers\"
join_key = [\"tenant\", \"id\"]
version = \"version\"
[target]
table = \"shipments\"
[columns]
tenant = \"source.tenant\"
id = \"source.id\"
item = \"source.item\"
name = \"lookup.name\"
";

const EXPECTED: &str = "SELECT orders.tenant AS tenant, orders.id AS id, orders.item AS item, newest.name AS name FROM orders \
    LEFT JOIN (SELECT tenant, id, argMax(name, version) AS name FROM customers GROUP BY tenant, id) AS newest \
    ON orders.tenant = newest.tenant AND orders.customer = newest.id";

/// Runs with this much memory and compares; gives the summary.
fn run(server: &Server, file: &JobFile, memory: u64) -> Value {
    run_of(server, file, memory, ORDERS)
}

/// The same of another number of orders.
fn run_of(server: &Server, file: &JobFile, memory: u64, orders: u64) -> Value {
    server.query("TRUNCATE TABLE shipments");
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let tool = file.tool(server, "run").args(&["--readers", "2", "--inserters", "2", "--memory"]);
    tool.arg(memory.to_string()).arg("--summary-json").arg(&summary).run().expect(0);
    let comparison = Comparison::of_table(server, "shipments", &["tenant", "id"]);
    comparison.assert_same("the run", "SELECT * FROM shipments FINAL", EXPECTED);
    let summary: Value = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    assert_eq!(summary["inserted_rows"].as_u64(), Some(orders), "{summary}");
    let peak = summary["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak <= memory + memory / 10, "{peak} of {memory} bytes\n{summary}");
    summary
}

fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[test]
#[ignore = "slow: runs over half a million rows with little memory"]
fn ranges_of_a_shared_leading_column_give_the_same_result_in_less_memory() {
    let server = Server::shared();
    tables(
        &server,
        "concat('tenant-', leftPad(toString((number) % 40), 2, '0'))",
        "(tenant, id)",
        "(tenant, id)",
    );
    let file = JobFile::new(JOB);
    let one = run(&server, &file, 2048 * MIB);
    assert_eq!(number(&one, "waves"), 1, "{one}");
    let rows = number(&one, "lookup_rows");
    let (quarter, little) = (run(&server, &file, 110 * MIB), run(&server, &file, 84 * MIB));
    assert!(
        number(&quarter, "waves") > 1 && number(&little, "waves") > number(&quarter, "waves"),
        "{quarter}\n{little}"
    );
    for waves in [&quarter, &little] {
        assert_eq!(number(waves, "matched_rows"), number(&one, "matched_rows"));
        // A range that two waves share is loaded twice, and no more.
        assert!(number(waves, "lookup_rows") < 2 * rows, "{waves}");
    }
    assert!(
        number(&little, "peak_memory_bytes") < number(&one, "peak_memory_bytes"),
        "{little}\n{one}"
    );
}

#[test]
#[ignore = "slow: runs over half a million rows with little memory"]
fn one_large_value_and_tables_without_a_shared_column_go_by_parts_of_the_keys() {
    let server = Server::shared();
    for (tenant, orders_key, customers_key) in [
        ("'the only one'", "(tenant, id)", "(tenant, id)"),
        ("concat('tenant-', toString((number) % 40))", "id", "id"),
    ] {
        tables(&server, tenant, orders_key, customers_key);
        let file = JobFile::new(JOB);
        let plan = file
            .tool(&server, "plan")
            .args(&["--memory", "84MiB", "--readers", "2", "--inserters", "2"])
            .run()
            .expect(0)
            .stdout;
        assert!(plan.contains(", keys 1 of "), "{plan}");
        let split = run(&server, &file, 84 * MIB);
        assert!(number(&split, "waves") > 1, "{split}");
    }
}

#[test]
#[ignore = "slow: about 8 s"]
fn rows_that_grow_a_hundredfold_take_no_more_memory() {
    let server = Server::shared();
    tables(&server, "'a'", "(tenant, id)", "(tenant, id)");
    // A single network piece holds some ten thousand orders, and thus 40 MB of names.
    let name = "repeat(toString(cityHash64(number)), 200)";
    for statement in [
        "TRUNCATE TABLE customers",
        &format!("INSERT INTO customers SELECT 'a', number, {name}, 1 FROM numbers(500)"),
        "TRUNCATE TABLE orders",
        "INSERT INTO orders SELECT 'a', number, number % 501, toString(number) FROM numbers(60000)",
    ] {
        server.query(statement);
    }
    let summary = run_of(&server, &JobFile::new(JOB), 90 * MIB, 60_000);
    assert!(number(&summary, "bytes_written") > 150 * MIB, "{summary}");
}

#[test]
#[ignore = "slow: about 9 s"]
fn compressed_rows_are_the_same_rows_in_fewer_bytes() {
    let server = Server::shared();
    tables_of(&server, 16_000, 48_000, "'a'", "(tenant, id)", "(tenant, id)");
    let file = JobFile::new(JOB);
    let sent = ["none", "auto", "lz4", "zstd"].map(|method| {
        server.query("TRUNCATE TABLE shipments");
        let proxy = Proxy::start(server.port());
        file.tool(&server, "run")
            .env("CLICKHOUSE_URL", proxy.url())
            .args(&["--compression", method])
            .run()
            .expect(0);
        let comparison = Comparison::of_table(&server, "shipments", &["tenant", "id"]);
        comparison.assert_same(method, "SELECT * FROM shipments FINAL", EXPECTED);
        (proxy.bytes(Direction::ToClient), proxy.bytes(Direction::ToServer))
    });
    let [none, auto, lz4, zstd] = sent;
    for compressed in [lz4, zstd] {
        assert!(compressed.0 < none.0 / 2 && compressed.1 < none.1 / 2, "{sent:?}");
    }
    assert!(
        auto.0 > none.0 / 2,
        "the proxy is on this machine, which auto does not compress for: {sent:?}"
    );
}
