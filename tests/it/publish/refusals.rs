//! What cannot be replaced exactly is refused, and the target stays as it was.

use super::fixture::{Sales, job_with};

#[track_caller]
fn refused(sales: &Sales, job: &str, words: &str) {
    let output = sales.run().file("job.toml", job).run().expect(3);
    assert!(output.stderr.contains(words), "{output}");
    sales.assert_unchanged();
    assert_eq!(sales.tables(), "", "{output}");
}

#[test]
fn the_stream_engine_is_refused_by_name() {
    let sales = Sales::start();
    let output = sales.command("run").run().expect(2);
    assert!(output.stderr.contains("publish = \"replace\""), "{output}");
    assert!(output.stderr.contains("hint: --engine server"), "{output}");
    let output = sales.command("repair").run().expect(3);
    assert!(output.stderr.contains("run --restart"), "{output}");
}

#[test]
fn contradictions_in_the_job_name_their_line() {
    let sales = Sales::start();
    for (target, words) in [
        ("keep_versions = 2", "keep_versions needs publish"),
        ("publish = \"replace\"\nowned = \"amount > 0\"", "owned, live and on_equal_version"),
    ] {
        let output = sales.run_with(target).run().expect(2);
        assert!(output.stderr.contains(words), "{output}");
    }
}

#[test]
fn a_view_that_writes_into_the_target_is_named() {
    let sales = Sales::start();
    sales.server.query(
        "CREATE MATERIALIZED VIEW live TO sales AS SELECT id, customer, at, amount, '' AS city FROM raw",
    );
    refused(&sales, &job_with("publish = \"replace\""), "live writes into");
}

#[test]
fn rows_of_other_partitions_are_not_removed() {
    let sales = Sales::start();
    sales.server.script(
        "CREATE TABLE sales_by_year (id UInt64, customer String, at DateTime('UTC'), amount Int64, city String)
        ENGINE = MergeTree PARTITION BY toYear(at) ORDER BY id
        --;;
        CREATE TABLE by_day (id UInt64, customer String, at DateTime('UTC'), amount Int64, city String)
        ENGINE = MergeTree PARTITION BY toDate(at) ORDER BY id
        --;;
        RENAME TABLE sales_by_year TO by_year",
    );
    let of = |table: &str| {
        job_with("publish = \"replace\"").replace("\"sales\"\np", &format!("\"{table}\"\np"))
    };
    refused(&sales, &of("by_year"), "rows of other partitions of the source");
    refused(&sales, &of("by_day"), "no single statement replaces");
}

#[test]
fn several_workers_are_refused() {
    let sales = Sales::start();
    let output = sales.run().args(&["--worker", "1/2"]).run().expect(3);
    assert!(output.stderr.contains("leave --worker out"), "{output}");
    sales.assert_unchanged();
}

#[test]
#[ignore = "slow: about 7 s"]
fn rows_that_come_while_the_load_is_built_are_not_lost() {
    let sales = Sales::start();
    let proxy = sales.proxy();
    let before = proxy.fired();
    proxy.after_request_with(b"-published-").stall_at(crate::support::Direction::ToServer, 0, 1);
    let running = sales.run().env("CLICKHOUSE_URL", proxy.url()).spawn();
    crate::faults::fixture::wait_for_fault(&proxy, before);
    sales.server.query("INSERT INTO sales (id, customer, at, amount, city) SELECT number, 'late', '2025-06-20 00:00:00', 1, 'x' FROM numbers(7)");
    proxy.pass();
    let output = running.wait().expect(1);
    assert!(output.stderr.contains("7 rows were written into partition 202506"), "{output}");
    let rows = "SELECT countIf(customer = 'before'), countIf(customer = 'late') FROM sales WHERE toYYYYMM(at) = 202506 FORMAT TSV";
    assert_eq!(sales.text(rows), "300\t7");
    // Another version takes them as what stands there.
    sales.run().arg("--restart").run().expect(0);
    sales.assert_published();
    assert_eq!(sales.tables(), "");
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_source_that_changes_while_it_is_built_is_found_before_anything_is_published() {
    let sales = Sales::start();
    let proxy = sales.proxy();
    let before = proxy.fired();
    proxy.after_request_with(b"-publish-insert-").stall_at(
        crate::support::Direction::ToServer,
        0,
        1,
    );
    let running = sales.run().env("CLICKHOUSE_URL", proxy.url()).spawn();
    crate::faults::fixture::wait_for_fault(&proxy, before);
    sales.server.query(
        "ALTER TABLE raw UPDATE amount = amount + 1 WHERE id = 4711 SETTINGS mutations_sync = 2",
    );
    proxy.pass();
    let output = running.wait().expect(4);
    assert!(output.stderr.contains("1 row with other values"), "{output}");
    assert!(output.stderr.contains("in the columns amount"), "{output}");
    assert!(output.stderr.contains("id = 4711"), "{output}");
    assert!(output.stderr.contains("nothing is published"), "{output}");
    sales.assert_unchanged();
    sales.run().arg("--restart").run().expect(0);
    sales.assert_published();
    assert_eq!(sales.tables(), "");
}
