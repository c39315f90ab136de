//! A batch whose rows go into more partitions of the target than the server takes in one insert.

// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used)]

use super::fixture::{look, tool, tool_with};
use crate::orders::{JOB, Orders};
use crate::support::{Binary, Server, assert_text_snapshot};

/// As shipments, with this partition key.
fn target(orders: &Orders, name: &str, key: &str) {
    orders.server.query(&format!(
        "CREATE TABLE {name} AS shipments ENGINE = ReplacingMergeTree(version) PARTITION BY {key} ORDER BY (customer, order_id)"
    ));
}

fn run_into(orders: &Orders, name: &str, job: &str) -> Binary {
    orders.tool().file("job.toml", job).args(&["--target-table", name])
}

fn rows(orders: &Orders, name: &str) -> u64 {
    orders.server.text(&format!("SELECT count() FROM {name} FINAL")).parse().unwrap()
}

const LIVE: &str = "SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = 202506";

#[test]
#[ignore = "slow: about 8 s"]
fn more_partitions_in_a_batch_than_an_insert_may_have_block_the_run() {
    let orders = Orders::on(Server::shared(), 4_000);
    // Orders of one customer are 500 apart: a batch of all rows has every partition.
    target(&orders, "tens", "intDiv(order_id, 10)");
    let into = |tool: Binary| tool.args(&["--target-table", "tens"]);
    let words = [
        "a batch has rows of 400 partitions of ",
        "(PARTITION BY intDiv(order_id, 10)), and the server takes 100 in one insert (max_partitions_per_insert_block)",
        "max_partitions_per_insert_block = 400 under [settings.insert] of the job",
    ];
    look(into(tool(&orders)), 3).assert("partitions", "blocked", &words);
    let run = run_into(&orders, "tens", JOB).run().expect(3);
    assert_text_snapshot!(run.failure(), @"
    exit code 3
    error: the check partitions blocks the run
      because: partitions: a batch has rows of 400 partitions of default.tens (PARTITION BY intDiv(order_id, 10)), and the server takes 100 in one insert (max_partitions_per_insert_block)
    hint: max_partitions_per_insert_block = 400 under [settings.insert] of the job
    hint: lower --batch-size, if the rows of one partition lie together in the source
    hint: a partition key of the target with fewer values, such as a month: each batch makes a part in every partition
    hint: --skip-checks partitions downgrades this to a warning
    ");
    assert_eq!(rows(&orders, "tens"), 0, "no row moves");
    // As the hint says.
    let job = format!("{JOB}\n[settings.insert]\nmax_partitions_per_insert_block = 400\n");
    look(into(tool_with(&orders, &job)), 0).assert("partitions", "ok", &["400 partitions"]);
    run_into(&orders, "tens", &job).run().expect(0);
    let live = orders.server.text(LIVE);
    assert_eq!(rows(&orders, "tens").to_string(), live);
}

#[test]
fn many_partitions_that_come_one_after_another_are_a_warning() {
    let orders = Orders::on(Server::shared(), 4_000);
    // The source is sorted by customer, and each of the 500 has 8 orders.
    target(&orders, "customers_apart", "customer");
    let few =
        |tool: Binary| tool.args(&["--target-table", "customers_apart", "--batch-size", "400"]);
    look(few(tool(&orders)), 0).assert(
        "partitions",
        "warning",
        &["101 partitions or more of ", "and a batch may have 100"],
    );
    few(orders.tool()).run().expect(0);
    assert_eq!(rows(&orders, "customers_apart").to_string(), orders.server.text(LIVE));
    let all = tool(&orders).args(&["--target-table", "customers_apart"]);
    look(all, 3).assert("partitions", "blocked", &["490 partitions"]);
}

#[test]
fn one_partition_or_few_are_ok() {
    let orders = Orders::on(Server::shared(), 1_000);
    look(tool(&orders), 0).assert("partitions", "ok", &["shipments has one partition"]);
    target(&orders, "months", "toYYYYMM(placed)");
    let months = tool(&orders).args(&["--target-table", "months"]);
    let words = ["the rows go into 1 partition of ", ".months, and a batch may have 100"];
    look(months, 0).assert("partitions", "ok", &words);
}

#[test]
fn partitions_that_depend_on_the_lookup_fail_at_the_first_insert() {
    let orders = Orders::on(Server::shared(), 4_000);
    target(&orders, "hashed", "cityHash64(note) % 300");
    let words = ["the partition key of ", "depends on the lookup"];
    look(tool(&orders).args(&["--target-table", "hashed"]), 0).assert(
        "partitions",
        "unknown",
        &words,
    );
    let run = run_into(&orders, "hashed", JOB).args(&["--max-retries", "5"]).run().expect(1);
    for part in [
        "failed after 1 attempt",
        "Too many partitions for single INSERT block",
        "hint: set max_partitions_per_insert_block under [settings.insert] of the job",
    ] {
        assert!(run.stderr.contains(part), "{part}\n{run}");
    }
    assert!(!run.stderr.contains("run the same command again"), "{run}");
    assert_eq!(orders.figure("retries"), 0, "{run}");
}
