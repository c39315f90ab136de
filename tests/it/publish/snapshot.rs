//! `[source] snapshot`: rows that are written, updated or deleted during a run change nothing.

use serde_json::Value;

use super::fixture::{JOB, PARTITION, Sales};
use crate::faults::fixture::held_at;
use crate::support::{Binary, Direction, Output, Proxy, Server, binary};

/// The target collapses repeated rows, and is filled in place.
pub const ORDERS: &str = "
CREATE TABLE orders (id UInt64, at DateTime('UTC'), amount Int64, version UInt32)
ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(at) ORDER BY id SETTINGS index_granularity = 128
--;;
INSERT INTO orders SELECT number, toDateTime('2025-06-01 00:00:00', 'UTC') + number, number, 1 FROM numbers(6000)
--;;
INSERT INTO orders SELECT number + 500000, toDateTime('2025-05-01 00:00:00', 'UTC') + number, number, 1 FROM numbers(10)
--;;
CREATE TABLE copies (id UInt64, at DateTime('UTC'), amount Int64, version UInt32)
ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(at) ORDER BY id
--;;
CREATE TABLE expected ENGINE = Memory AS SELECT * FROM orders FINAL WHERE toYYYYMM(at) = 202506";

pub const JOB_OF_ORDERS: &str = "name = 'orders'\n[source]\ntable = 'orders'\nfinal = true\nversion = 'version'\nsnapshot = true\n[target]\ntable = 'copies'\nowned = 'id < 10000000'\n\
    [columns]\nid = 'source.id'\nat = 'source.at'\namount = 'source.amount'\nversion = 'source.version'\n";

/// What writers do meanwhile: a new row, a newer version, a deleted row.
pub const MEANWHILE: &str = "
INSERT INTO orders VALUES (1000000, '2025-06-20 00:00:00', 1, 1)
--;;
INSERT INTO orders SELECT id, at, amount + 1, 2 FROM orders FINAL WHERE id % 100 = 0 AND toYYYYMM(at) = 202506
--;;
DELETE FROM orders WHERE id % 100 = 7 AND toYYYYMM(at) = 202506 SETTINGS lightweight_deletes_sync = 2";

fn orders() -> Server {
    let server = Server::shared();
    server.script(ORDERS);
    server
}

fn command(server: &Server, command: &str) -> Binary {
    let tool = binary().file("job.toml", JOB_OF_ORDERS).envs(&server.environment());
    tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
}

fn run(server: &Server, engine: &str) -> Binary {
    command(server, "run").args(&["--engine", engine, "--chunk-rows", "500", "--readers", "1"])
}

fn snapshots(server: &Server) -> String {
    server.text("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%\\_snap\\_%'")
}

#[track_caller]
fn assert_as_it_was(server: &Server, output: &Output) {
    let differing = "SELECT count() FROM (SELECT * FROM copies FINAL EXCEPT SELECT * FROM expected UNION ALL SELECT * FROM expected EXCEPT SELECT * FROM copies FINAL)";
    assert_eq!(server.text(differing), "0", "{output}");
    assert_eq!(server.text("SELECT count() FROM copies FINAL"), "6000", "{output}");
}

/// Fills some chunks, changes the source, kills a run that goes on, and lets another end it.
fn changed_and_killed(server: &Server, engine: &str, label: &str) -> Output {
    run(server, engine).args(&["--canary", "30%"]).run().expect(0);
    assert_eq!(snapshots(server), "1", "the load is unfinished");
    server.script(MEANWHILE);
    let proxy = Proxy::start(server.port());
    let running = held_at(&proxy, label, Direction::ToServer, run(server, engine));
    running.signal("KILL");
    running.wait();
    assert_eq!(snapshots(server), "1", "the next run reads the same copy");
    run(server, engine).run().expect(0)
}

