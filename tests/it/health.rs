//! `health`: figures of tables, and what is wrong with them.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::Value;

use crate::support::process::wait_until;
use crate::support::{Server, assert_text_snapshot, binary};

fn health(server: &Server, arguments: &[&str], code: i32) -> String {
    binary().envs(&server.environment()).arg("health").args(arguments).run().expect(code).stdout
}

fn document(server: &Server, arguments: &[&str], code: i32) -> Value {
    let json = health(server, &[arguments, &["--json"]].concat(), code);
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["healthy"], Value::Bool(code == 0), "{document}");
    document
}

/// The problems, as subject and message.
fn problems(document: &Value) -> Vec<(String, String)> {
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let problems = document["problems"].as_array().unwrap();
    assert!(problems.iter().all(|problem| !text(problem, "advice").is_empty()));
    problems.iter().map(|problem| (text(problem, "subject"), text(problem, "message"))).collect()
}

fn with_pack() -> Server {
    let server = Server::shared();
    binary().envs(&server.environment()).args(&["pack", "apply", "optiinfra"]).run().expect(0);
    server
}

const INSERT: &str = "INSERT INTO cost_metrics_ts (timestamp, customer_id, service_name) \
    SELECT now() - 86400 - number, toUUID('11111111-1111-1111-1111-111111111111'), 's' FROM numbers(5000)";

#[test]
fn a_pack_whose_roll_ups_count_every_row_is_healthy() {
    let server = with_pack();
    server.query(INSERT);
    let text = health(&server, &["optiinfra"], 0);
    for line in ["counts 5,000 of 5,000 rows of cost_metrics_ts", "healthy: nothing is wrong"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let found = document(&server, &["optiinfra"], 0);
    let tables = found["tables"].as_array().unwrap();
    let table = tables.iter().find(|table| table["name"] == "cost_metrics_ts").unwrap();
    assert_eq!((&table["rows"], &table["parts"]), (&5000.into(), &table["parts"]));
    let month = server.text("SELECT max(partition) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'cost_metrics_ts'");
    assert_eq!(table["newest_partition"], month);
    assert!(table["compression_ratio"].as_f64().unwrap() > 1.0, "{table}");
    assert_eq!(tables.len(), 12);
}

#[test]
fn a_roll_up_that_misses_rows_is_named_and_expired_raw_rows_are_not_missed() {
    let server = with_pack();
    server.query(INSERT);
    // As if the raw rows had lived for long, and the TTL had removed them.
    server.query("INSERT INTO cost_metrics_hourly (hour, customer_id, sample_count) VALUES (toStartOfHour(now() - INTERVAL 120 DAY), generateUUIDv4(), 70)");
    document(&server, &["optiinfra"], 0);
    // A row that the view has not seen.
    server.query("DROP TABLE cost_metrics_hourly_mv");
    server.query("INSERT INTO cost_metrics_ts (timestamp, customer_id) SELECT now() - 90000, generateUUIDv4()");
    let found = document(&server, &["optiinfra"], 1);
    let expected = [
        ("cost_metrics_hourly_mv", "does not exist"),
        (
            "cost_metrics_hourly",
            "1 group of cost_metrics_hourly counts otherwise than cost_metrics_ts: 5,000 rows for 5,001",
        ),
    ];
    assert_eq!(
        problems(&found),
        expected.map(|(subject, message)| (subject.to_owned(), message.to_owned()))
    );
    assert_eq!(found["rollups"][0]["different_groups"], 1);
}

#[test]
fn mutations_that_fail_and_views_that_are_broken_are_named() {
    let server = Server::shared();
    server.query("CREATE TABLE t (id UInt64, name String) ENGINE = MergeTree ORDER BY id");
    server.query("CREATE TABLE s (id UInt64) ENGINE = MergeTree ORDER BY id");
    server.query("CREATE MATERIALIZED VIEW fine TO s AS SELECT id FROM t");
    server.query("INSERT INTO t VALUES (1, 'x')");
    assert_eq!(problems(&document(&server, &[], 0)), Vec::new());
    server.query("CREATE TABLE gone (id UInt64) ENGINE = MergeTree ORDER BY id");
    server.query("CREATE MATERIALIZED VIEW lost TO gone AS SELECT id FROM t");
    server.query("DROP TABLE gone SETTINGS check_table_dependencies = 0, check_referential_table_dependencies = 0");
    server.query(
        "ALTER TABLE t DELETE WHERE throwIf(id = 1, 'never') = 1 SETTINGS mutations_sync = 0",
    );
    let failed = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND latest_fail_reason != ''";
    assert!(wait_until(Duration::from_secs(60), || server.text(failed) == "1"));
    let found = document(&server, &[], 1);
    let subjects: Vec<_> = problems(&found).into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects, ["t", "lost"]);
    let (_, message) = &problems(&found)[0];
    assert!(message.contains("DELETE WHERE") && message.contains("never"), "{message}");
    assert_eq!(problems(&found)[1].1, "the table that it fills does not exist");
    server.query("KILL MUTATION WHERE database = currentDatabase() SYNC");
    server.query("DROP TABLE lost");
    assert_eq!(problems(&document(&server, &[], 0)), Vec::new());
}

