//! Limits of a user: what passes is tried again, and what lasts is shown.

use crate::faults::errors_that_pass::RETRYING;
use crate::faults::fixture::ROWS;
use crate::orders::{JOB, Orders};
use crate::support::{Server, ServerOptions};

/// A view makes each insert slow, and the user may send two queries at once.
#[test]
fn too_many_queries_at_once_pass() {
    let orders = Orders::on(
        limited("<max_concurrent_queries_for_user>2</max_concurrent_queries_for_user>", ""),
        ROWS,
    );
    let server = &orders.server;
    server.query("CREATE TABLE slow (x UInt8) ENGINE = Null");
    server.query("CREATE MATERIALIZED VIEW slowly TO slow AS SELECT sleep(1) AS x FROM shipments");
    let tool = orders.tool().env("CLICKHOUSE_USER", "limited");
    let running = tool.args(&RETRYING).args(&["--batch-size", "2000", "--inserters", "4"]).spawn();
    // Questions before the first row may be refused as well.
    running.wait_for_log("an insert failed, the same bytes are sent again");
    server.query("DROP VIEW slowly SYNC");
    let output = running.wait().expect(0);
    assert!(
        orders.figure("retries") >= 1 && output.stderr.contains("TOO_MANY_SIMULTANEOUS_QUERIES"),
        "{output}"
    );
    orders.assert_complete();
}

#[test]
#[ignore = "slow: about 9 s"]
fn limits_that_last_are_tried_again_and_then_shown() {
    let quota = "<interval><duration>86400</duration><query_inserts>4</query_inserts></interval>";
    let orders = Orders::on(limited("<readonly>0</readonly>", quota), ROWS);
    let tool = || orders.tool().args(&["--batch-size", "2000", "--max-retries", "1"]);
    let memory =
        JOB.replace("[columns]", "[settings.source]\nmax_memory_usage = 1000000\n\n[columns]");
    for (tool, name, what) in [
        // A ledger in tables would wait for the quota as well.
        (
            tool().env("CLICKHOUSE_USER", "limited").args(&["--ledger", "file:ledger"]),
            "QUOTA_EXCEEDED",
            "inserting a batch of 2,000 rows",
        ),
        (tool().file("job.toml", &memory), "MEMORY_LIMIT_EXCEEDED", "reading chunk 1"),
    ] {
        let output = tool.run().expect(1);
        let summary = orders.summary();
        assert_eq!(summary["status"], "failed", "{summary}");
        assert!(orders.figure("retries") >= 1 && orders.figure("errors") >= 1, "{summary}");
        let last_words =
            output.stderr.rsplit_once("error: ").map(|(_, words)| words).unwrap_or_default();
        for part in [name, what, "run the same command again"] {
            assert!(last_words.contains(part), "{part}\n{output}");
        }
    }
    orders.tool().run().expect(0);
    orders.assert_complete();
}

/// A server with a user `limited`, who has this profile and this quota.
fn limited(profile: &str, quota: &str) -> Server {
    let users = format!(
        "<clickhouse><profiles><limited>{profile}</limited></profiles><quotas><limited>{quota}</limited></quotas>
        <users><limited><password></password><networks><ip>127.0.0.1</ip></networks><profile>limited</profile><quota>limited</quota>
        <default_database>default</default_database></limited></users></clickhouse>"
    );
    Server::isolated_with(ServerOptions { users_xml: Some(users), ..ServerOptions::default() })
}
