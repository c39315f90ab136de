//! `undo`: what a load has inserted is removed, and nothing else.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use crate::orders::{JOB, Orders, PARTITION};
use crate::packs::fixture as packs;
use crate::support::{Binary, Server, assert_text_snapshot, binary};

fn undo(orders: &Orders, job: &str) -> Binary {
    let tool = binary().file("job.toml", job).envs(&orders.server.environment());
    tool.args(&["undo", "--job", "job.toml", "--partition", PARTITION])
}

fn owning() -> String {
    JOB.replace("table = \"shipments\"", "table = \"shipments\"\nowned = \"order_id < 1000000\"")
}

#[test]
fn what_the_load_has_written_is_removed_and_nothing_else() {
    let orders = Orders::on(Server::shared(), 1_000);
    let (server, job) = (&orders.server, owning());
    let nothing = undo(&orders, &job).run().expect(3);
    assert!(nothing.stderr.contains("the ledger has no load of "), "{nothing}");
    orders.tool().file("job.toml", &job).run().expect(0);
    // A row of another writer, and one of another month that the job would own.
    server.query(
        "INSERT INTO shipments (order_id, placed, version) VALUES (5000000, '2025-06-15 00:00:00', 1), (7, '2025-07-15 00:00:00', 1)",
    );
    let before = orders.target_rows();

    assert_text_snapshot!(undo(&orders, &job).run().expect(0).stdout, @"
    dry run, nothing was changed: 980 rows of partition 202506 would be removed from default.shipments
      load      run [RUN], completed before
      stay      1 row that the job does not own
      next      clickhouse-backfill undo --job job.toml --partition 202506 --yes
    ");
    assert_eq!(orders.target_rows(), before, "a dry run");

    let done = undo(&orders, &job).args(&["--yes", "--json"]).run().expect(0);
    let done: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&done["rows"], &done["done"]), (&980.into(), &true.into()), "{done}");
    let left =
        "SELECT groupArray(order_id) FROM (SELECT order_id FROM shipments ORDER BY order_id)";
    assert_eq!(server.text(left), "[7,5000000]");

    let again = orders.resuming_tool_at(server.url()).file("job.toml", &job).run().expect(3);
    assert!(again.stderr.contains("hint: --restart starts a new version"), "{again}");
    orders.tool().file("job.toml", &job).run().expect(0);
    assert_eq!(orders.target_rows(), before, "filled again");
}

#[test]
fn rows_of_unknown_owners_stay() {
    let orders = Orders::on(Server::shared(), 100);
    orders.tool().run().expect(0);
    let rows = orders.target_rows();
    assert_text_snapshot!(undo(&orders, JOB).arg("--yes").run().failure(), @r#"
    exit code 3
    error: the job shipments does not say which rows of default.shipments are its own
    hint: `owned` under [target] of the job is a condition on its rows, such as owned = "source = 'shipments'"
    "#);
    let elsewhere =
        owning().replace("placed = \"source.placed\"", "placed = \"source.placed + 1\"");
    let failure = undo(&orders, &elsewhere).arg("--yes").run().failure();
    assert!(failure.contains("from this partition is not known"), "{failure}");
    assert_eq!(orders.target_rows(), rows);
}

#[test]
fn a_job_of_a_pack_is_undone() {
    let orders = Orders::on(Server::shared(), 100);
    let tool = |command: &str| {
        let tool = packs::tool(&orders.server);
        std::fs::write(tool.folder().join("mine/jobs/shipments.toml"), owning()).unwrap();
        tool.args(&[command, "--job", "market/shipments", "--partition", PARTITION])
    };
    tool("run").run().expect(0);
    orders.assert_complete();
    let undone = tool("undo").arg("--yes").run().expect(0);
    assert!(undone.stdout.starts_with("undone: 98 rows of partition 202506"), "{undone}");
    assert_eq!(orders.target_rows(), 0);
}