#[test]
fn merges_and_mutations_that_take_too_long_and_failed_refreshes_are_named() {
    let server = Server::shared();
    for table in ["merging", "unfilled", "waiting"] {
        server.query(&format!(
            "CREATE TABLE {table} (id UInt64, text String) ENGINE = MergeTree ORDER BY id"
        ));
    }
    server.query("INSERT INTO waiting VALUES (1, 'x')");
    assert_eq!(problems(&document(&server, &["--stuck-after", "0s"], 0)), Vec::new());
    server.query("SYSTEM STOP MERGES waiting");
    server.query("ALTER TABLE waiting DELETE WHERE id = 1 SETTINGS mutations_sync = 0");
    server.query("CREATE MATERIALIZED VIEW failing REFRESH EVERY 10 YEAR TO unfilled AS SELECT throwIf(number = 0, 'no rates today') AS id, '' AS text FROM numbers(1)");
    // The merge takes most of a minute.
    server.query(
        "INSERT INTO merging SELECT number, randomPrintableASCII(100) FROM numbers(1000000)",
    );
    server.query("ALTER TABLE merging MODIFY COLUMN text CODEC(ZSTD(22))");
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        let optimizing = scope.spawn(|| server.try_query("OPTIMIZE TABLE merging FINAL"));
        let is_named = || {
            let (tool, flags) = (binary().envs(&server.environment()), ["--stuck-after", "1s"]);
            let output = tool.args(&["health", "--json"]).args(&flags).run();
            found = problems(&serde_json::from_str(&output.stdout).unwrap());
            found.len() == 3
        };
        assert!(wait_until(Duration::from_secs(60), is_named), "{found:?}");
        server.query("SYSTEM STOP MERGES merging");
        optimizing.join().unwrap().unwrap_err();
    });
    let said = |subject: &str, holds: &str| {
        let (_, message) = found.iter().find(|(found, _)| found == subject).unwrap();
        assert!(message.contains(holds) && !message.contains("Stack trace"), "{message}");
    };
    said("merging", "the merge into all_1_");
    said("waiting", "the mutation (DELETE WHERE id = 1) is not done after");
    said("failing", "no rates today");
    // A mutation that only waits is none yet after the hour that is the default.
    let subjects = problems(&document(&server, &[], 1)).into_iter().map(|(subject, _)| subject);
    assert_eq!(subjects.collect::<Vec<_>>(), ["failing"]);
}

/// Where there is no Keeper, a replicated table can be attached, and can only be read.
#[test]
fn a_replica_that_can_only_be_read_is_named() {
    let server = Server::shared_here();
    server.query("CREATE TABLE plain (id UInt64) ENGINE = MergeTree ORDER BY id");
    document(&server, &[], 0);
    let uuid = server.text("SELECT generateUUIDv4()");
    server.query(&format!(
        "ATTACH TABLE replica UUID '{uuid}' (id UInt64) ENGINE = ReplicatedMergeTree('/health', 'one') ORDER BY id"
    ));
    let found = document(&server, &[], 1);
    let replica = &found["replicas"][0];
    assert_eq!(
        (&replica["table"], &replica["is_readonly"]),
        (&"replica".into(), &true.into()),
        "{found}"
    );
    let problems = problems(&found);
    let [(subject, message)] = problems.as_slice() else { panic!("{found}") };
    assert_eq!(subject, "replica");
    assert!(message.starts_with("the replica is read-only"), "{message}");
    let text = health(&server, &[], 1);
    assert!(text.contains("look at system.replication_queue and at the server's Keeper"), "{text}");
}

#[test]
fn a_server_that_cannot_be_asked_and_an_unknown_pack_are_failures() {
    let server = Server::shared();
    let unknown = binary().envs(&server.environment()).args(&["health", "optinfra"]).run();
    assert_text_snapshot!(unknown.failure(), @r#"
    exit code 2
    error: there is no pack "optinfra"; there are finops, langfuse, optiinfra, shop
    hint: --pack names the folder of a pack of your own
    "#);
    let away = binary().env("CLICKHOUSE_URL", "http://127.0.0.1:1").arg("health").run();
    assert_eq!(away.status, Some(2), "{away}");
}
