//! Targets that pass rows on: two shards of a cluster, and a buffer.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used)]

use crate::orders::{JOB, Orders};
use crate::preflight::fixture::{look, tool, tool_with};
use crate::support::shown::titled;
use crate::support::{Binary, Server, ServerOptions, assert_text_snapshot};

/// The server of the orders, whose cluster `two` is two other servers, each with shipments.
struct Cluster {
    orders: Orders,
    shards: [Server; 2],
}

impl Cluster {
    fn start(rows: u64) -> Self {
        let shards = [Server::isolated(), Server::isolated()];
        let shard = |server: &Server| {
            let port = server.text("SELECT getServerPort('tcp_port')");
            format!(
                "<shard><replica><host>127.0.0.1</host><port>{}</port></replica></shard>",
                port.trim()
            )
        };
        let config = format!(
            "<clickhouse><remote_servers><two>{}{}</two></remote_servers></clickhouse>",
            shard(&shards[0]),
            shard(&shards[1])
        );
        let options = ServerOptions { config_xml: Some(config), ..Default::default() };
        let orders = Orders::on(Server::isolated_with(options), rows);
        let create = orders.server.text("SHOW CREATE TABLE shipments FORMAT TSVRaw");
        for server in &shards {
            server.query(&create);
            server.query(
                &create
                    .replace("default.shipments", "default.heap")
                    .replace("ReplacingMergeTree(version)", "MergeTree"),
            );
        }
        orders.server.query("CREATE TABLE heap AS shipments ENGINE = MergeTree ORDER BY order_id");
        let cluster = Self { orders, shards };
        cluster.distributed("scattered", "shipments", "rand()");
        cluster.distributed("by_amount", "shipments", "toUInt64(amount)");
        cluster.distributed("by_customer", "shipments", "cityHash64(customer)");
        cluster.distributed("by_key_into_heap", "heap", "cityHash64(customer)");
        cluster
    }

    fn distributed(&self, name: &str, local: &str, key: &str) {
        self.orders.server.query(&format!(
            "CREATE TABLE {name} AS shipments ENGINE = Distributed('two', 'default', '{local}', {key})"
        ));
    }

    fn run(&self, name: &str) -> Binary {
        let tool = self.orders.tool().arg("--allow-duplicates");
        tool.args(&["--target-table", name, "--batch-size", "500"])
    }

    fn rows(&self) -> [u64; 2] {
        let count = |server: &Server| {
            server.text("SELECT count() FROM shipments FINAL").trim().parse().unwrap()
        };
        [count(&self.shards[0]), count(&self.shards[1])]
    }

    fn expected(&self) -> u64 {
        let live = "SELECT count() FROM orders FINAL WHERE toYYYYMM(placed) = 202506";
        self.orders.server.text(live).trim().parse().unwrap()
    }
}

#[test]
#[ignore = "slow: about 10 s"]
fn every_shard_has_its_rows_when_the_run_ends() {
    let mut cluster = Cluster::start(2_000);
    let server = &cluster.orders.server;
    server.query("SYSTEM STOP DISTRIBUTED SENDS by_customer");
    let looked =
        tool(&cluster.orders).args(&["--target-table", "by_customer", "--allow-duplicates"]);
    look(looked, 0).assert(
        "delivery",
        "ok",
        &["passes rows to default.shipments on 2 shards of the cluster two by cityHash64(customer)"],
    );
    cluster.run("by_customer").run().expect(0);
    let [one, other] = cluster.rows();
    assert!(one > 0 && other > 0, "{one} and {other}");
    assert_eq!(one + other, cluster.expected());
    // Sent again, each row goes to its shard and collapses.
    cluster.run("by_customer").run().expect(0);
    assert_eq!(cluster.rows(), [one, other]);
    // A shard that is away is no success.
    cluster.shards[1].kill9();
    let run = cluster.run("by_customer").args(&["--max-retries", "1"]).run();
    assert_ne!(run.status, Some(0), "{run}");
    assert!(run.stderr.contains("127.0.0.1"), "{run}");
    assert_ne!(cluster.orders.summary()["status"], "completed", "{run}");
}

#[test]
#[ignore = "slow: about 11 s"]
fn what_cannot_be_exact_over_shards_is_refused_by_name() {
    let cluster = Cluster::start(100);
    let mut cases = Vec::new();
    for (target, words) in [
        (
            "scattered",
            &["its sharding key rand() uses rand, which gives another value every time"][..],
        ),
        (
            "by_amount",
            &[
                "its sharding key toUInt64(amount) reads `amount`, which is not in the sorting key of default.shipments",
            ],
        ),
        (
            "by_key_into_heap",
            &[
                "passes rows to default.heap on 2 shards",
                "where its engine is MergeTree",
                "--target-table default.heap",
            ],
        ),
    ] {
        let planned = tool(&cluster.orders).args(&["--target-table", target, "--allow-duplicates"]);
        look(planned, 3).assert("delivery", "blocked", words);
        let run = cluster.run(target).run().expect(3);
        cases.push((target, run.failure()));
    }
    assert_text_snapshot!(titled(cases), @"
    # scattered
    exit code 3
    error: the check delivery blocks the run
      because: delivery: default.scattered (Distributed) passes rows to default.shipments on 2 shards of the cluster two, but its sharding key rand() uses rand, which gives another value every time: two versions of a row may go to different shards, where they do not collapse
    hint: run once for each shard with --target-table default.shipments and the shard's own ledger
    hint: a Distributed table over ReplacingMergeTree tables whose sharding key is a function of their sorting key, such as cityHash64(id)

    # by_amount
    exit code 3
    error: the check delivery blocks the run
      because: delivery: default.by_amount (Distributed) passes rows to default.shipments on 2 shards of the cluster two, but its sharding key toUInt64(amount) reads `amount`, which is not in the sorting key of default.shipments: two versions of a row may go to different shards, where they do not collapse
    hint: run once for each shard with --target-table default.shipments and the shard's own ledger
    hint: a Distributed table over ReplacingMergeTree tables whose sharding key is a function of their sorting key, such as cityHash64(id)

    # by_key_into_heap
    exit code 3
    error: the check delivery blocks the run
      because: delivery: default.by_key_into_heap (Distributed) passes rows to default.heap on 2 shards of the cluster two, where its engine is MergeTree: rows of an insert that fails on one shard are sent again to all, and stay twice
    hint: run once for each shard with --target-table default.heap and the shard's own ledger
    hint: a Distributed table over ReplacingMergeTree tables whose sharding key is a function of their sorting key, such as cityHash64(id)
    ");
    // What the job sets does not turn the wait off in silence.
    let job = format!("{JOB}\n[settings.insert]\ndistributed_foreground_insert = 0\n");
    let planned = tool_with(&cluster.orders, &job);
    look(planned.args(&["--target-table", "by_customer", "--allow-duplicates"]), 3).assert(
        "delivery",
        "blocked",
        &["the job sets distributed_foreground_insert = 0", "remove distributed_foreground_insert"],
    );
    assert_eq!(cluster.rows(), [0, 0], "no row moves");
}
