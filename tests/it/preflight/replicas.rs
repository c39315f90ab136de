//! Replicated tables, and servers of a cluster.

use super::fixture::{look, tool, tool_with};
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Server, assert_text_snapshot};

/// Where there is no Keeper, a replicated table can be attached, and is a replica that has lost its
/// Keeper: it can only be read.
fn attach_replicated(server: &Server, table: &str, like: &str) {
    let create = server.text(&format!("SHOW CREATE TABLE {like} FORMAT TSVRaw"));
    let (_, rest) = create.split_once('\n').unwrap_or_default();
    let rest = rest.replace(
        "ENGINE = ReplacingMergeTree(",
        &format!("ENGINE = ReplicatedReplacingMergeTree('/{table}', 'one', "),
    );
    assert!(rest.contains("Replicated"), "{rest}");
    let uuid = server.text("SELECT generateUUIDv4()");
    server.query(&format!("ATTACH TABLE {table} UUID '{uuid}' {rest}"));
}

#[test]
fn a_replica_that_can_only_be_read_forbids_the_run() {
    let orders = Orders::on(Server::shared_here(), 100);
    let database = orders.server.database();
    attach_replicated(&orders.server, "replica", "shipments");
    look(tool(&orders), 0).assert("replicas", "ok", &["no table is replicated"]);
    let looked = look(tool(&orders).args(&["--target-table", "replica"]), 3);
    looked.assert(
        "replicas",
        "blocked",
        &[
            &format!("{database}.replica on this server is read-only"),
            &format!("SYSTEM RESTART REPLICA `{database}`.`replica`"),
        ],
    );
    assert_eq!(
        looked.plan["topology"]["target_replicas"]["active"], 0,
        "{}",
        looked.plan["topology"]
    );
    looked.assert("insert", "blocked", &["the server refuses the insert, tested without rows: "]);
    // Nothing is compared for a repair that could not write.
    let repair = crate::support::binary().file("job.toml", JOB).envs(&orders.server.environment());
    let repair = repair
        .args(&[
            "repair",
            "--job",
            "job.toml",
            "--partition",
            PARTITION,
            "--target-table",
            "replica",
        ])
        .run();
    assert_eq!(repair.stdout, "", "{repair}");
    assert_text_snapshot!(repair.failure(), @"
    exit code 3
    error: the check replicas blocks the repair
      because: replicas: the replica of default.replica on this server is read-only
    hint: find out why: SELECT * FROM system.replicas WHERE database = 'default' AND table = 'replica'
    hint: SYSTEM RESTART REPLICA `default`.`replica`, or use another replica as --clickhouse-url
    hint: --skip-checks replicas downgrades this to a warning
    ");
}

#[test]
fn a_source_that_is_behind_is_said() {
    let orders = Orders::on(Server::shared_here(), 100);
    attach_replicated(&orders.server, "behind", "customers");
    let job = JOB.replace("table = \"customers\"", "table = \"behind\"");
    let looked = look(tool_with(&orders, &job), 0);
    looked.assert(
        "replicas",
        "warning",
        &[
            &format!("the replica of {}.behind lags by ", orders.server.database()),
            ", with 0 entries",
            "its newest rows are missing",
        ],
    );
}

#[test]
fn a_server_by_itself_is_in_no_cluster() {
    let orders = Orders::on(Server::shared_here(), 100);
    look(tool(&orders), 0).assert("cluster", "ok", &["in no cluster of several servers"]);
}
