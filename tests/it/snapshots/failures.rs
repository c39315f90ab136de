//! The main failures, each with what is wrong, why, and what to do next.

use super::steady::assert_gives;
use crate::orders::{JOB, Orders};
use crate::support::{Direction, Output, Proxy, binary};

/// What a person can do next is said.
#[track_caller]
fn assert_fails(name: &str, output: &Output) {
    assert!(
        output.stderr.contains("error: ") && output.stderr.contains("hint: "),
        "{name} has no hint\n{output}"
    );
    assert_gives(name, output);
}

#[test]
fn usage() {
    let run = |arguments: &[&str]| binary().arg("run").args(arguments).run();
    assert_fails("usage-flag", &run(&["--partiton", "202511"]));
    assert_fails("usage-command", &binary().arg("verfy").run());
    assert_fails("usage-missing", &run(&[]));
    assert_fails("usage-partition", &run(&["--partition", "202513"]));
    assert_fails("usage-value", &run(&["--partition", "202511", "--insert-format", "natve"]));
    assert_fails("usage-size", &run(&["--partition", "202511", "--memory", "4 gallons"]));
    assert_fails(
        "usage-variable",
        &binary().env("READERS", "many").args(&["run", "--partition", "202511"]).run(),
    );
    assert_fails(
        "usage-env-file",
        &binary().file(".env", "PARTITION=202511\nREADERS 4\n").arg("run").run(),
    );
    assert_fails("usage-job", &run(&["--partition", "202511", "--job", "langfuse-event"]));
    assert_fails("usage-no-job", &run(&["--partition", "202511", "--job", "nothing-like-it"]));
    // Nobody listens on the port that is reserved for nothing.
    assert_fails(
        "usage-url",
        &run(&[
            "--partition",
            "202511",
            "--clickhouse-url",
            "http://127.0.0.1:1",
            "--outage-wait",
            "0",
        ]),
    );
    let typo = JOB.replace("table = \"orders\"", "tabel = \"orders\"");
    assert_fails(
        "usage-job-key",
        &binary().file("job.toml", &typo).args(&["job", "show", "job.toml"]).run(),
    );
}

#[test]
fn refusals() {
    let orders = Orders::start(100);
    let tool = |from: &str, to: &str| orders.tool().file("job.toml", &JOB.replace(from, to)).run();
    assert_fails("refused-password", &orders.tool().env("CLICKHOUSE_USER", "nobody").run());
    assert_fails("refused-database", &orders.tool().env("CLICKHOUSE_DB", "nowhere").run());
    assert_fails("refused-source", &tool("\"orders\"", "\"orderz\""));
    assert_fails("refused-target", &orders.tool().args(&["--target-table", "shipment"]).run());
    assert_fails("refused-column", &tool("time = \"placed\"", "time = \"plazed\""));
    assert_fails("refused-log-file", &orders.tool().args(&["--log-file", "nowhere/log"]).run());
    assert_fails("refused-memory", &orders.tool().args(&["--memory", "1MiB"]).run());
    orders.server.script(
        "CREATE TABLE by_day AS orders ENGINE = MergeTree PARTITION BY toYYYYMMDD(placed) ORDER BY id\n--;;\nCREATE TABLE plain AS shipments ENGINE = MergeTree ORDER BY order_id",
    );
    assert_fails(
        "refused-partition",
        &tool(
            "\"orders\"\nfinal = true\nversion = \"version\"\ndeleted = \"is_deleted\"",
            "\"by_day\"",
        ),
    );
    assert_fails("refused-target-repeats", &orders.tool().args(&["--target-table", "plain"]).run());
    orders.tool().run().expect(0);
    let changed = orders
        .resuming_tool_at(orders.server.url())
        .file("job.toml", &JOB.replace("amount * 2", "amount * 3"));
    assert_fails("refused-changed", &changed.run());
}

#[test]
fn stops() {
    let orders = Orders::start(1_000);
    let proxy = Proxy::start(orders.server.port());
    proxy.after_request_with(b"-source-").reset_at(Direction::ToClient, 100_000, 1);
    assert_fails(
        "stopped-reading",
        &orders.tool_at(&proxy.url()).args(&["--max-retries", "0", "-q"]).run(),
    );
}
