//! What cannot be replaced exactly is refused, and the target stays as it was.

use super::fixture::{Sales, job_with};
use crate::support::assert_text_snapshot;
use crate::support::shown::titled;

/// What the run says, which leaves everything as it was.
#[track_caller]
fn refused(sales: &Sales, job: &str) -> String {
    let output = sales.run().file("job.toml", job).run().expect(3);
    sales.assert_unchanged();
    assert_eq!(sales.tables(), "", "{output}");
    output.failure()
}

#[test]
fn the_stream_engine_is_refused_by_name() {
    let sales = Sales::start();
    let output = sales.command("run").run().expect(2);
    assert_text_snapshot!(output.failure(), @r#"
    exit code 2
    error: job.toml has publish = "replace", and only --engine server builds a partition beside the target
    hint: --engine server
    hint: publish = "in_place" inserts the rows into the target
    "#);
    let output = sales.command("repair").run().expect(3);
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: the job has publish = "replace": repair would insert rows in place
    hint: `run --restart` builds the partition again, compares it and replaces it
    "#);
}

#[test]
fn contradictions_in_the_job_name_their_line() {
    let sales = Sales::start();
    let cases =
        ["keep_versions = 2", "publish = \"replace\"\nowned = \"amount > 0\""].map(|target| {
            (target.replace('\n', ", "), sales.run_with(target).run().expect(2).failure())
        });
    assert_text_snapshot!(titled(cases), @r#"
    # keep_versions = 2
    exit code 2
    error: job.toml, line 11: keep_versions needs publish = "replace": rows in place replace no version

    # publish = "replace", owned = "amount > 0"
    exit code 2
    error: job.toml, line 11: publish = "replace" replaces all rows of a partition, so owned, live and on_equal_version have no meaning
    "#);
}

#[test]
fn views_that_write_other_rows_into_the_target_are_named() {
    let sales = Sales::start();
    sales.server.query("CREATE TABLE other AS raw");
    sales.server.query(
        "CREATE MATERIALIZED VIEW live TO sales AS SELECT id, customer, at, amount, '' AS city FROM other WHERE id > 5",
    );
    let replace = job_with("publish = \"replace\"");
    assert_text_snapshot!(refused(&sales, &replace), @"
    exit code 3
    error: the check view-query blocks the run
      because: view-query: a materialized view fills default.sales otherwise than the job, default.live: it reads default.other; it has a WHERE, and the job has none
    hint: correct the job or the view: what the view writes meanwhile would not be what the job makes
    ");
    sales.server.query("DROP TABLE live");
    sales.server.query(
        "CREATE MATERIALIZED VIEW live REFRESH EVERY 1 DAY APPEND TO sales EMPTY AS SELECT id, customer, at, amount, '' AS city FROM raw",
    );
    assert_text_snapshot!(refused(&sales, &replace), @"
    exit code 3
    error: the check publish blocks the run
      because: publish: the view default.live is refreshed: it replaces all rows of default.sales
    hint: DROP TABLE `default`.`live`, run the load, create the view again
    ");
}

#[test]
fn newest_versions_are_not_read_while_a_view_writes_all_of_them() {
    let sales = Sales::start();
    sales.server.script(
        "DROP TABLE raw
        --;;
        CREATE TABLE raw (id UInt64, customer String, at DateTime('UTC'), amount Int64) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (customer, id)
        --;;
        INSERT INTO raw SELECT number, 'c1', '2025-06-01 00:00:00', 1 FROM numbers(100)
        --;;
        CREATE MATERIALIZED VIEW live TO sales AS SELECT id, customer, at, amount, '' AS city FROM raw",
    );
    let job = job_with("publish = \"replace\"").replace("[source]", "[source]\nfinal = true");
    assert_text_snapshot!(refused(&sales, &job), @"
    exit code 3
    error: the checks publish, view-query block the run
      because: publish: the view default.live writes into default.sales, and rows that it writes while the load is built would be lost: the job reads the newest versions of default.raw, and a view writes all of them
      because: view-query: a materialized view fills default.sales otherwise than the job, default.live: the job leaves out rows that the view reads
    hint: stop all writers, DETACH TABLE `default`.`live`, run the load, ATTACH TABLE: rows that are inserted while it is detached never reach default.sales
    hint: correct the job or the view: what the view writes meanwhile would not be what the job makes
    ");
}

#[test]
fn rows_of_other_partitions_are_not_removed() {
    let sales = Sales::start();
    sales.server.script(
        "CREATE TABLE sales_by_year (id UInt64, customer String, at DateTime('UTC'), amount Int64, city String)
        ENGINE = MergeTree PARTITION BY toYear(at) ORDER BY id
        --;;
        CREATE TABLE by_hour (id UInt64, customer String, at DateTime('UTC'), amount Int64, city String)
        ENGINE = MergeTree PARTITION BY toStartOfHour(at) ORDER BY id
        --;;
        RENAME TABLE sales_by_year TO by_year",
    );
    let of = |table: &str| {
        job_with("publish = \"replace\"").replace("\"sales\"\np", &format!("\"{table}\"\np"))
    };
    let cases = ["by_year", "by_hour"].map(|table| (table, refused(&sales, &of(table))));
    assert_text_snapshot!(titled(cases), @r#"
    # by_year
    exit code 3
    error: the check publish blocks the run
      because: publish: the partition of default.by_year cannot be replaced: rows of other partitions of the source lie in its partition 2025 too, and replacing it would remove them
    hint: publish = "in_place" inserts the rows into the target

    # by_hour
    exit code 3
    error: the checks publish, partitions block the run
      because: publish: the partition of default.by_hour cannot be replaced: the rows lie in 667 partitions (1748736000 to 1751133600) of it, and at most 100 are replaced at once
      because: partitions: a batch has rows of 466 partitions of default.by_hour (PARTITION BY toStartOfHour(at)), and the server takes 100 in one insert (max_partitions_per_insert_block)
    hint: publish = "in_place" inserts the rows into the target
    hint: max_partitions_per_insert_block = 500 under [settings.insert] of the job
    hint: lower --batch-size, if the rows of one partition lie together in the source
    hint: a partition key of the target with fewer values, such as a month: each batch makes a part in every partition
    hint: --skip-checks partitions downgrades this to a warning
    "#);
}

#[test]
fn several_workers_are_refused() {
    let sales = Sales::start();
    let output = sales.run().args(&["--worker", "1/2"]).run().expect(3);
    assert_text_snapshot!(output.failure(), @"
    exit code 3
    error: the partition of default.sales cannot be replaced: process [PID]/2 of several would publish it while others work on it; leave --worker out
    ");
    sales.assert_unchanged();
}

#[test]
#[ignore = "slow: about 7 s"]
fn rows_that_come_while_the_load_is_built_are_not_lost() {
    let sales = Sales::start();
    let proxy = sales.proxy();
    let running = crate::faults::fixture::held_at(
        &proxy,
        "-published-",
        crate::support::Direction::ToServer,
        sales.run(),
    );
    sales.server.query("INSERT INTO sales (id, customer, at, amount, city) SELECT number, 'late', '2025-06-20 00:00:00', 1, 'x' FROM numbers(7)");
    proxy.pass();
    let output = running.wait().expect(1);
    assert_text_snapshot!(output.failure(), @"
    exit code 1
    error: 7 rows were written into partition 202506 of default.sales since the load began, and replacing the partition would remove them: nothing is published
    hint: stop what writes into the partition, then --restart builds everything again; the rows that were written stay until then
    ");
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
    let running = crate::faults::fixture::held_at(
        &proxy,
        "-publish-insert-",
        crate::support::Direction::ToServer,
        sales.run(),
    );
    sales.server.query(
        "ALTER TABLE raw UPDATE amount = amount + 1 WHERE id = 4711 SETTINGS mutations_sync = 2",
    );
    proxy.pass();
    let output = running.wait().expect(4);
    assert_text_snapshot!(output.failure(), @"
    exit code 4
    error: the rows that were built for partition 202506 of default.sales are not what the job makes of the source: 1 row with other values; in the columns amount; among them (customer = c11, id = 4711); nothing is published
    hint: --restart builds everything again, for example after writes to the source during the run
    hint: the target is as it was; the stage stays until the next version of the load
    ");
    sales.assert_unchanged();
    sales.run().arg("--restart").run().expect(0);
    sales.assert_published();
    assert_eq!(sales.tables(), "");
}
