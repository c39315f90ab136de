//! A partition is replaced as a whole, by exactly the rows of the job.

use super::fixture::{Sales, job_with};

#[test]
#[ignore = "slow: about 10 s"]
fn a_partition_is_replaced_by_the_rows_of_the_job() {
    let sales = Sales::start();
    let output = sales.run().run().expect(0);
    sales.assert_published();
    assert_eq!(sales.tables(), "", "{output}");
    assert_eq!(sales.versions(), "completed\t1\tdone", "{output}");
    let chunks = "SELECT count() > 3, countIf(stage_attempt = 0), sum(rows_read) FROM load_state_chunks FINAL FORMAT TSV";
    assert_eq!(sales.text(chunks), "1\t0\t22000", "{output}");
    // Nothing is left to do.
    let output = sales.run().run().expect(0);
    assert!(output.stderr.contains("complete"), "{output}");
    sales.assert_published();
    // Again, as another version.
    sales.server.query("INSERT INTO raw VALUES (99999, 'c5', '2025-06-30 00:00:00', 5)");
    sales.run().arg("--restart").run().expect(0);
    sales.assert_published();
    assert_eq!(sales.versions(), "completed\t0\tdone\ncompleted\t1\tdone");
    assert_eq!(sales.tables(), "");
    // `verify` says the same.
    sales.command("verify").run().expect(0);
}

#[test]
fn days_of_a_month_are_replaced_together() {
    let sales = Sales::start();
    sales.server.script(
        "CREATE TABLE by_day AS sales ENGINE = MergeTree PARTITION BY toDate(at) ORDER BY (customer, id)
        --;;
        INSERT INTO by_day SELECT * FROM sales",
    );
    let job = job_with("publish = \"replace\"").replace("\"sales\"\np", "\"by_day\"\np");
    let output = sales.run().file("job.toml", &job).run().expect(0);
    sales.assert_published_in("by_day");
    let left = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'by_day\\\\_%'";
    assert_eq!(sales.text(left), "0", "{output}");
    sales.command("verify").file("job.toml", &job).run().expect(0);
}

#[test]
fn a_dry_run_builds_nothing() {
    let sales = Sales::start();
    let output = sales.run().arg("--dry-run").run().expect(0);
    sales.assert_unchanged();
    assert_eq!(sales.tables(), "", "{output}");
}

#[test]
fn a_collapsing_target_without_partitions_is_replaced_too() {
    let sales = Sales::start();
    sales.server.script(
        "CREATE TABLE whole (id UInt64, customer String, amount Int64, city LowCardinality(Nullable(String)), total SimpleAggregateFunction(max, Int64))
        ENGINE = ReplacingMergeTree ORDER BY (customer, id)
        --;;
        INSERT INTO whole VALUES (1, 'before', 1, 'old', 1)
        --;;
        ALTER TABLE raw DROP PARTITION 202505",
    );
    let job = job_with("publish = \"replace\"")
        .replace("table = \"sales\"", "table = \"whole\"")
        .replace("at = \"source.at\"\n", "total = \"source.amount\"\n");
    let output = sales.run().file("job.toml", &job).run().expect(0);
    let differ = "SELECT count(), sum(amount), sum(total), countIf(city = 'nowhere') FROM whole FINAL FORMAT TSV";
    let expected = "SELECT count(), sum(amount * 2), sum(amount), countIf(customer NOT IN (SELECT id FROM customers WHERE city IS NOT NULL))
        FROM (SELECT DISTINCT * FROM raw) FORMAT TSV";
    assert_eq!(sales.text(differ), sales.text(expected), "{output}");
    let left = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'whole\\\\_%'";
    assert_eq!(sales.text(left), "0");
}

#[test]
fn a_plan_says_what_is_built_and_replaced() {
    let sales = Sales::start();
    let output = sales.command("plan").args(&["--engine", "server"]).run().expect(0);
    let shown = output.stdout.replace('\n', " ");
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "sales_stage_",
        "sales_publish_",
        "replace partition 202506",
        "which has 300 rows",
        "no view writes into",
    ] {
        assert!(shown.contains(words), "{words}\n{output}");
    }
}

/// The engine is no choice, so that `plan` has no other one to measure.
#[test]
fn auto_plans_a_replacement_with_the_server_engine() {
    let sales = Sales::start();
    let output = sales.command("plan").args(&["--engine", "auto"]).run().expect(0);
    let words = "server: publish is replace, and the server builds partitions beside the target";
    let shown = output.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(words), "{output}");
}
