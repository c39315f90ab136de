//! Disk and memory that a server has not, or does not give.

use std::path::Path;

use tempfile::TempDir;

use crate::orders::{JOB, Orders, PARTITION};
use crate::preflight::fixture::{look, tool};
use crate::support::{Binary, Server, ServerOptions, assert_text_snapshot};

/// A disk of its own that keeps as much free as no disk has.
fn full(path: &Path) -> String {
    format!(
        "<clickhouse><storage_configuration>
        <disks><full><path>{}/</path><keep_free_space_bytes>1000000000000000</keep_free_space_bytes></full></disks>
        <policies><full><volumes><main><disk>full</disk></main></volumes></full></policies>
        </storage_configuration></clickhouse>",
        path.display()
    )
}

#[test]
#[ignore = "slow: about 16 s"]
fn a_disk_without_room_forbids_plan_and_run() {
    let folder = TempDir::with_prefix("full-").unwrap();
    let orders = Orders::on(
        Server::isolated_with(ServerOptions {
            config_xml: Some(full(folder.path())),
            ..Default::default()
        }),
        1_000,
    );
    let server = &orders.server;
    server
        .query("CREATE TABLE on_full AS shipments ENGINE = ReplacingMergeTree(version) ORDER BY order_id SETTINGS storage_policy = 'full'");
    let on_full = |tool: Binary| tool.args(&["--target-table", "on_full"]);
    let looked = look(on_full(tool(&orders)), 3);
    looked.assert(
        "disk",
        "blocked",
        &[
            "the rows need about ",
            "as those of default.orders",
            "0 B are free",
            "FROM system.disks",
        ],
    );
    assert_eq!(looked.plan["disk"]["free_bytes"], 0);
    assert!(
        looked.plan["disk"]["needed_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000),
        "{}",
        looked.plan["disk"]
    );
    assert_text_snapshot!(on_full(orders.tool()).run().failure(), @"
    exit code 3
    error: the check disk blocks the run
      because: disk: the rows need about [SIZE] if they are as large as those of default.orders, and merges [SIZE] more for a while; [SIZE] are free
    hint: free some disk: SELECT name, path, free_space, keep_free_space FROM system.disks
    hint: --skip-checks disk downgrades this to a warning
    ");
    // The server refuses what the check foresees; who has another idea of it may find out.
    let insert = server.try_query("INSERT INTO on_full (order_id) VALUES (1)");
    assert!(insert.is_err_and(|words| words.contains("NOT_ENOUGH_SPACE")));
    let overruled = on_full(orders.tool())
        .env("SKIP_CHECKS", "parts,disk")
        .args(&["--max-retries", "0", "--outage-wait", "2s"])
        .run()
        .expect(1);
    assert!(overruled.stderr.contains("NOT_ENOUGH_SPACE"), "{overruled}");
    // What compares has nothing to do with disks; what mends is refused, after it has said what
    // differs.
    let repair = || {
        let tool = crate::support::binary().file("job.toml", JOB).envs(&server.environment());
        on_full(tool.args(&["repair", "--job", "job.toml", "--partition", PARTITION]))
    };
    let refused = repair().run().expect(3);
    assert_text_snapshot!(refused.failure(), @"
    exit code 3
    error: the check disk blocks the repair
      because: disk: the rows need about [SIZE] if they are as large as those of default.orders, and merges [SIZE] more for a while; [SIZE] are free
    hint: free some disk: SELECT name, path, free_space, keep_free_space FROM system.disks
    hint: --skip-checks disk downgrades this to a warning
    ");
    assert!(refused.stdout.contains("missing in the target"), "{refused}");
    let overruled = repair()
        .args(&["--skip-checks", "disk", "--max-retries", "0", "--outage-wait", "2s"])
        .run()
        .expect(1);
    assert!(
        overruled.stderr.contains("NOT_ENOUGH_SPACE")
            && overruled.stderr.contains("note: disk: the rows need about "),
        "{overruled}"
    );
    // On another disk there is room.
    orders.tool().run().expect(0);
    orders.assert_complete();
}

/// So little that no insert of a full batch fits.
const CRAMPED: &str = "<clickhouse><profiles><cramped><max_memory_usage>60000000</max_memory_usage></cramped>\
    <shared><max_memory_usage_for_user>200000000</max_memory_usage_for_user></shared></profiles>\
    <users><cramped><password></password><networks><ip>::/0</ip></networks><profile>cramped</profile><quota>default</quota></cramped>\
    <shared><password></password><networks><ip>::/0</ip></networks><profile>shared</profile><quota>default</quota></shared></users></clickhouse>";

#[test]
fn memory_that_inserts_would_not_have_is_said() {
    let orders = Orders::on(
        Server::isolated_with(ServerOptions {
            users_xml: Some(CRAMPED.to_owned()),
            ..Default::default()
        }),
        100_000,
    );
    look(tool(&orders), 0).assert(
        "memory",
        "ok",
        &["one insert needs about ", "; each of 2 readers about "],
    );
    let words = ["max_memory_usage of the user is 57.2 MiB", "--batch-bytes", "[settings.insert]"];
    look(tool(&orders).env("CLICKHOUSE_USER", "cramped"), 0).assert("memory", "warning", &words);
    let small = tool(&orders).env("CLICKHOUSE_USER", "cramped").args(&["--batch-size", "10000"]);
    look(small, 0).assert("memory", "ok", &[]);
    let shared = tool(&orders).env("CLICKHOUSE_USER", "shared").args(&["--inserters", "8"]);
    look(shared, 0).assert(
        "memory",
        "warning",
        &["8 at once", "max_memory_usage_for_user of the user is 190.7 MiB"],
    );
}

#[test]
fn memory_that_the_server_has_not_is_said() {
    let config =
        "<clickhouse><max_server_memory_usage>1200000000</max_server_memory_usage></clickhouse>";
    let orders = Orders::on(
        Server::isolated_with(ServerOptions {
            config_xml: Some(config.to_owned()),
            ..Default::default()
        }),
        20_000,
    );
    let many =
        tool(&orders).args(&["--inserters", "64", "--batch-bytes", "16MiB", "--memory", "8GiB"]);
    look(many, 0).assert(
        "memory",
        "warning",
        &["64 at once", "of 1.1 GiB", "lower --batch-bytes or --inserters"],
    );
}
