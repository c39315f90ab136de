//! What `run` says on stderr and stdout where there is no terminal, and the commands that need no
//! server.

use super::steady::assert_gives;
use crate::orders::Orders;
use crate::support::binary;

#[test]
fn runs() {
    let orders = Orders::start(2_000);
    let tool = || orders.resuming_tool_at(orders.server.url());
    assert_gives("run-dry", &tool().args(&["--dry-run", "--show-rows", "1"]).run());
    assert_gives("run", &tool().run());
    assert_gives("run-again", &tool().run());
    assert_gives(
        "run-restart",
        &tool().args(&["--restart", "--log-file"]).arg(orders.file("log")).run(),
    );
    assert_gives("run-no-rows", &tool().env("PARTITION", "202401").run());
}

#[test]
fn jobs() {
    assert_gives("job-list", &binary().args(&["job", "list"]).run());
}
