//! Parts of the target against the limits of inserts.

use super::fixture::{look, more_parts, tool};
use crate::orders::Orders;
use crate::support::{Server, assert_text_snapshot};

#[test]
#[ignore = "slow: about 8 s"]
fn too_many_parts_forbid_plan_and_run_until_they_are_merged() {
    let orders = Orders::on(Server::shared(), 1_000);
    let server = &orders.server;
    look(tool(&orders), 0).assert("parts", "ok", &["is empty", "delayed from 1,000"]);
    server.query(
        "ALTER TABLE shipments MODIFY SETTING parts_to_delay_insert = 3, parts_to_throw_insert = 5",
    );
    more_parts(server, 2);
    look(tool(&orders), 0).assert(
        "parts",
        "ok",
        &["2 active parts", "delayed from 3 on, rejected from 5", "makes about 1"],
    );
    more_parts(server, 2);
    let slowed = look(tool(&orders), 0);
    slowed.assert(
        "parts",
        "warning",
        &["4 active parts", "delayed from 3 on", "MODIFY SETTING parts_to_delay_insert = 8"],
    );
    more_parts(server, 1);
    let words = [
        "5 active parts",
        "rejects inserts from 5 on (parts_to_throw_insert)",
        "wait for merges: SELECT partition_id",
    ];
    let forbidden = look(tool(&orders), 3);
    forbidden.assert("parts", "blocked", &words);
    assert_eq!(forbidden.plan["runs"], false);
    assert_text_snapshot!(forbidden.output.failure(), @"
    exit code 3
    error: the check parts blocks the run
      because: parts: partition all of default.shipments has 5 active parts; the server rejects inserts from 5 on (parts_to_throw_insert)
    hint: wait for merges: SELECT partition_id, count() FROM system.parts WHERE active AND database = 'default' AND table = 'shipments' GROUP BY 1
    hint: ALTER TABLE `default`.`shipments` MODIFY SETTING parts_to_throw_insert = 10
    hint: --skip-checks parts downgrades this to a warning
    ");
    assert_text_snapshot!(orders.tool().run().failure(), @"
    exit code 3
    error: the check parts blocks the run
      because: parts: partition all of default.shipments has 5 active parts; the server rejects inserts from 5 on (parts_to_throw_insert)
    hint: wait for merges: SELECT partition_id, count() FROM system.parts WHERE active AND database = 'default' AND table = 'shipments' GROUP BY 1
    hint: ALTER TABLE `default`.`shipments` MODIFY SETTING parts_to_throw_insert = 10
    hint: --skip-checks parts downgrades this to a warning
    ");
    assert_eq!(orders.target_rows(), 5, "nothing was inserted");
    // The same server refuses what the check foresees.
    let insert =
        server.try_query("INSERT INTO shipments (order_id, customer) VALUES (9, 'nobody')");
    assert!(insert.is_err_and(|words| words.contains("TOO_MANY_PARTS")));
    // Nothing is written, nothing is in the way.
    orders.tool().arg("--dry-run").run().expect(0);
    look(tool(&orders).args(&["--skip-checks", "parts"]), 0).assert(
        "parts",
        "warning",
        &["skipped by --skip-checks"],
    );

    server.query("SYSTEM START MERGES shipments");
    server.query("OPTIMIZE TABLE shipments FINAL");
    server.query("TRUNCATE TABLE shipments");
    orders.tool().run().expect(0);
    orders.assert_complete();
}

#[test]
fn too_many_parts_of_the_whole_table_forbid_it_too() {
    let orders = Orders::on(Server::shared(), 100);
    orders.server.query("ALTER TABLE shipments MODIFY SETTING max_parts_in_total = 2");
    more_parts(&orders.server, 2);
    look(tool(&orders), 3).assert(
        "parts",
        "blocked",
        &["has 2 active parts", "max_parts_in_total"],
    );
}
