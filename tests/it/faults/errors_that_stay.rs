//! Errors of a real server that no retry mends: the run ends at once, in the server's words.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::fixture::Behind;

#[test]
#[ignore = "slow: about 10 s"]
fn a_target_that_changes_under_the_run_ends_it() {
    let behind = Behind::start();
    let server = &behind.orders.server;
    let table = server.text("SHOW CREATE TABLE shipments FORMAT TSVRaw");
    for (change, name, words) in [
        (
            "ALTER TABLE shipments DROP COLUMN letter",
            "NO_SUCH_COLUMN_IN_TABLE",
            "shipments is gone; its type was `String`",
        ),
        ("DROP TABLE shipments SYNC", "UNKNOWN_TABLE", "shipments is gone"),
    ] {
        let running = behind.half_way();
        server.query(change);
        behind.proxy.pass();
        let output = running.wait().expect(1);
        let last_words =
            output.stderr.rsplit_once("error: ").map(|(_, words)| words).unwrap_or_default();
        for part in
            ["has changed since the run began", words, "hint: --restart starts a new version"]
        {
            assert!(last_words.contains(part), "{part}\n{output}");
        }
        assert!(output.stderr.contains(name), "the server's words\n{output}");
        assert!(!last_words.contains("run the same command again"), "{output}");
        // An insert that was under way when the table went is aborted, and tried again; the error
        // itself is met once.
        assert!(
            ["failed after 1 attempt", "failed after 2 attempts"]
                .iter()
                .any(|words| output.stderr.contains(words)),
            "{output}"
        );
        assert_eq!(behind.orders.summary()["status"], "failed", "{output}");
        server.query("DROP TABLE IF EXISTS shipments SYNC");
        server.query(&table);
    }
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}

#[test]
#[ignore = "slow: about 7 s"]
fn a_source_that_changes_under_the_run_ends_it() {
    let behind = Behind::start();
    let running = behind.half_way();
    // The chunk is read again, and then it is a statement that names a column that is not there.
    behind.orders.server.query("ALTER TABLE orders RENAME COLUMN note TO remark");
    behind.proxy.reset_all();
    let output = running.wait().expect(1);
    assert!(
        output.stderr.contains("UNKNOWN_IDENTIFIER") && output.stderr.contains("hint: "),
        "{output}"
    );
    // The reset counts unless it is taken for an outage; the error itself is met once.
    assert!(
        ["after 1 attempt", "after 2 attempts"].iter().any(|words| output.stderr.contains(words)),
        "{output}"
    );
    behind.orders.server.query("ALTER TABLE orders RENAME COLUMN remark TO note");
    behind.proxy.pass();
    behind.tool().run().expect(0);
    behind.orders.assert_complete();
}