#[test]
#[ignore = "slow: about 9 s"]
fn what_is_written_during_a_run_does_not_reach_the_target() {
    let server = orders();
    let output = changed_and_killed(&server, "stream", "-source-");
    assert_as_it_was(&server, &output);
    assert_eq!(snapshots(&server), "0");

    // A comparison is with the source as it is now, and says so.
    let found = command(&server, "verify").arg("--json").run().expect(4);
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(report["differences"]["missing"], 1, "{report:#}");
    assert_eq!(report["differences"]["stale"], 60, "{report:#}");
    assert_eq!(report["differences"]["extra"], 60, "{report:#}");
    assert!(
        found.stderr.contains("the source is compared as it is now, not the snapshot"),
        "{found}"
    );
}

#[test]
#[ignore = "slow: about 8 s"]
fn the_server_fills_chunks_from_the_snapshot_too() {
    let server = orders();
    let output = changed_and_killed(&server, "server", "-chunk");
    assert_as_it_was(&server, &output);
    assert_eq!(snapshots(&server), "0");
}

#[test]
fn a_partition_is_replaced_by_what_the_snapshot_had() {
    let sales = Sales::start();
    let job = JOB.replace("[source]\n", "[source]\nsnapshot = true\n");
    sales.server.query("CREATE TABLE raw_before ENGINE = Memory AS SELECT * FROM raw");
    let proxy = sales.proxy();
    let running =
        held_at(&proxy, "-chunk", Direction::ToServer, sales.run().file("job.toml", &job));
    sales.server.query(
        "INSERT INTO raw SELECT id + 1000000, customer, at, amount FROM raw WHERE id < 1000",
    );
    running.signal("KILL");
    running.wait();
    sales.run().file("job.toml", &job).run().expect(0);
    sales.server.script("DROP TABLE raw SYNC\n--;;\nRENAME TABLE raw_before TO raw");
    sales.assert_published();
    assert_eq!(snapshots(&sales.server), "0");
}

#[test]
fn a_copy_that_is_gone_is_not_made_again_by_itself() {
    let server = orders();
    run(&server, "stream").args(&["--canary", "30%"]).run().expect(0);
    let name = server.text("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%\\_snap\\_%'");
    server.query(&format!("DROP TABLE {name} SYNC"));
    let output = run(&server, "stream").run().expect(3);
    assert!(
        output
            .stderr
            .contains("the copy of the source that the completed chunks were read from, is gone"),
        "{output}"
    );
    let output = run(&server, "stream").arg("--restart").run().expect(0);
    assert_as_it_was(&server, &output);
    assert_eq!(snapshots(&server), "0");
}

#[test]
fn a_load_that_is_undone_leaves_no_copy() {
    let server = orders();
    run(&server, "stream").args(&["--canary", "30%"]).run().expect(0);
    assert_eq!(snapshots(&server), "1");
    command(&server, "undo").arg("--yes").run().expect(0);
    assert_eq!(snapshots(&server), "0");
    assert_eq!(server.text("SELECT count() FROM copies"), "0");
}

#[test]
fn a_plan_says_what_a_snapshot_covers() {
    let server = orders();
    let plan = command(&server, "plan").args(&["--json", "--measure", "0"]).run().expect(0);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let checks = plan["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "snapshot").unwrap();
    assert_eq!(check["verdict"], "ok", "{check}");
    let detail = check["detail"].as_str().unwrap();
    assert!(
        detail.contains(".orders by hard links") && detail.contains("orders_snap_RUN"),
        "{detail}"
    );
    assert_eq!(snapshots(&server), "0", "a plan makes no copy");

    let refused = run(&server, "stream").args(&["--worker", "1/2"]).run().expect(3);
    assert!(refused.stderr.contains("no snapshot of "), "{refused}");
    let both = JOB_OF_ORDERS.replace("snapshot = true", "snapshot = true\nnewest_by = ['id']");
    let refused = command(&server, "plan").file("job.toml", &both).run().expect(2);
    assert!(refused.stderr.contains("[source] has snapshot and newest_by"), "{refused}");
}
