//! What the commands say that only look: `plan`, `status`, `history`, `ctl`.

use std::time::Duration;

use super::steady::assert_gives;
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Output, binary, process};

const SOON: Duration = Duration::from_secs(60);

fn tool(orders: &Orders, arguments: &[&str]) -> Binary {
    binary()
        .file("job.toml", JOB)
        .envs(&orders.server.environment())
        .args(arguments)
        .args(&["--job", "job.toml"])
}

#[test]
fn looks() {
    let orders = Orders::start(1_000);
    let look =
        |arguments: &[&str]| tool(&orders, arguments).args(&["--partition", PARTITION]).run();
    assert_gives("plan", &look(&["plan", "--measure", "0s"]));
    assert_gives("status-nothing", &look(&["status"]));
    assert_gives("history-nothing", &tool(&orders, &["history"]).run());
    orders.tool().run().expect(0);
    assert_gives("status-completed", &look(&["status"]));
    assert_gives("history-completed", &tool(&orders, &["history"]).run());
    assert_gives(
        "plan-forbidden",
        &look(&["plan", "--measure", "0s", "--target-table", "nowhere"]),
    );
}

#[test]
fn control() {
    let orders = Orders::start(1_000);
    let running = orders.tool().args(&["--throttle-query", "SELECT 'the moon is full'"]).spawn();
    let socket = running.folder().join(format!("clickhouse-backfill-{}.sock", running.process()));
    let ctl = |arguments: &[&str]| -> Output {
        binary().arg("ctl").args(arguments).arg("--socket").arg(&socket).run()
    };
    let is_up = || ctl(&["status"]).stdout.contains("waiting: ");
    assert!(process::wait_until(SOON, is_up), "the run listens, and waits");
    assert_gives("ctl-pause", &ctl(&["pause"]));
    assert_gives("ctl-resume", &ctl(&["resume"]));
    assert_gives("ctl-set", &ctl(&["set", "max-rows-per-second=5000", "max-parts=200"]));
    assert_gives("ctl-set-wrong", &ctl(&["set", "inserter=4"]));
    assert_gives("ctl-stop", &ctl(&["stop"]));
    running.wait().expect(130);
    assert_gives("ctl-nobody", &ctl(&["status"]));
}
