//! The column `verified` of `history`.

use serde_json::Value;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::shown::{from_line, narrowed};
use crate::support::{Binary, assert_text_snapshot, binary};

fn tool(orders: &Orders, arguments: &[&str]) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
    tool.args(arguments).args(&["--job", "job.toml"])
}

/// What `history` tells of the newest version's comparison.
fn verified(orders: &Orders) -> Value {
    let output = tool(orders, &["history", "--json"]).run().expect(0);
    let all: Value = serde_json::from_str(&output.stdout).unwrap();
    all[0]["partitions"][0]["loads"][0]["verified"].clone()
}

fn verify(orders: &Orders, more: &[&str], code: i32) {
    tool(orders, &["verify", "--partition", PARTITION]).args(more).run().expect(code);
}

/// Whether it was equal, and whether the target has changed since.
fn result(verified: &Value) -> (Value, Value) {
    assert!(verified["verified_at"].is_string(), "{verified}");
    (verified["equal"].clone(), verified["changed_since"].clone())
}

#[test]
#[ignore = "slow: about 8 s, a dozen runs of the program"]
fn history_tells_when_a_load_was_verified_and_whether_the_target_has_changed_since() {
    let orders = Orders::start(300);
    orders.tool().run().expect(0);
    assert_eq!(verified(&orders), Value::Null);
    verify(&orders, &["--sample", "1/2"], 0);
    assert_eq!(verified(&orders)["sample"], "1/2");
    verify(&orders, &[], 0);
    assert_eq!(result(&verified(&orders)), (true.into(), false.into()));
    // A merge changes no row, and a comparison of a part does not hide one of everything.
    orders.server.query("OPTIMIZE TABLE shipments FINAL");
    verify(&orders, &["--sample", "1/2"], 0);
    assert_eq!(result(&verified(&orders)), (true.into(), false.into()));
    assert_eq!(verified(&orders)["sample"], "");

    orders.server.query(
        "INSERT INTO shipments (order_id, customer, placed, version) VALUES (5000000, 'c1', '2025-06-15 00:00:00', 1)",
    );
    assert_eq!(result(&verified(&orders)), (true.into(), true.into()));
    let shown = tool(&orders, &["history"]).run().expect(0).stdout;
    assert_text_snapshot!(narrowed(from_line(&shown, "partition  ")), @"
    partition  state  source rows  inserted  chunks  began  took  verified  run
    202506  completed  [N]  294  1 of 1  [TIME]  [DURATION]  [TIME] equal, before later changes  [RUN]
    ");

    verify(&orders, &[], 4);
    assert_eq!(result(&verified(&orders)), (false.into(), false.into()));
    assert_eq!(verified(&orders)["differences"], 1);

    // A ledger of an older version has no such column until something is written to it.
    orders.server.query("ALTER TABLE load_verifications DROP COLUMN target_parts");
    assert_eq!(result(&verified(&orders)), (false.into(), Value::Null));
    verify(&orders, &[], 4);
    assert_eq!(result(&verified(&orders)), (false.into(), false.into()));
}
