//! What `verify` and `repair` find.

use super::steady::assert_gives;
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, binary};

#[test]
fn comparisons() {
    let orders = Orders::start(1_000);
    orders.tool().run().expect(0);
    let tool = |command: &str| -> Binary {
        let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
        tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
    };
    assert_gives("verify-equal", &tool("verify").run());
    assert_gives("verify-sample", &tool("verify").args(&["--sample", "1/10"]).run());
    let change = |sql: &str| {
        orders.server.query(&format!("ALTER TABLE shipments {sql} SETTINGS mutations_sync = 2"))
    };
    change("DELETE WHERE order_id = 3");
    change("UPDATE note = 'changed by hand' WHERE order_id = 7");
    orders.server.query("INSERT INTO shipments SELECT 5000, customer, placed, amount, note, tags, letter, version FROM shipments LIMIT 1");
    assert_gives("verify-different", &tool("verify").run());
    assert_gives("repair", &tool("repair").run());
    assert_gives("repair-remove", &tool("repair").arg("--remove").run());
    assert_gives("verify-repaired", &tool("verify").run());
}
